"""What a database gets as it is, tokens of IAM, goes on the installation's word only."""

import pytest

from support import aws
from support.kube_operator import PROXIES
from support.manifests import config_map, db_proxy
from support.waiting import wait_for


@pytest.fixture
def bundle(shop):
    """What --rds-ca names: the CA of the database, as the installation knows it."""
    file = shop.directory / "rds-ca.pem"
    file.write_text(shop.cluster.authority.certificate.read_text())
    return file


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
