"""What a database gets as it is, tokens of IAM and passwords in clear text, goes on the installation's word only."""

import psycopg
import pytest

from shop import PATH
from support import aws
from support.kube_operator import PROXIES
from support.manifests import config_map, db_proxy, secret
from support.postgres import PASSWORDS
from support.waiting import wait_for

TLS = "/spec/targetGroups/0/dbCluster/tls"


@pytest.fixture
def bundle(shop):
    """What --rds-ca names: the CA of the database, as the installation knows it."""
    file = shop.directory / "rds-ca.pem"
    file.write_text(shop.cluster.authority.certificate.read_text())
    return file


def test_a_password_in_clear_text_is_for_no_server_of_a_namespaces_own_ca(shop, bundle):
    """PostgreSQL asks for it so where pg_hba.conf says `password`; that shows only when it does."""
    shop.api.apply(secret("orders-plain", "plain", PASSWORDS["plain"]))
    operator = shop.operator()
    shop.apply(users=("app", "plain"))
    sidecar = shop.sidecar(operator)
    assert shop.select() == 42, "SCRAM shows nobody the password"
    plain = {"user": "plain", "password": PASSWORDS["plain"]}
    with pytest.raises(psycopg.OperationalError, match="in clear text, which is given to a database only that the "
                                                       "installation's CA vouches for.*have the CA added to rdsCA"):
        shop.select(**plain)
    assert sidecar.metrics().sum("dbproxy_server_clear_text_refused_total") >= 1
    assert "asks for the password in clear text" in sidecar.log() and PASSWORDS["plain"] not in sidecar.log()
    # The operator asks databases as one of the users as well.
    shop.api.patch(PATH, [{"op": "remove", "path": "/spec/auth/0"}], "json")
    wait_for(lambda: "asks for the password in clear text" in operator.log(), 30, "nor does it give it away")
    shop.api.patch(PATH, {"spec": {"auth": [{"secretRef": {"name": f"orders-{user}"}} for user in ("app", "plain")]}})
    operator.stop()
    operator.argv += ["--rds-ca", bundle]
    operator.start()
    shop.wait_condition("Ready", "True")
    with pytest.raises(psycopg.OperationalError, match="have the CA added to rdsCA of the installation, and remove"):
        shop.select(**plain)
    shop.api.patch(PATH, [{"op": "remove", "path": f"{TLS}/caRef"}], "json")
    wait_for(lambda: works(shop, **plain), 40, "it is given to whom the installation vouches for")


def works(shop, **options):
    try:
        return shop.select(**options) == 42
    except psycopg.OperationalError:
        return False


@pytest.mark.parametrize("named", [True, False], ids=["caRef", "none"])
def test_tokens_need_a_ca_of_the_installation(shop, bundle, named):
    shop.api.apply(config_map("database-ca", {"ca.pem": bundle.read_text()}))
    document = db_proxy(shop.cluster, shop.port, clientAuth="PodIdentity", aws={"region": aws.REGION})
    document["spec"]["auth"] = [{"authScheme": "IAM", "userName": "app"}]
    if not named:
        document["spec"]["targetGroups"][0]["dbCluster"]["tls"] = {"mode": "verify-full"}
    operator = shop.operator(env=aws.no_keys(shop.directory))
    shop.api.apply(document)
    _, _, message = shop.wait_condition("ResolvedRefs", "False")
    assert "tokens of IAM are sent only to databases that the installation's CA vouches for, and this installation has " \
           "none; have rdsCA of the installation set" in message and "is missing" not in message
    wait_for(lambda: shop.events("ReferencesUnresolved"), 20, "there is an Event")
    assert not shop.status().get("targets"), "it is not in force"
    operator.stop()
    operator.argv += ["--rds-ca", bundle]
    operator.start()
    wait_for(lambda: "installation has none" not in str(shop.api.get(PROXIES.format("shop") + "/orders")["status"]), 30,
             "with rdsCA it is taken")
