"""One connection budget for the pods of a DBProxy: never above it, whoever leads and whatever becomes of the pods."""

import contextlib
import json

import psycopg

from shop import PATH
from support.budget import WATCHED, Load, Watch
from support.kube_apiserver import Refused
from support.kube_operator import delete_pod, make_pod
from support.manifests import db_proxy
from support.ports import free_port
from support.postgres import PASSWORDS
from support.waiting import wait_for

LIMIT = 6  # percent, and of the 100 connections that each server allows
CEILINGS = "/api/v1/namespaces/shop/configmaps/dbproxy-ceilings-orders"
CLIENTS = 8


class Pods:
    """The pods of the DBProxy, each with an address of its own, since all serve the same port."""

    def __init__(self, shop, operator):
        self.shop, self.operator, self.programs = shop, operator, []

    def add(self, *names: str):
        for name in names:
            self._add(name)

    def _add(self, name: str):
        shop = self.shop
        program = shop.sidecar(self.operator, pod=make_pod(shop.api, name), bind=self.host(len(self.programs)))
        self.programs.append(program)

    @staticmethod
    def host(number: int) -> str:
        return f"127.0.0.{number + 2}"

    def dsn(self, number: int) -> str:
        return (f"host={self.host(number)} port={self.shop.port} user=app password={PASSWORDS['app']} "
                f"dbname=orders connect_timeout=30")

    def load(self, number: int, clients: int = CLIENTS, hold: float = 0.005) -> Load:
        return Load([self.dsn(number)], clients, hold)


def go_on(*loads: Load):
    for load in loads:
        load.goes_on()


def granted(operator) -> int:
    return int(operator.metrics().sum("dbproxy_operator_slots_granted"))


def sessions(shop) -> int:
    return shop.cluster.writer.sessions("app", WATCHED.split("'app' AND ")[1])


def ceilings(shop):
    try:
        found = shop.api.get(CEILINGS)
    except Refused:
        return {}
    lines = [line.split() for line in found["data"]["ceilings"].splitlines()]
    return {words[0]: int(words[2]) for words in lines if len(words) == 3}


def apply(shop, **pool):
    shop.apply()
    shop.api.patch(PATH, [{"op": "replace", "path": "/spec/targetGroups/0/connectionPool",
                           "value": {"maxConnectionsPercent": LIMIT, "connectionBorrowTimeoutSeconds": 60, **pool}}],
                   "json")


def test_pods_share_one_budget_whoever_leads_and_whoever_dies(shop):
    first = shop.operator("operator-1")
    apply(shop)
    wait_for(first.leads, 20, "the first leads")
    second = shop.operator("operator-2")
    pods = Pods(shop, second)  # which sends them on to whoever leads
    pods.add("web-1", "web-2")
    with Watch(shop.cluster.writer) as watch:
        with pods.load(0) as one:
            with pods.load(1) as two:
                go_on(one, two)
                wait_for(lambda: granted(first) == LIMIT, 30, "all of it is in use")
                kept = shop.api.get(CEILINGS)
                assert [each["name"] for each in kept["metadata"]["ownerReferences"]] == ["orders"]
                wait_for(lambda: sum(ceilings(shop).values()) == LIMIT, 30, "as is kept")

                # The leader dies: what is held is held, and the next one knows of it before it grants.
                first.kill()
                go_on(one, two)
                wait_for(second.leads, 40, "the second leads")
                wait_for(lambda: granted(second) == LIMIT, 30, "it knows who has what")
                go_on(one, two)
            assert one.failed == two.failed == 0

            with pods.load(1) as two:
                go_on(two, one)

                # What somebody changed in what is kept is read again, and nothing is granted by it.
                shop.api.delete(CEILINGS)
                # A pod whose kubelet says that its container has ended.
                pods.programs[1].kill()
                shop.api.patch("/api/v1/namespaces/shop/pods/web-2/status", {"status": {
                    "phase": "Failed", "initContainerStatuses": [{
                        "name": "dbproxy", "image": "dbproxy", "imageID": "", "ready": False, "restartCount": 0,
                        "state": {"terminated": {"exitCode": 137}}}]}})
            wait_for(lambda: set(ceilings(shop)) == {"shop/web-1"}, 30, "it is forgotten")
            assert "what was kept was changed by somebody else" in second.log()
            wait_for(lambda: sessions(shop) == LIMIT, 30, "the other one has it all")
        assert one.failed == 0

        # A pod that is gone, and nobody knows how: what it left is charged until the database shows that it is closed.
        pods.add("web-3")
        with pods.load(2, hold=3) as lost:
            wait_for(lambda: sessions(shop) >= LIMIT - 1, 30, "it is busy")
            pods.programs[2].kill()
            delete_pod(shop.api, "web-3")
            with pods.load(0) as one:
                wait_for(lambda: "shop/web-3" not in ceilings(shop), 40, "its sessions have ended")
                wait_for(lambda: sessions(shop) == LIMIT, 30, "the other one has it all")
                one.goes_on()
        assert lost.failed > 0 and one.failed == 0
    assert watch.samples > 100 and watch.most <= LIMIT
    print(json.dumps({"samples": watch.samples, "most": watch.most}))


