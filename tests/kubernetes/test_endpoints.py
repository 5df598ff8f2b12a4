"""Where a DBProxy may point: not at what only the operator, the pod or the node can reach, whatever a name means."""

import psycopg
import pytest

from shop import PATH
from support.kube_operator import KubeOperator, PodSidecar, make_pod
from support.waiting import wait_for

CLUSTER = "/spec/targetGroups/0/dbCluster"


def point_at(shop, host):
    shop.api.patch(PATH, [{"op": "replace", "path": f"{CLUSTER}/endpoint", "value": host},
                          {"op": "add", "path": f"{CLUSTER}/instances", "value": []}], "json")


def test_addresses_of_the_inside_are_refused(shop):
    operator = shop.operator(allowed=())
    shop.apply()
    _, reason, message = shop.wait_condition("Accepted", "False")
    assert reason == "Invalid" and '"127.0.0.1" is a loopback address' in message
    wait_for(lambda: shop.events("Invalid"), 10, "there is an Event")
    wait_for(lambda: operator.metrics().sum("dbproxy_operator_endpoints_refused_total") >= 1, 10, "it is counted")
    for host, words in (("169.254.169.254", "the cloud's metadata service"), ("0.0.0.0", "an unspecified address"),
                        ("169.254.1.1", "a link-local address"), ("localhost", "a loopback address"),
                        ("10.96.0.1", "in the cluster's range of Services")):  # the API server tells its range
        point_at(shop, host)
        wait_for(lambda: f'"{host}" is {words}' in (shop.condition("Accepted")[2] or ""), 20, f"{host} is refused")
    assert not shop.status()["targets"]


def with_hosts(program, text):
    """The program sees this /etc/hosts, which may be written anew while it runs."""
    hosts = program.directory / "hosts"
    hosts.write_text(text)
    program.argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                    'mount --bind "$0" /etc/hosts && exec "$@"', hosts, *program.argv]
    return hosts


def test_what_a_name_means_is_looked_at_at_every_connect(shop):
    """A name that is bound anew after it was good; here 127.0.0.1 is allowed, and nothing else of loopback."""
    shop.apply()
    shop.api.patch(PATH, [{"op": "replace", "path": f"{CLUSTER}/tls", "value": {"mode": "require"}}], "json")
    point_at(shop, "db.example")
    operator = KubeOperator(shop.directory, shop.api, allowed=("127.0.0.1",))
    at_operator = with_hosts(operator, "127.0.0.1 db.example")
    shop.start(operator)
    shop.wait_condition("TargetsAvailable", "True")
    sidecar = PodSidecar(shop.directory, shop.api, make_pod(shop.api, "web-1"), operator)
    at_sidecar = with_hosts(sidecar, "127.0.0.2 db.example")
    shop.start(sidecar)
    with pytest.raises(psycopg.OperationalError, match="the address is refused: it is a loopback address"):
        shop.select()
    assert sidecar.metrics().sum("dbproxy_server_endpoints_refused_total") >= 1
    at_sidecar.write_text("127.0.0.1 db.example")
    wait_for(lambda: answers(shop), 20, "it is good again")

    at_operator.write_text("127.0.0.2 db.example")
    operator.stop()  # the connection on which it asks stays as it was
    operator.start()
    _, reason, message = shop.wait_condition("TargetsAvailable", "False")
    assert reason == "EndpointRefused" and "leads to a loopback" in message
    assert shop.condition("Accepted")[0] == "True"
    assert [each["reason"] for each in shop.status()["targets"]] == ["ENDPOINT_REFUSED"]
    wait_for(lambda: operator.metrics().sum("dbproxy_operator_endpoints_refused_total") >= 1, 10, "it is counted")
    # What only a resolver takes for an address is found there, too.
    point_at(shop, "127.2")
    wait_for(lambda: 'target=127.2 reason=ENDPOINT_REFUSED' in operator.log(), 20, "it is seen through")


def answers(shop):
    try:
        return shop.select() == 42
    except psycopg.OperationalError:
        return False


def test_what_the_installation_allows(shop):
    operator = shop.operator(allowed=("rds.amazonaws.com",))
    shop.apply()
    shop.wait_condition("Accepted", "False")
    point_at(shop, "db.example")
    wait_for(lambda: "(allowedEndpoints)" in (shop.condition("Accepted")[2] or ""), 20, "it is none of the names")
    point_at(shop, "orders.cluster-x.us-east-2.rds.amazonaws.com")
    shop.wait_condition("Accepted", "True")
    assert operator.process.alive()


@pytest.mark.parametrize("flag", [("--allowed-endpoint", "https://x"), ("--service-range", "10.96.0.0/33")])
def test_flags_are_checked(shop, flag):
    operator = shop.operator(wait=False, extra=flag)
    shop.programs.remove(operator)
    assert operator.process.popen.wait(20) == 2
    assert f'{flag[0]}: "{flag[1]}"' in operator.log()
