"""What the status says, and which Events there are: of endpoints, debugLogging, sidecars that nobody uses."""

import threading

import psycopg

from shop import PATH
from support.manifests import endpoint
from support.ports import free_port
from support.waiting import wait_for

ENDPOINTS = "/apis/dbproxy.io/v1alpha1/namespaces/shop/dbproxyendpoints"


def conditions(shop, name="reports"):
    status = shop.api.get(f"{ENDPOINTS}/{name}").get("status", {})
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in status.get("conditions", [])}


def ready(shop, name="reports"):
    return conditions(shop, name).get("Ready", (None, None, None))[:2]


def test_an_endpoint_says_where_it_is_served(shop):
    shop.operator()
    port = free_port()
    try:
        shop.api.apply(endpoint("reports", "orders", port))
        wait_for(lambda: ready(shop) == ("False", "NoDBProxy"), 20, "there is no DBProxy yet")
        assert "there is no DBProxy orders in namespace shop" in conditions(shop)["ResolvedRefs"][2]
        shop.apply()
        wait_for(lambda: ready(shop) == ("True", "Ready"), 20, "it is served")
        status = shop.api.get(f"{ENDPOINTS}/reports")["status"]
        assert (status["address"], status["port"]) == ("127.0.0.1", port)
        line = shop.api.kubectl("get", "dbpe", "reports", "-n", "shop", "-o", "wide").stdout.splitlines()[1].split()
        assert line[:5] == ["reports", "orders", str(port), "READ_ONLY", "True"] and line[-2:] == ["127.0.0.1", "Ready"]

        # A rule across objects: the port is the DBProxy's own. What was good stays.
        shop.api.patch(f"{ENDPOINTS}/reports", {"spec": {"port": shop.port}})
        wait_for(lambda: conditions(shop)["Accepted"][0] == "False", 20, "it is refused")
        assert str(shop.port) in conditions(shop)["Accepted"][2]
        assert shop.api.get(f"{ENDPOINTS}/reports")["status"]["port"] == port
        shop.api.patch(f"{ENDPOINTS}/reports", {"spec": {"port": port}})
        wait_for(lambda: conditions(shop)["Accepted"][0] == "True", 20, "it is good again")
        version = shop.api.get(f"{ENDPOINTS}/reports")["metadata"]["resourceVersion"]
        shop.api.delete(PATH)
        wait_for(lambda: ready(shop) == ("False", "NoDBProxy"), 20, "its DBProxy is gone")
        assert int(shop.api.get(f"{ENDPOINTS}/reports")["metadata"]["resourceVersion"]) > int(version)
    finally:
        shop.api.delete(ENDPOINTS)


def test_debug_logging_turns_itself_off(shop):
    operator = shop.operator(extra=("--debug-logging-seconds", "6"))
    shop.apply(debugLogging=True)
    sidecar = shop.sidecar(operator)
    until = wait_for(lambda: shop.status().get("debugLoggingUntil"), 20, "the time is in the status")
    assert shop.select("SELECT 'said aloud'") == "said aloud"
    wait_for(lambda: "said aloud" in sidecar.log(), 5, "statements are logged")
    operator.stop()  # a restart does not make it longer
    operator.start()
    wait_for(lambda: shop.events("DebugLoggingEnded"), 30, "there is an Event")
    assert shop.status()["debugLoggingUntil"] == until
    assert shop.api.get(PATH)["spec"]["debugLogging"] is True
    wait_for(lambda: silent(shop, sidecar), 20, "statements are not logged any more")
    shop.api.patch(PATH, {"spec": {"debugLogging": False}})
    wait_for(lambda: "debugLoggingUntil" not in shop.status(), 20, "the time is gone")
    shop.api.patch(PATH, {"spec": {"debugLogging": True}})
    wait_for(lambda: not silent(shop, sidecar), 20, "and it may be had again")


def silent(shop, sidecar):
    silent.calls = getattr(silent, "calls", 0) + 1
    word = f"whisper{silent.calls}"
    shop.select(f"SELECT '{word}'")
    return word not in sidecar.log()


def test_a_sidecar_that_nobody_uses_is_told_of(shop):
    operator = shop.operator(extra=("--unused-after-seconds", "2"))
    shop.apply()
    shop.sidecar(operator)
    found = wait_for(lambda: shop.events("SidecarUnused"), 20, "there is an Event")
    assert found[0]["regarding"]["name"] == "web-1" and "still dial the database" in found[0]["note"]


def test_connections_that_ran_out_make_an_event(shop):
    operator = shop.operator()
    shop.apply()
    shop.api.patch(PATH, [{"op": "replace", "path": "/spec/targetGroups/0/connectionPool/maxConnectionsPercent",
                           "value": 1}], "json")  # 2 of 200
    shop.sidecar(operator)
    wait_for(lambda: shop.status().get("connections", {}).get("limit", 0) in range(1, 5), 20, "the limit is small")
    stop = threading.Event()
    clients = [threading.Thread(target=hold, args=(shop, stop)) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        wait_for(lambda: shop.events("ConnectionsExhausted"), 30, "there is an Event")
    finally:
        stop.set()
        for client in clients:
            client.join()


def hold(shop, stop):
    while not stop.is_set():
        try:
            shop.select("SELECT 42 FROM pg_sleep(2)", connect_timeout=20)
        except psycopg.OperationalError:
            return