def test_a_silent_pod_is_charged_and_told_of(shop):
    operator = shop.operator()
    apply(shop)
    pods = Pods(shop, operator)
    pods.add("web-1", "web-2")
    with Watch(shop.cluster.writer) as watch, pods.load(0) as one:
        one.goes_on()
        held = wait_for(lambda: ceilings(shop).get("shop/web-1"), 20, "it has something")
        pods.programs[0].kill()
        wait_for(lambda: shop.events("SidecarSilent"), 40, "there is an Event")
        assert ceilings(shop)["shop/web-1"] >= min(held, LIMIT - 1)
        with pods.load(1, 1) as two:
            two.goes_on()
        # The same pod comes back: what the process before it had is looked for, and is its own again.
        pods.programs[0].start()
        one.goes_on()
    assert watch.most <= LIMIT


def test_transactions_that_give_way_are_told_of_at_their_pod(shop):
    operator = shop.operator()
    apply(shop, giveBackTimeoutSeconds=1)
    pods = Pods(shop, operator)
    pods.add("web-1", "web-2")
    with contextlib.ExitStack() as clients:
        for _ in range(LIMIT - 1):
            client = psycopg.connect(pods.dsn(0), autocommit=True)
            clients.callback(client.close)
            client.execute("BEGIN")
            client.execute("SELECT 1")
        assert not shop.events("TransactionsGaveWay")
        with pods.load(1, LIMIT) as other:
            other.goes_on()
            told = wait_for(lambda: shop.events("TransactionsGaveWay"), 40, "there is an Event")
            other.goes_on()
        assert other.failed == 0
    assert {(each["regarding"]["kind"], each["regarding"]["name"], each["type"]) for each in told} == {("Pod", "web-1", "Warning")}
    assert "beyond the pod's share, while others waited" in told[0]["note"]


def test_two_names_of_one_server_are_one_database(shop):
    shop.operator()
    apply(shop, maxConnectionsPercent=60)
    shop.api.apply(db_proxy(shop.cluster, free_port(), "billing", auth={"app": {"secretRef": {"name": "orders-app"}}},
                            pool={"maxConnectionsPercent": 50},
                            db_cluster={"endpoint": "localhost", "port": shop.cluster.writer.port}))
    _, reason, message = shop.wait_condition("Degraded", "True")
    writer = shop.cluster.writer
    assert reason == "Overcommitted"
    assert f"{writer.host}:{writer.port}, localhost:{writer.port}, which are one server (shop/billing, shop/orders)" in message
    wait_for(lambda: shop.events("Overcommitted"), 20, "there is an Event")
