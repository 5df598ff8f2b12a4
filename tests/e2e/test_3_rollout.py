"""Rolling updates under load: of the application, and of the operator by Helm; scraping; and the end."""

import json
import re
import urllib.request

from cluster import images
from e2e.queries import Queries
from e2e.world import CHART, OPERATOR, RELEASE, SYSTEM
from support import paths
from support.ports import free_port
from support.process import Process, run
from support.waiting import wait_for

# An application that shuts down in its own time: what it began is finished, and the database is there until then.
LOAD = """\
trap 'ending=1' TERM
while [ -z "$ending" ]; do
  psql -XAtqc "INSERT INTO attempts VALUES ('started')" -c 'SELECT pg_sleep(0.05)' \
    -c "INSERT INTO attempts VALUES ('finished')" || { echo FAILED; sleep 1; }
done
for i in 1 2 3 4 5; do psql -XAtqc "INSERT INTO attempts VALUES ('after TERM')" || echo FAILED; sleep 0.2; done
psql -XAtqc "INSERT INTO attempts VALUES ('ended')" || echo FAILED
"""


def test_a_rolling_update_under_load_loses_nothing(orders):
    orders.database.writer.sql("CREATE TABLE attempts (what text); GRANT ALL ON attempts TO app", "orders")

    def count(what: str) -> int:
        return int(orders.database.writer.sql(f"SELECT count(*) FROM attempts WHERE what = '{what}'", "orders"))
    orders.apply(orders.deployment("load", 2, LOAD))
    rollout = ["rollout", "status", "deployment/load", "-n", orders.namespace, "--timeout=90s"]
    orders.kubectl(*rollout, timeout=100)
    wait_for(lambda: count("finished") > 20, 60, "load", interval=0.2)
    orders.kubectl("rollout", "restart", "deployment/load", "-n", orders.namespace)
    orders.kubectl(*rollout, timeout=100)
    wait_for(lambda: count("ended") == 2, 60, "both old pods ended in their own time", interval=0.2)
    assert count("after TERM") == 10
    logs = orders.kubectl("logs", "-n", orders.namespace, "-l", "app=load", "-c", "app", "--tail=-1").stdout
    assert "FAILED" not in logs
    orders.apply({**orders.deployment("load", 0, LOAD)})
    wait_for(lambda: count("ended") == 4, 60, "the rest ended", interval=0.2)
    assert count("started") == count("finished")


def test_prometheus_scrapes_sidecars_and_operators(orders, tmp_path):
    pods = [orders.get("pod", "app", "-n", orders.namespace)["status"]["podIP"] + ":9930",
            *(pod["status"]["podIP"] + ":9932" for pod in orders.operators())]
    (tmp_path / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "dbproxy", "static_configs": [{"targets": pods}]}]}))
    port = free_port()
    prometheus = Process("prometheus", tmp_path / "prometheus.log")
    prometheus.start(["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
                      f"--web.listen-address=127.0.0.1:{port}"])

    def query(expression: str) -> list[dict]:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={expression}"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
            return json.loads(answer.read())["data"]["result"]
    try:
        wait_for(lambda: sum(each["value"][1] == "1" for each in query("up")) == len(pods), 60, "all are up",
                 interval=0.3)
        assert query("dbproxy_build_info") or query("dbproxy_operator_build_info")
    finally:
        prometheus.stop()


