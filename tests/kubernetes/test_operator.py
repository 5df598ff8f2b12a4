"""The operator on a real API server, with a real database and real sidecars; only the kubelet is missing."""

import base64
import http.client
import json
import socket
import time

import psycopg
import pytest

from shop import PATH
from support.certificates import Authority
from support.kube_apiserver import Refused
from support.kube_operator import NAMESPACE, PodSidecar, delete_pod, make_pod
from support.manifests import db_proxy, secret
from support.pages import request
from support.ports import free_port
from support.postgres import PASSWORDS
from support.waiting import wait_for


def test_from_apply_to_a_query(shop):
    operator = shop.operator()
    shop.apply()
    shop.wait_condition("TargetsAvailable", "True")
    sidecar = shop.sidecar(operator)
    assert shop.select() == 42
    shop.wait_condition("Programmed", "True")
    status = shop.status()
    assert status["observedGeneration"] == 1
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "Accepted": "True", "ResolvedRefs": "True", "Programmed": "True", "TargetsAvailable": "True", "Ready": "True"}
    assert {each["role"] for each in status["targets"]} == {"READ_WRITE", "READ_ONLY"}
    assert status["availableTargets"] == "2/2"
    assert status["sidecars"] == {"connected": 1, "updated": 1, "rejected": 0, "outdated": 0}
    assert status["connections"]["limit"] == 40
    printed = shop.api.kubectl("get", "dbproxies", "-n", "shop").stdout
    assert "POSTGRESQL" in printed and "True" in printed and "2/2" in printed
    # Nothing changes, nothing is written.
    wait_for(lambda: shop.status()["connections"]["granted"] == 1, 20, "the connection is counted")
    wait_for(lambda: shop.status()["connections"].get("foreign") == 0, 30, "and there is none besides")
    version = shop.api.get(PATH)["metadata"]["resourceVersion"]
    time.sleep(2.5)
    assert shop.api.get(PATH)["metadata"]["resourceVersion"] == version
    assert sidecar.process.alive()
    with shop.direct():
        wait_for(lambda: shop.status()["connections"]["foreign"] == 1, 30, "a session past the sidecar is counted")


def test_an_edit_is_in_force_at_once_and_a_bad_one_not_at_all(shop):
    operator = shop.operator()
    shop.apply()
    shop.sidecar(operator)
    shop.wait_condition("Ready", "True")
    took = []
    for percent in range(30, 40):
        began = time.monotonic()
        shop.api.patch(PATH, [{"op": "replace", "path": "/spec/targetGroups/0/connectionPool/maxConnectionsPercent",
                               "value": percent}], "json")
        generation = shop.api.get(PATH)["metadata"]["generation"]
        wait_for(lambda: operator.log().count("configuration in force at sidecar") > percent - 30 + 1, 10,
                 "the sidecar has it", interval=0.005)
        took.append(time.monotonic() - began)
    print("edits in force after", sorted(took))
    wait_for(lambda: shop.status()["observedGeneration"] == generation, 10, "the status has seen it")
    wait_for(lambda: shop.status()["connections"]["limit"] == 78, 10, "and the new limit")
    # Two entries for one user: no rule within one object sees it.
    shop.api.apply(secret("orders-twin", "app", "x"))
    shop.api.patch(PATH, [{"op": "add", "path": "/spec/auth/-", "value": {"secretRef": {"name": "orders-twin"}}}],
                   "json")
    _, reason, message = shop.wait_condition("Accepted", "False")
    assert reason == "Invalid" and "second entry for the database user" in message and "stays in force" in message
    assert shop.select() == 42
    assert shop.condition("Ready")[0] == "True"
    with pytest.raises(Refused):
        shop.api.patch(PATH, {"spec": {"engineFamily": "SQLSERVER"}})


