"""Parts go away; queries do not notice."""

import pytest

from e2e.queries import Queries
from e2e.world import OPERATOR, SYSTEM
from support.waiting import wait_for

BACK_WITHIN = 25  # seconds until a new leader serves after the old one vanished


def own_node(world):
    if world.kubernetes.node is None:
        pytest.skip("takes a part of the node away: on tests/cluster only")
    return world.kubernetes.node


def test_the_api_server_goes_away_and_comes_back(orders):
    node = own_node(orders)
    script = "while sleep 0.2; do psql -XAtqc 'SELECT 1' || echo FAILED; echo done; done"
    orders.run_pod("busy", script=script)
    node.hold("kube-apiserver")
    try:
        wait_for(lambda: orders.kubectl("get", "--raw", "/readyz", check=False).returncode != 0, 30, "API server away",
                 interval=0.1)
    finally:
        node.release("kube-apiserver")
    wait_for(lambda: orders.kubectl("get", "--raw", "/readyz").stdout == "ok", 60, "API server back", interval=0.2)
    orders.edit_arrives()
    logs = orders.kubectl("logs", "-n", orders.namespace, "busy", "-c", "app").stdout
    orders.kubectl("delete", "pod", "busy", "-n", orders.namespace, "--wait=false")
    assert "done" in logs and "FAILED" not in logs


def test_the_leader_is_killed_and_no_query_notices(orders):
    old = orders.leader()
    with Queries(orders):
        orders.kubectl("delete", "pod", old, "-n", SYSTEM, "--force", "--grace-period=0")
        wait_for(lambda: orders.leader() != old, BACK_WITHIN + 10, "another replica leads", interval=0.2)
        orders.edit_arrives()
    wait_for(lambda: len(orders.operators()) == 2, 60, "two replicas again", interval=0.5)


def test_the_operator_is_away_and_the_sidecar_restarts_meanwhile(orders):
    """It serves with its last good configuration and with the connections that it had: docs/decisions/0025."""
    node = own_node(orders)
    orders.kubectl("scale", "deployment", OPERATOR, "-n", SYSTEM, "--replicas=0")
    try:
        wait_for(lambda: not orders.get("pods", "-n", SYSTEM)["items"], 60, "no operator", interval=0.3)
        for restarts, signal in enumerate(("SIGKILL", "SIGTERM"), 1):
            container = orders.sidecar("app")["containerID"].rpartition("/")[2]
            node.on_node("ctr", "--address", "/run/containerd/containerd.sock", "-n", "k8s.io", "task", "kill", "-s",
                         signal, container)
            wait_for(lambda restarts=restarts: orders.sidecar("app")["restartCount"] == restarts and
                     orders.sidecar("app")["ready"], 60, f"the sidecar is back after {signal}", interval=0.3)
            assert orders.psql("app", "SELECT 1").stdout == "1\n"
        assert not orders.get("pods", "-n", SYSTEM)["items"]
    finally:
        orders.kubectl("scale", "deployment", OPERATOR, "-n", SYSTEM, "--replicas=2")
        orders.kubectl("rollout", "status", f"deployment/{OPERATOR}", "-n", SYSTEM, "--timeout=60s")
    wait_for(lambda: orders.psql("app", "SELECT 1").stdout == "1\n", 60, "queries again", interval=0.3)
    orders.edit_arrives()
