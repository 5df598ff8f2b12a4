"""What people do with it day by day: apply, connect, edit, err, rotate."""

import json

from e2e.world import SYSTEM
from support.postgres import PASSWORDS
from support.waiting import wait_for


def test_applied_it_becomes_ready_and_psql_works(orders):
    assert len(orders.operators()) == 2
    status = orders.get("dbproxy", "orders", "-n", orders.namespace)["status"]
    assert {target["role"] for target in status["targets"]} == {"READ_WRITE", "READ_ONLY"}
    assert status["sidecars"]["connected"] == 1
    line = orders.kubectl("get", "dbp", "orders", "-n", orders.namespace).stdout.splitlines()[1].split()
    assert line[:5] == ["orders", "POSTGRESQL", "True", "2/2", "1"]
    assert orders.psql("app", "SELECT current_user, current_database()").stdout == "app|orders\n"
    assert orders.sidecar("app")["restartCount"] == 0


def test_the_pod_passes_the_restricted_standard_and_the_sidecar_starts_first(orders):
    spec = orders.get("pod", "app", "-n", orders.namespace)["spec"]
    first = spec["initContainers"][0]
    assert (first["name"], first["restartPolicy"]) == ("dbproxy", "Always")
    assert {each["name"] for each in spec["containers"]} == {"app"}


def test_the_sidecars_log_says_whose_log_ins_they_are(orders):
    assert orders.psql("app", "SELECT 1", password="not it", check=False).returncode != 0

    def line():
        log = orders.kubectl("logs", "-n", orders.namespace, "app", "-c", "dbproxy").stdout
        lines = [json.loads(each) for each in log.splitlines() if '"log-in refused"' in each]
        return lines[-1] if lines else None
    told = wait_for(line, 20, "it is in the log", interval=0.2)
    assert {key: told[key] for key in ("user", "method", "pod", "service_account")} == {
        "user": "app", "method": "scram-sha-256", "pod": f"{orders.namespace}/app", "service_account": "default"}


def test_an_edit_is_in_force_without_a_restart(orders):
    before = orders.psql("app", "SELECT 1", user="reports", check=False)
    assert before.returncode != 0
    uid = orders.get("pod", "app", "-n", orders.namespace)["metadata"]["uid"]
    orders.apply_proxy(users=("app", "reports"))
    wait_for(lambda: orders.psql("app", "SELECT current_user", user="reports").stdout == "reports\n", 30,
             "the new user can log in", interval=0.2)
    assert orders.get("pod", "app", "-n", orders.namespace)["metadata"]["uid"] == uid
    assert orders.sidecar("app")["restartCount"] == 0


def test_a_bad_edit_is_refused_with_what_to_do(orders):
    def no_group(document):
        document["spec"]["targetGroups"][0]["connectionPool"]["maxConnectionsPercent"] = 101
    done = orders.apply_proxy(no_group, check=False)
    assert done.returncode != 0 and "maxConnectionsPercent" in done.stderr
    assert orders.psql("app", "SELECT 1").stdout == "1\n"


def test_a_reference_to_nothing_shows_in_the_status_and_the_last_good_one_stays(orders):
    def lost(document):
        document["spec"]["auth"][0]["secretRef"]["name"] = "nowhere"
    orders.apply_proxy(lost)
    condition = orders.wait_condition("False", "ResolvedRefs")
    assert "nowhere" in condition["message"] and "last good" in condition["message"]
    assert orders.psql("app", "SELECT 1").stdout == "1\n"
    orders.apply_proxy()
    orders.wait_condition("True")