def test_secrets_are_followed(shop):
    operator = shop.operator()
    shop.apply()
    shop.sidecar(operator)
    shop.wait_condition("Ready", "True")
    path = "/api/v1/namespaces/shop/secrets/orders-app"
    shop.api.delete(path)
    _, _, message = shop.wait_condition("ResolvedRefs", "False")
    assert "orders-app" in message and "stays in force" in message
    wait_for(lambda: shop.events("ReferencesUnresolved"), 10, "there is an Event")
    assert shop.select() == 42
    shop.api.apply(secret("orders-app", "app", PASSWORDS["app"]))
    shop.wait_condition("ResolvedRefs", "True")
    def change(password: str):
        versions = operator.log().count("snapshot changed")
        shop.api.patch(path, {"data": {"password": base64.b64encode(password.encode()).decode()}})
        wait_for(lambda: operator.log().count("snapshot changed") > versions, 20, "the Secret is read")

    change("another")
    wait_for(lambda: not refuses(shop, password="another"), 20, "clients show the new one, the database takes the one before")
    change("a third")
    wait_for(lambda: shop.condition("TargetsAvailable")[0] == "False", 20, "the database refuses both")
    wait_for(lambda: {each["reason"] for each in shop.status()["targets"]} == {"AUTH_FAILURE"}, 20, "of both members")
    wait_for(lambda: shop.events("SecretRejected"), 10, "there is an Event")
    shop.api.patch(path, {"data": {"password": base64.b64encode(PASSWORDS["app"].encode()).decode()}})
    shop.wait_condition("Ready", "True")
    wait_for(lambda: not refuses(shop), 20, "the right one is in force")
    assert shop.select(password="a third") == 42, "for a day clients may still have the one before"
    assert refuses(shop, password="another")
    shop.api.patch(PATH, {"spec": {"credentialGraceSeconds": 0}})
    wait_for(lambda: refuses(shop, password="a third"), 20, "unless it is taken away")
    assert not refuses(shop)
    assert not [each for each in ("another", "a third") if each in operator.log()] and PASSWORDS["app"] not in operator.log()


def test_a_proxy_without_a_ca_is_served_by_the_installations(shop):
    bundle = shop.directory / "rds"
    bundle.mkdir()
    other = Authority(shop.directory / "other")
    (bundle / "other.pem").write_text(other.certificate.read_text())
    operator = shop.operator(extra=("--rds-ca", bundle))
    shop.apply()
    cluster = "/spec/targetGroups/0/dbCluster/tls"
    shop.api.patch(PATH, [{"op": "replace", "path": cluster, "value": {"mode": "verify-full"}}], "json")
    _, reason, _ = shop.wait_condition("TargetsAvailable", "False")
    assert reason and shop.condition("Accepted")[0] == "True", "it is known, and is not by whom the database is signed"
    expires = operator.metrics().sum("dbproxy_operator_certificate_expires_seconds", certificate="rds")
    assert expires > time.time()
    # The one that counts is added, as by an upgrade: reread while it runs.
    (bundle / "database.pem").write_text(shop.cluster.authority.certificate.read_text())
    shop.wait_condition("Ready", "True", timeout=40)
    shop.sidecar(operator)
    assert shop.select() == 42


def test_a_deleted_proxy_is_drained(shop):
    """What runs ends with its transaction, clients are told why in words, and the sidecar says so, too."""
    operator = shop.operator()
    shop.apply()
    sidecar = shop.sidecar(operator, extra=(f"--port={shop.port}",))
    where = {"host": "127.0.0.1", "port": shop.port, "user": "app", "password": PASSWORDS["app"], "dbname": "orders"}
    with psycopg.connect(**where) as busy, psycopg.connect(**where, autocommit=True) as idle:
        assert busy.execute("SELECT 1").fetchone() == (1,)  # and its transaction stays open
        shop.api.delete(PATH)
        end = wait_for(lambda: told(idle), 20, "an idle client is told")
        assert isinstance(end, psycopg.errors.AdminShutdown) and "DBProxy shop/orders was deleted" in str(end)
        assert busy.execute("SELECT 2").fetchone() == (2,)
        busy.commit()
    with pytest.raises(psycopg.OperationalError, match="DBProxy shop/orders was deleted"):
        psycopg.connect(**where)
    assert "removed proxy=shop/orders clients=2" in sidecar.log() and sidecar.process.alive()
    wait_for(lambda: operator.log().count("DBProxy is gone proxy=shop/orders") == 1, 20, "the operator says so")
    assert sidecar.metrics().sum("dbproxy_config_version", proxy="shop/orders") == 0


def told(connection):
    """What has ended it; None while it is served."""
    try:
        connection.execute("SELECT 1")
    except psycopg.Error as error:
        return error


def refuses(shop, **options):
    try:
        shop.select(connect_timeout=3, **options)
        return False
    except psycopg.Error:
        return True


def denied(sidecar, words, timeout=20):
    wait_for(lambda: words in sidecar.log(), timeout, f"the sidecar is told: {words}")


