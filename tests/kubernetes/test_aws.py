"""secretArn on a real API server: what the installation granted is read, and what is wrong is a condition and an Event."""

import re

import psycopg
import pytest

from support import aws
from support.kube_operator import PROXIES, KubeOperator, PodSidecar, delete_pod, make_pod
from support.manifests import config_map, db_proxy, endpoint
from support.negative import ARN, SECRETS, SecretsManager
from support.ports import free_port
from support.postgres import PASSWORDS
from support.rds import Rds
from support.sigv4 import presign
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


def test_from_an_arn_to_a_query(rights, testbed, moto):
    crds = rights
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
    delete_pod(crds, "web-1")
    crds.delete(PATH)


def resolved(shop, status, *words):
    condition = shop.condition("ResolvedRefs")
    return condition[0] == status and all(word in condition[2] for word in words)


def test_clusters_and_roles_are_granted_to_a_namespace(shop, moto):
    """As secrets are: what another namespace may have is not this one's, and a pattern says how much it is."""
    role = f"arn:aws:iam::{aws.ACCOUNT}:role/reader"
    arn = moto.make_secret("shop/by-role", {"username": "app", "password": PASSWORDS["app"]})
    grants = ("shop=arn:aws:rds:*:*:cluster:orders-*", "pay=arn:aws:rds:*:*:cluster:*", f"shop={role}",
              f"pay=arn:aws:iam::{aws.ACCOUNT}:role/*", "pay=arn:aws:secretsmanager:*")
    writer = shop.cluster.writer
    with Rds("orders-cluster", {"orders-1": (writer.host, writer.port)}) as rds:
        shop.operator(env={**moto.env, "AWS_ENDPOINT_URL_RDS": rds.url},
                      extra=("--secret-poll-seconds", "1", "--rds-ca", shop.cluster.authority.certificate,
                             *(f"--aws-grant={grant}" for grant in grants)))

        def put(identifier, **spec):
            shop.apply(db_cluster={"identifier": identifier}, **spec)
        put("pay-cluster", aws={"region": aws.REGION})
        wait_for(lambda: resolved(shop, "False", "not granted to namespace shop", "cluster:pay-cluster"), 20,
                 "another cluster is not granted")
        assert not rds.asked, "and not looked up"
        wait_for(lambda: shop.events("ReferencesUnresolved"), 20, "there is an Event")
        put("orders-cluster", aws={"region": aws.REGION})
        wait_for(lambda: resolved(shop, "True"), 20, "its own is")
        wait_for(lambda: [each["id"] for each in shop.status()["targets"]] == ["orders-1"], 20, "and has its members")

        def by_role(role_arn):
            shop.api.patch(PATH, {"spec": {"aws": {"region": aws.REGION, "roleArn": role_arn},
                                           "auth": [{"secretArn": arn}]}})
        by_role(role.replace("reader", "admin"))
        wait_for(lambda: resolved(shop, "False", "is read as aws.roleArn, which is not granted to namespace shop"), 20,
                 "another role is not granted")
        by_role(role)
        wait_for(lambda: resolved(shop, "True"), 20, "its own is assumed, and reads a secret that no grant names")
        shop.api.patch(PATH, {"spec": {"aws": {"region": aws.REGION, "roleArn": None}}})
        wait_for(lambda: resolved(shop, "False", "is not granted to namespace shop"), 20, "without the role it is not")
        shop.api.patch(PATH, {"spec": {"auth": [{"authScheme": "IAM", "userName": "app", "iamAuth": "REQUIRED"}]}})
        wait_for(lambda: resolved(shop, "False", "arn:aws:rds-db:*:*:dbuser:*/app") or "dbuser:*/app" in str(
            shop.condition("Accepted")), 20, "nor may the operator log in by its own rights")


def test_what_iam_needs_is_in_the_status_and_what_cannot_be_is_said(shop):
    """The host that tokens are made for, the id for inventories; and REQUIRED where nobody can verify a token."""
    none = aws.no_keys(shop.directory)
    operator = shop.operator(env=none)
    shop.apply(auth={"app": {"iamAuth": "REQUIRED"}}, aws={"region": aws.REGION})
    readers = free_port()
    shop.api.apply(endpoint("orders-readers", "orders", readers))
    try:
        shop.sidecar(operator, env=none)
        shop.wait_condition("Degraded", "True")
        status, reason, message = shop.condition("Degraded")
        assert reason == "IamAuthImpossible" and "shop/web-1" in message and "list iamPrincipals" in message
        event = wait_for(lambda: shop.events("IamAuthImpossible"), 20, "there is an Event")[0]
        assert event["type"] == "Warning" and "no token can be verified" in event["note"]
        found = shop.status()
        assert re.fullmatch("prx-[0-9a-f]{17}", found["resourceId"])
        hosts = {each["name"]: (each["port"], each.get("iamHost")) for each in found["endpoints"]}
        assert hosts == {"default": (shop.port, "orders.shop.dbproxy"), "orders-readers": (readers, "orders.shop.dbproxy")}
        with pytest.raises(psycopg.OperationalError, match="keys that the sidecar does not have"):
            shop.select(password=presign("s", "AKIAOTHER", f"orders.shop.dbproxy:{shop.port}", aws.REGION, "rds-db", {
                "Action": "connect", "DBUser": "app"}), sslmode="require")
        shop.api.patch(PATH, {"spec": {"auth": [{"secretRef": {"name": "orders-app"}}]}})
        wait_for(lambda: shop.condition("Degraded")[0] is None, 20, "without iamAuth nothing is missing")
        assert shop.status()["resourceId"] == found["resourceId"]
        assert all("iamHost" not in each for each in shop.status()["endpoints"])
        assert shop.select() == 42
    finally:
        shop.api.delete("/apis/dbproxy.io/v1alpha1/namespaces/shop/dbproxyendpoints")


def test_each_secret_that_cannot_be_read_is_a_condition_and_an_event(shop):
    """A DBProxy for each line of the table: one more secret, beside one that is good."""
    with SecretsManager() as service:
        shop.operator(env={**aws.KEYS, "AWS_ENDPOINT_URL": service.url}, extra=("--aws-grant", f"shop={ARN}*"))
        for number, name in enumerate(SECRETS):
            document = db_proxy(shop.cluster, 20000 + number, name=f"case-{name}", tls=False,
                                db_cluster={"endpoint": "127.0.0.1", "port": 1})
            document["spec"]["auth"] = [{"secretArn": ARN + "good"}, {"secretArn": ARN + name}]
            shop.api.apply(document)

        def unsaid():
            objects = {each["metadata"]["name"]: each.get("status", {}).get("conditions", [])
                       for each in shop.api.get(PROXIES.format("shop"))["items"]}
            notes = {}
            for event in shop.events("ReferencesUnresolved"):
                notes.setdefault(event["regarding"]["name"], []).append(event["note"])
            out = []
            for name, (_, words) in SECRETS.items():
                conditions = {each["type"]: each for each in objects[f"case-{name}"]}
                found = conditions.get("ResolvedRefs", {})
                if found.get("status") != "False" or words not in found["message"] or ARN + name not in found["message"]:
                    out.append((name, found))
                elif not any(words in note for note in notes.get(f"case-{name}", ())):
                    out.append((name, "no Event"))
            return out
        try:
            wait_for(lambda: not unsaid(), 60, "each is said", interval=0.3)
        except TimeoutError:
            assert unsaid() == []
        everything = str(shop.api.get(PROXIES.format("shop"))) + str(shop.events("ReferencesUnresolved"))
        assert "hidden-words" not in everything and PASSWORDS["app"] not in everything