def test_what_a_sidecar_cannot_put_in_force_is_seen_in_kubectl_get(orders):
    """A port that only root may have: it says so, and goes on with what it has."""
    def privileged(document):
        document["spec"]["port"] = 81

    def line() -> list[str]:
        return orders.kubectl("get", "dbp", "orders", "-n", orders.namespace).stdout.splitlines()[1].split()
    orders.apply_proxy(privileged)
    wait_for(lambda: orders.condition("Programmed").get("reason") == "Rejected", 30, "the refusal is in the status",
             interval=0.2)
    message = orders.condition("Programmed")["message"]
    assert message.startswith(f"{orders.namespace}/app: ") and ":81" in message
    assert line()[2] == "False" and orders.psql("app", "SELECT 1").stdout == "1\n"
    events = orders.kubectl("get", "events", "-n", orders.namespace).stdout
    assert "SnapshotRejected" in events and ":81" in events
    orders.apply_proxy()
    wait_for(lambda: line()[2] == "True", 30, "and that it is good again", interval=0.2)


def test_a_rotated_secret_is_used_for_what_is_new_and_old_sessions_end_between_transactions(orders):
    server = orders.database.writer
    orders.psql("app", "SELECT 1")
    assert server.sessions("app") > 0
    old = {int(pid) for pid in server.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'app'").split()}
    try:
        server.sql("ALTER ROLE app PASSWORD 'rotated'")
        orders.apply(orders.secret("app", "rotated"))
        wait_for(lambda: orders.psql("app", "SELECT 1", password="rotated").stdout == "1\n", 30, "the new password",
                 interval=0.2)
        wait_for(lambda: not old & {int(pid) for pid in server.sql(
            "SELECT pid FROM pg_stat_activity WHERE usename = 'app'").split()}, 30, "old sessions have ended")
        assert orders.psql("app", "SELECT 1").stdout == "1\n", "what the pod was started with is good for a day"
    finally:
        server.sql(f"ALTER ROLE app PASSWORD '{PASSWORDS['app']}'")


def test_a_database_is_known_by_the_cas_of_the_installation(orders):
    def without_ca(document):
        del document["spec"]["targetGroups"][0]["dbCluster"]["tls"]["caRef"]
    orders.apply_proxy(without_ca)
    generation = orders.get("dbproxy", "orders", "-n", orders.namespace)["metadata"]["generation"]
    wait_for(lambda: orders.condition("Programmed").get("observedGeneration") == generation, 30, "it is seen")
    orders.wait_condition("True")
    assert orders.psql("app", "SELECT 1").stdout == "1\n"


def test_a_job_with_a_sidecar_completes(orders):
    pod = orders.pod("migrate", "psql -XAtqc 'SELECT 1' && echo migrated", restartPolicy="Never")
    del pod["metadata"]["name"], pod["metadata"]["namespace"]
    orders.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": orders.namespace},
                  "spec": {"backoffLimit": 0, "template": pod}})
    orders.kubectl("wait", "-n", orders.namespace, "--for=condition=complete", "job/migrate", "--timeout=60s")
    assert "migrated" in orders.kubectl("logs", "-n", orders.namespace, "job/migrate", "-c", "app").stdout


def test_an_unlabelled_pod_is_left_alone(orders):
    orders.run_pod("plain", proxy=None)
    pod = orders.get("pod", "plain", "-n", orders.namespace)
    assert "initContainers" not in pod["spec"] and len(pod["spec"]["containers"]) == 1
    assert not any("dbproxy" in json.dumps(volume) for volume in pod["spec"]["volumes"])


def test_a_pod_for_a_dbproxy_that_does_not_exist_is_refused_in_words(orders):
    done = orders.apply({"apiVersion": "v1", "kind": "Pod", **orders.pod("lost", proxy="nothing")}, check=False)
    assert done.returncode != 0 and "nothing" in done.stderr and "make it first" in done.stderr


def test_the_operator_has_said_nothing_about_passwords(orders):
    logs = orders.kubectl("logs", "-n", SYSTEM, "-l", "app.kubernetes.io/name=dbproxy-operator", "--tail=-1").stdout
    logs += orders.kubectl("logs", "-n", orders.namespace, "app", "-c", "dbproxy").stdout
    assert logs and not any(password in logs for password in PASSWORDS.values())