def test_who_is_let_in(shop):
    """By its token, and by what the webhook wrote; never by what it says of itself."""
    operator = shop.operator()
    shop.apply(podSelector={"matchLabels": {"app": "shop"}})
    shop.api.namespace("other") if not exists(shop.api, "/api/v1/namespaces/other") else None
    shop.wait_condition("TargetsAvailable", "True")
    good = make_pod(shop.api, "good", labels={"app": "shop"})
    sidecar = shop.sidecar(operator, pod=good)
    assert shop.select() == 42

    # Its own token, and another's DBProxy, whose secret it would get.
    payroll = free_port()
    shop.api.apply(secret("payroll-app", "app", PASSWORDS["app"]), db_proxy(shop.cluster, payroll, name="payroll"))
    greedy = make_pod(shop.api, "greedy", labels={"app": "shop"})
    denied(shop.sidecar(operator, pod=greedy, proxies=["shop/payroll"], wait=False), "not good for the DBProxy")
    assert refuses(shop, port=payroll)
    # Not admitted by the selector.
    stranger = make_pod(shop.api, "stranger", labels={"app": "else"})
    denied(shop.sidecar(operator, pod=stranger, wait=False), "does not admit the pod")
    # Bound to another namespace.
    abroad = make_pod(shop.api, "abroad", proxies=["other/orders"], labels={"app": "shop"})
    denied(shop.sidecar(operator, pod=abroad, wait=False), "of another namespace")
    # A token that is not a pod's, and one for another audience.
    plain = make_pod(shop.api, "plain", labels={"app": "shop"})
    program = PodSidecar(shop.directory, shop.api, plain, operator)
    program.token.write_text(shop.api.account_token("shop", audience="dbproxy-operator"))
    denied(shop.start(program, wait=False), "not one that was projected")
    wrong = make_pod(shop.api, "wrong", labels={"app": "shop"})
    program = PodSidecar(shop.directory, shop.api, wrong, operator)
    program.token.write_text(shop.api.account_token("shop", pod=wrong))
    denied(shop.start(program, wait=False), "does not know the token")
    wait_for(lambda: {each["regarding"]["name"] for each in shop.events("SidecarRefused")}
             >= {"greedy", "stranger", "abroad"}, 20, "there are Events")
    assert any("shop/payroll" in each["note"] for each in shop.events("SidecarRefused"))
    wait_for(lambda: operator.metrics().sum("dbproxy_operator_pods_refused_total") >= 4, 10, "it is counted")
    wait_for(lambda: shop.status()["sidecars"]["connected"] == 1, 10, "one is counted")

    # The label is not what binds it; the pod's end is its stream's.
    shop.api.patch("/api/v1/namespaces/shop/pods/good", {"metadata": {"labels": {"dbproxy.io/inject": None}}})
    wait_for(lambda: operator.log().count("sidecar connected identity=shop/good") == 2, 20, "it connects again")
    shop.api.patch(PATH, {"spec": {"podSelector": {"matchLabels": {"app": "nobody"}}}})
    denied(sidecar, "does not admit the pod", timeout=60)
    assert shop.select() == 42  # it keeps what it has


def exists(api, path):
    try:
        return api.get(path)
    except Refused:
        return None


def test_the_end_of_a_pod_ends_its_stream(shop):
    operator = shop.operator()
    shop.apply()
    sidecar = shop.sidecar(operator)
    delete_pod(shop.api, "web-1")
    denied(sidecar, "the token is no longer good")
    wait_for(lambda: shop.status()["sidecars"]["connected"] == 0, 20, "it is not counted")


def test_a_pod_without_its_sidecar_is_found(shop):
    operator = shop.operator()
    wait_for(operator.leads, 20, "it leads")
    make_pod(shop.api, "bare", sidecar=False)
    wait_for(lambda: shop.events("SidecarMissing"), 20, "there is an Event")
    wait_for(lambda: operator.metrics().sum("dbproxy_operator_pods_without_sidecar") == 1, 10, "it is counted")


def test_a_restart_takes_nothing_away_that_it_cannot_judge(shop):
    """The DBProxy is broken while the operator starts: what the sidecar has stays."""
    operator = shop.operator()
    shop.apply()
    sidecar = shop.sidecar(operator)
    shop.api.delete("/api/v1/namespaces/shop/secrets/orders-app")
    shop.wait_condition("ResolvedRefs", "False")
    operator.stop()
    operator.start()
    wait_for(lambda: operator.log().count("sidecar connected") == 2, 30, "it is back")
    assert shop.condition("ResolvedRefs")[0] == "False"
    time.sleep(1)
    assert shop.select() == 42
    shop.api.apply(secret("orders-app", "app", PASSWORDS["app"]))
    shop.wait_condition("Ready", "True")
    assert sidecar.process.alive()


