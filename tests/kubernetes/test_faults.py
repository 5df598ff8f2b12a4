"""What the operator knows equals what the API server has, after whatever happened between them.

The client's own tests (test_client.py) have each fault by itself and in each shape; here is the operator that uses it.
"""

import http.client
import json
import signal

import pytest

from support.fault_proxy import FaultProxy
from support.kube_operator import PROXIES, KubeOperator, install_rights
from support.waiting import wait_for

COUNT = 10
LIST = PROXIES.format("shop")


def proxy(number: int, percent: int = 20) -> dict:
    return {"apiVersion": "dbproxy.io/v1alpha1", "kind": "DBProxy",
            "metadata": {"name": f"proxy-{number}", "namespace": "shop"},
            "spec": {"engineFamily": "POSTGRESQL", "port": 6000 + number, "requireTLS": False,
                     "auth": [{"secretRef": {"name": "app"}}],
                     "targetGroups": [{"name": "default", "dbCluster": {
                         "endpoint": "127.0.0.1", "port": 9, "tls": {"mode": "disable"}},
                         "connectionPool": {"maxConnectionsPercent": percent}}]}}


@pytest.fixture(scope="module")
def operator(testbed, crds):
    """Its way to the API server is the FaultProxy `operator.way`."""
    install_rights(crds)
    crds.request("POST", "/api/v1/namespaces/shop/secrets", {
        "metadata": {"name": "app"}, "stringData": {"username": "app", "password": "none"}})
    crds.apply(*[proxy(number) for number in range(COUNT)])
    with FaultProxy("127.0.0.1", crds.port) as way:
        operator = KubeOperator(testbed.directory, crds)
        operator.way = way
        kubeconfig = operator.argv[operator.argv.index("--kubeconfig") + 1]
        config = json.loads(kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{way.port}"
        kubeconfig.write_text(json.dumps(config))
        with operator:
            yield operator


def known(operator) -> set[str]:
    connection = http.client.HTTPConnection(operator.http, timeout=10)
    connection.request("GET", "/api/v1/dbproxies", headers={"Authorization": f"Bearer {operator.api.admin_token}"})
    rows = json.loads(connection.getresponse().read())["items"]
    connection.close()
    return {row["name"] for row in rows}


def equal(operator, timeout: float = 60):
    """Every DBProxy's status is of its newest generation, and the operator's own page has those that there are."""
    def same():
        items = operator.api.get(LIST)["items"]
        behind = [item["metadata"]["name"] for item in items
                  if item.get("status", {}).get("observedGeneration") != item["metadata"]["generation"]]
        assert not behind, behind
        assert known(operator) == {item["metadata"]["name"] for item in items}
        return True
    wait_for(same, timeout, "the operator knows what the API server has", interval=0.2)


def change(api, round_: int):
    """One made, one changed, one gone."""
    api.apply(proxy(COUNT + round_), proxy(0, 30 + round_))
    api.delete(f"{LIST}/proxy-{1 + round_}")


def test_cut_restarted_and_compacted(operator, crds):
    equal(operator)
    operator.way.refuse()
    change(crds, 0)
    operator.way.refuse(False)
    equal(operator)

    crds.stop_apiserver(signal.SIGKILL)
    crds.start_apiserver()
    change(crds, 1)
    equal(operator)

    operator.way.refuse()
    change(crds, 2)
    crds.compact()
    change(crds, 3)
    operator.way.refuse(False)
    equal(operator)