def test_helm_upgrades_and_rolls_back_and_no_query_notices(orders):
    """To an operator that is two minor versions newer, with a sidecar of before; and back, with a sidecar of after."""
    def args() -> str:
        return json.dumps(orders.get("deployment", OPERATOR, "-n", SYSTEM)["spec"]["template"])

    def outdated(count: int):
        wait_for(lambda: orders.get("dbproxy", "orders", "-n", orders.namespace)["status"]["sidecars"]["outdated"] ==
                 count, 30, f"{count} sidecars of another version", interval=0.2)
    with Queries(orders):
        outdated(0)
        orders.kubernetes.helm("upgrade", RELEASE, CHART, "--values", orders.values, "--set",
                               f"operator.logLevel=debug,image.tag={images.NEXT.rpartition(':')[2]}", "--wait", "--timeout",
                               "120s")
        assert "--log-level=debug" in args()
        outdated(1)
        orders.edit_arrives()
        listed = run([paths.release_binary("dbproxyctl"), "outdated", "--kubeconfig", orders.kubernetes.kubeconfig, "-n",
                      orders.namespace]).stdout
        assert images.NEXT in listed and f"kubectl -n {orders.namespace} delete pod/app" in listed
        orders.run_pod("newer")
        assert orders.sidecar("newer")["image"] == images.NEXT
        orders.kubernetes.helm("rollback", RELEASE, "1", "--wait", "--timeout", "120s")
        assert "--log-level=info" in args()
        orders.edit_arrives("newer")
        outdated(1)
    orders.kubectl("delete", "pod", "newer", "-n", orders.namespace, "--wait=false")
    orders.wait_condition("True")


def test_helms_own_test_passes(orders):
    assert re.search(r"Phase: +Succeeded", orders.kubernetes.helm("test", RELEASE, "--timeout", "60s").stdout)


def test_without_the_webhook_pods_get_their_sidecar_by_dbproxyctl(orders, tmp_path):
    """What `dbproxyctl inject` prints is applied as it stands: admission looks at it, and has nothing to add."""
    manifests = orders.kubectl("get", "dbproxy/orders", "secret/orders-app", "configmap/database-ca", "-n", orders.namespace,
                               "-o", "yaml").stdout
    (tmp_path / "orders.yaml").write_text(manifests)
    pod = {"apiVersion": "v1", "kind": "Pod", **orders.pod("printed")}
    printed = run([paths.release_binary("dbproxyctl"), "inject", "-f", "-", "--manifests", tmp_path, "--image", images.DBPROXY,
                   "--control", f"{OPERATOR}.{SYSTEM}.svc:9931"], input=json.dumps(pod)).stdout
    orders.kubernetes.helm("upgrade", RELEASE, CHART, "--values", orders.values, "--set", "webhook.enabled=false", "--wait",
                           "--timeout", "120s")
    try:
        hooks = orders.kubectl("get", "mutatingwebhookconfigurations", "-o", "name").stdout
        assert "dbproxy" not in hooks
        orders.kubectl("apply", "-f", "-", input=printed)
        orders.kubectl("wait", "-n", orders.namespace, "--for=condition=Ready", "pod/printed", "--timeout=60s")
        assert orders.psql("printed", "SELECT 1").stdout == "1\n"
        orders.edit_arrives("printed")
    finally:
        orders.kubernetes.helm("rollback", RELEASE, "--wait", "--timeout", "120s")
        orders.kubectl("delete", "pod", "printed", "-n", orders.namespace, "--ignore-not-found", "--wait=false")


def test_uninstall_leaves_what_it_promises_and_pods_keep_their_database(orders):
    orders.kubernetes.helm("uninstall", RELEASE, "--wait", "--timeout", "120s")
    promised = {"CustomResourceDefinition//dbproxies.dbproxy.io", "CustomResourceDefinition//dbproxyendpoints.dbproxy.io",
                f"Secret/{SYSTEM}/dbproxy-operator-ca", f"Lease/{SYSTEM}/dbproxy-operator"}
    promised |= {f"{each}/{orders.namespace}/{name}" for each, name in (
        ("DBProxy", "orders"), ("ConfigMap", "dbproxy-ceilings-orders"), ("ConfigMap", "dbproxy-operator-ca"))}
    orders.wait_left(promised | {f"Namespace//{SYSTEM}"})  # docs/operations.md; the last one is --create-namespace's
    assert orders.psql("app", "SELECT 1").stdout == "1\n"