def test_the_secret_of_the_ca_comes_back(shop):
    """Whoever deletes it takes nothing from pods that trust this CA: the operator puts the same one back."""
    operator = shop.operator()
    shop.apply()
    shop.sidecar(operator)
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets/dbproxy-operator-ca"
    before = shop.api.get(path)["data"]
    shop.api.delete(path)
    back = wait_for(lambda: exists(shop.api, path), 40, "it is there again")
    assert back["data"] == before
    shop.sidecar(operator, name="web-2", wait=False)  # the port is the first one's here
    wait_for(lambda: shop.status()["sidecars"]["connected"] == 2, 20, "a new sidecar trusts it")
    assert operator.log().count("sidecar connected identity=shop/web-1") == 1


def probing(server) -> int:
    return server.sessions("app", "application_name = 'dbproxy-monitor'")


def test_two_replicas(shop):
    first = shop.operator("operator-1")
    shop.apply()
    wait_for(first.leads, 20, "the first leads")
    second = shop.operator("operator-2")
    sidecar = shop.sidecar(second)  # is sent on to the first
    assert "redirected to the leader" in sidecar.log()
    assert shop.select() == 42
    assert not second.leads() and first.leads()
    # Each replica asks each member by itself, so that the one that takes over knows who the writer is.
    for server in shop.cluster.members:
        wait_for(lambda server=server: probing(server) == 2, 30, f"both replicas ask {server.name}", interval=0.1)

    def served_after(began, by, limit):
        wait_for(lambda: "sidecar connected" in by.log()[mark:], limit + 20, "the stream is served again")
        took = time.monotonic() - began
        assert took < limit, took
        return took
    mark = len(second.log())
    began = time.monotonic()
    first.stop()
    print("clean stop:", served_after(began, second, 4))  # 2 s on a machine of its own
    assert shop.select() == 42
    wait_for(lambda: probing(shop.cluster.writer) == 1, 30, "the one that has ended asks no more", interval=0.1)

    third = shop.operator("operator-3")
    sidecar.argv[sidecar.argv.index("--operator") + 1] = third.address
    sidecar.stop()
    sidecar.start()
    assert shop.select() == 42
    mark = len(third.log())
    began = time.monotonic()
    second.kill()
    print("killed:", served_after(began, third, 25))
    assert shop.select() == 42
    shop.programs.remove(second)


def test_pages_need_a_token(shop):
    operator = shop.operator()
    shop.apply()
    shop.wait_condition("TargetsAvailable", "True")
    assert request(operator.http, "/metrics")[0] == 200
    assert request(operator.http, "/api/v1/dbproxies")[0] == 401
    for token, wanted in ((shop.api.admin_token, 200), (shop.api.account_token("shop"), 401), ("x", 401)):
        connection = http.client.HTTPConnection(operator.http, timeout=10)
        connection.request("GET", "/api/v1/dbproxies", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == wanted
        if wanted == 200:
            assert json.loads(body)["items"][0]["name"] == "orders"


def test_the_api_server_goes_away(shop):
    operator = shop.operator()
    shop.apply()
    shop.sidecar(operator)
    shop.wait_condition("Ready", "True")
    assert shop.select() == 42  # it has its first slot: how much a sidecar may have is written down before
    shop.api.stop_apiserver(9)
    assert shop.select() == 42
    shop.api.start_apiserver()
    shop.api.patch(PATH, [{"op": "replace", "path": "/spec/targetGroups/0/connectionPool/maxConnectionsPercent",
                           "value": 10}], "json")
    wait_for(lambda: shop.status().get("connections", {}).get("limit") == 20, 60, "the edit is in force")
    assert shop.select() == 42


def test_what_a_sidecar_refuses_is_seen(shop):
    """A port that is taken where the sidecar is: its own words are in the status, and it keeps what it has."""
    operator = shop.operator()
    shop.apply()
    shop.sidecar(operator)
    shop.wait_condition("Programmed", "True")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shop.api.patch(PATH, {"spec": {"port": port}})
        # Until the sidecar has answered it is Pending.
        wait_for(lambda: shop.condition("Programmed")[:2] == ("False", "Rejected"), 20, "the refusal is in the status")
        message = shop.condition("Programmed")[2]
        assert message.startswith("shop/web-1: ") and str(port) in message
        assert (shop.status()["sidecars"]["rejected"], shop.status()["sidecars"]["updated"]) == (1, 0)
        assert shop.condition("Ready")[0] == "False"
        wait_for(lambda: shop.events("SnapshotRejected"), 10, "there is an Event")
        assert shop.select() == 42
    shop.api.patch(PATH, {"spec": {"port": shop.port}})
    shop.wait_condition("Ready", "True")
    assert shop.status()["sidecars"]["rejected"] == 0
