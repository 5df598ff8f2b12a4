"""aws.serviceAccountName on a real API server: the account's token, which STS has judged there, gives its role's keys."""

import json

from support import aws
from support.kube_operator import PROXIES, allow_accounts
from support.manifests import config_map, db_proxy
from support.postgres import PASSWORDS
from support.token_gate import PostgresGate
from support.waiting import wait_for
from support.web_identity import WebIdentity

SECRET = f"arn:aws:secretsmanager:{aws.REGION}:{aws.ACCOUNT}:secret:orders-AbCdEf"
ROLE = f"arn:aws:iam::{aws.ACCOUNT}:role/"
# Whom a DBProxy names: an account with this role, whether the installation lets it be used, and what is said.
CASES = {
    "forbidden": (ROLE + "orders", False, "the operator may not use it; have it added to aws.serviceAccounts"),
    "missing": (None, True, "service account shop/missing does not exist"),
    "bare": ("", True, "names no role; annotate it: kubectl -n shop annotate serviceaccount bare"),
    "odd": ("orders", True, "names a role that is no ARN of one"),
    "untrusted": (ROLE + "untrusted", True, "the role's trust policy has to name the service account"),
}


def make_account(api, name, role):
    annotations = {"eks.amazonaws.com/role-arn": role} if role else {}
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount",
               "metadata": {"name": name, "namespace": "shop", "annotations": annotations}})


def by_secret(shop, port, name, account, **spec):
    document = db_proxy(shop.cluster, port, name=name, aws={"region": aws.REGION, "serviceAccountName": account, **spec})
    document["spec"]["auth"] = [{"secretArn": SECRET}]
    return document


def references(api, name):
    conditions = api.get(PROXIES.format("shop") + "/" + name).get("status", {}).get("conditions", [])
    found = [each for each in conditions if each["type"] == "ResolvedRefs"]
    return (found[0]["status"], found[0]["message"]) if found else ("", "")


def test_the_account_of_a_dbproxy_reads_its_secret_and_logs_in_to_its_database(shop):
    api = shop.api
    api.apply(config_map("database-ca", {"ca.pem": shop.cluster.authority.certificate.read_text()}))
    make_account(api, "orders-database", ROLE + "orders")
    allow_accounts(api, "shop", ["orders-database"])
    login = json.dumps({"username": "app", "password": PASSWORDS["app"]})
    writer = shop.cluster.writer
    # Of keys that end so soon every use asks for new ones.
    with (WebIdentity(api, {ROLE + "orders": "shop/orders-database"}, {SECRET: login}, seconds=60) as service,
          PostgresGate(shop.cluster.authority, writer.directory / f".s.PGSQL.{writer.port}", service.secret_key,
                       aws.REGION, service.key_id) as gate):
        operator = shop.operator(env={**aws.no_keys(shop.directory), "AWS_ENDPOINT_URL": service.url},
                                 extra=("--secret-poll-seconds", "1", "--rds-ca", shop.cluster.authority.certificate))
        api.apply(by_secret(shop, shop.port, "orders", "orders-database"))
        shop.sidecar(operator)
        assert shop.select() == 42
        shop.wait_condition("ResolvedRefs", "True")
        wait_for(lambda: len(service.tokens) >= 3, 30, "the keys are taken anew before they end")
        # The monitor's log-in by a token that these keys have signed.
        iam = db_proxy(shop.cluster, 1, name="by-token", clientAuth="PodIdentity",
                       aws={"region": aws.REGION, "serviceAccountName": "orders-database"},
                       db_cluster={"endpoint": gate.host, "port": gate.port})
        iam["spec"]["auth"] = [{"authScheme": "IAM", "userName": "app"}]
        api.apply(iam)
        wait_for(lambda: gate.tokens, 30, "the operator logs in by a token")
        assert not gate.refusals
        assert any(session.replace("/", "%2F") in gate.tokens[0] for session in service.sessions)
        # STS elsewhere would be sent what lets its owner be the account.
        with WebIdentity(api, {}, {}) as collector:
            for name in ("orders", "by-token"):
                api.patch(PROXIES.format("shop") + "/" + name,
                          {"spec": {"aws": {"endpointOverrides": {"sts": collector.url}}}})
                wait_for(lambda: "below amazonaws.com" in str(api.get(PROXIES.format("shop") + "/" + name)["status"][
                    "conditions"]), 20, "that is refused")
            assert not collector.tokens and not collector.refused
        log, pages = operator.log(), str(api.get(PROXIES.format("shop"))) + operator.metrics().text
        for hidden in (*service.tokens, *service.sessions, service.secret_key, *gate.tokens, PASSWORDS["app"]):
            assert hidden not in log and hidden not in pages


def test_what_is_missing_is_said_and_once_it_is_there_it_is_used(shop):
    api = shop.api
    api.apply(config_map("database-ca", {"ca.pem": shop.cluster.authority.certificate.read_text()}))
    for number, (name, (role, _, _)) in enumerate(CASES.items()):
        if role is not None:
            make_account(api, name, role)
        api.apply(by_secret(shop, 20000 + number, f"case-{name}", name))
    allow_accounts(api, "shop", [name for name, (_, allowed, _) in CASES.items() if allowed])
    login = json.dumps({"username": "app", "password": PASSWORDS["app"]})
    with WebIdentity(api, {ROLE + "orders": "shop/bare"}, {SECRET: login}) as service:
        shop.operator(env={**aws.no_keys(shop.directory), "AWS_ENDPOINT_URL": service.url},
                      extra=("--secret-poll-seconds", "1"))

        def unsaid():
            notes = [event["note"] for event in shop.events("ReferencesUnresolved")]
            return [(name, references(api, f"case-{name}")) for name, (_, _, words) in CASES.items()
                    if references(api, f"case-{name}")[0] != "False" or words not in references(api, f"case-{name}")[1]
                    or not any(words in note for note in notes)]
        try:
            wait_for(lambda: not unsaid(), 30, "each is said, by a condition and an Event")
        except TimeoutError:
            assert unsaid() == []
        assert set(service.refused) == {"shop/untrusted"}, "nobody else's token was asked for"
        make_account(api, "bare", ROLE + "orders")
        wait_for(lambda: references(api, "case-bare")[0] == "True", 60, "with its role it is used")
