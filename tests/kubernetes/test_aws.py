"""secretArn on a real API server: what the installation granted is read, and what is wrong is a condition and an Event."""

import psycopg
import pytest

from support import aws
from support.kube_operator import PROXIES, KubeOperator, PodSidecar, install_rights, make_pod
from support.manifests import config_map, db_proxy
from support.ports import free_port
from support.postgres import PASSWORDS
from support.waiting import wait_for

PATH = PROXIES.format("shop") + "/orders"


@pytest.fixture(scope="module")
def moto(testbed):
    if not aws.available():
        pytest.skip("moto is not installed: run cmake/setup.sh test")
    with aws.Moto(testbed.subdirectory("moto")) as server:
        yield server


def conditions(api) -> dict:
    return {each["type"]: each for each in api.get(PATH).get("status", {}).get("conditions", [])}


def test_from_an_arn_to_a_query(crds, testbed, moto):
    install_rights(crds)
    port = free_port()
    granted = moto.make_secret("shop/app", {"username": "app", "password": PASSWORDS["app"]})
    foreign = moto.make_secret("pay/app", {"username": "reports", "password": PASSWORDS["reports"]})
    broken = moto.make_secret("shop/broken", {"username": "legacy"})
    cluster = testbed.cluster(version=15)
    directory = testbed.subdirectory("aws")
    grant = f"shop=arn:aws:secretsmanager:*:{aws.ACCOUNT}:secret:shop/*"
    crds.apply(config_map("database-ca", {"ca.pem": cluster.authority.certificate.read_text()}))

    def put(*arns, **spec):
        document = db_proxy(cluster, port, **spec)
        document["spec"]["auth"] = [{"secretArn": arn} for arn in arns]
        crds.apply(document)

    def unresolved(*words):
        found = conditions(crds).get("ResolvedRefs", {})
        return found.get("status") == "False" and all(word in found["message"] for word in words)

    put(granted)
    operator = KubeOperator(directory, crds, extra=("--aws-grant", grant, "--secret-poll-seconds", "1"), env=moto.env)
    with operator:
        with PodSidecar(directory, crds, make_pod(crds, "web-1"), operator):
            where = {"host": "127.0.0.1", "port": port, "dbname": "orders", "connect_timeout": 10}
            with psycopg.connect(user="app", password=PASSWORDS["app"], **where) as connection:
                assert connection.execute("SELECT current_user").fetchone() == ("app",)
                assert conditions(crds)["ResolvedRefs"]["status"] == "True"
                put(granted, foreign, broken)
                wait_for(lambda: unresolved("not granted to namespace shop", "aws.grants", "has no key password"),
                         20, "the condition says what is wrong")
                assert connection.execute("SELECT 1").fetchone() == (1,)
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(user="reports", password=PASSWORDS["reports"], **where)
            wait_for(lambda: any("has no key password" in item.get("note", "") for item in crds.get(
                "/apis/events.k8s.io/v1/namespaces/shop/events")["items"]), 20, "an Event says so too")
            put(granted, aws={"endpointOverrides": {"secretsmanager": "https://collector.example"}})
            wait_for(lambda: unresolved("below amazonaws.com"), 20, "nobody else is sent credentials")
            put(granted)
            wait_for(lambda: conditions(crds)["ResolvedRefs"]["status"] == "True", 20, "all is well again")
