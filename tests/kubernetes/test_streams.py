"""Hundreds of sidecars' streams on one operator, as shipped; bench/operator does the same with thousands."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import paths
from support.fleet import Fleet
from support.kube_operator import NAMESPACE, PROXIES, KubeOperator, install_rights, make_pod
from support.manifests import config_map, db_proxy, secret
from support.postgres import PASSWORDS
from support.waiting import wait_for

STREAMS = 300
PERCENT = "/spec/targetGroups/0/connectionPool/maxConnectionsPercent"
PATH = PROXIES.format("shop") + "/orders"
# What 5,000 must reach on two cores of their own, many times over: here are fewer, and a busy machine.
EVERYWHERE, STORM, KILOBYTES = 10, 60, 100


def resident(operator) -> int:
    for line in open(f"/proc/{operator.process.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


@pytest.fixture(scope="module")
def pods(crds):
    """(identity, token, proxies) of each."""
    install_rights(crds)

    def made(number):
        pod = make_pod(crds, f"web-{number}")
        return f"shop/web-{number}", crds.account_token("shop", audience="dbproxy-operator", pod=pod), ["shop/orders"]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(made, range(STREAMS)))


def test_hundreds_of_streams(testbed, crds, pods):
    cluster = testbed.cluster(version=15, replicas=0)
    crds.apply(secret("orders-app", "app", PASSWORDS["app"]), db_proxy(cluster, 5432),
               config_map("database-ca", {"ca.pem": cluster.authority.certificate.read_text()}))
    operator = KubeOperator(testbed.directory, crds, binary=paths.release_binary("dbproxy-operator"),
                            nofile=STREAMS - 50)  # its soft limit, which it has to raise
    with operator:
        wait_for(operator.leads, 20, "it leads")
        bundle = testbed.directory / "ca.pem"
        wait_for(lambda: bundle.write_text(
            crds.get("/api/v1/namespaces/shop/configmaps/dbproxy-operator-ca")["data"]["ca.pem"]), 20, "the CA")
        empty = resident(operator)
        with Fleet(testbed.directory, operator.address, bundle, pods) as fleet:
            fleet.wait_in_force(20, STORM)
            each = (resident(operator) - empty - 8 * 1024) / STREAMS  # threads and what else there is once
            assert each < KILOBYTES, each
            wait_for(lambda: crds.get(PATH)["status"]["sidecars"]["updated"] == STREAMS, 20, "the status counts them")

            began = time.monotonic_ns()
            crds.patch(PATH, [{"op": "replace", "path": PERCENT, "value": 37}], "json")
            took = (fleet.wait_in_force(37)["in_force_at"]["last"] - began) / 1e9
            print(f"{each:.0f} KB each; an edit is everywhere after {took:.2f} s")
            assert took < EVERYWHERE

            operator.kill()
            wait_for(lambda: fleet.state()["up"] == 0, 20, "all streams have ended")
            crds.delete(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/dbproxy-operator")
            operator.start(wait=False)
            began = time.monotonic_ns()
            state = fleet.wait_up(STORM)
            print(f"all are back after {(state['up_at']['last'] - began) / 1e9:.1f} s")
            assert fleet.state(37)["in_force"] == STREAMS  # nobody lost it
            # What they hold they are not sent again.
            assert operator.metrics().sum("dbproxy_operator_config_pushes_total") == 0
