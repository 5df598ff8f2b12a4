"""No secret in logs, pages, state files or error texts, after log-ins of all kinds to MySQL."""

import pymysql
import pytest

from support import aws, shown
from support.mysql import PASSWORDS
from support.sigv4 import presign

from bed import value


def test_nothing_shows_a_secret(bed):
    operator, sidecar = bed.operator(users=("app", "native"), debugLogging=True, auth={"native": {"iamAuth": "ENABLED"}},
                                     aws={"region": aws.REGION})
    secure = {"ssl_disabled": False, "ssl": {"check_hostname": False}}
    token = presign(aws.KEYS["AWS_SECRET_ACCESS_KEY"], aws.KEYS["AWS_ACCESS_KEY_ID"], f"orders.shop.dbproxy:{bed.port}",
                    aws.REGION, "rds-db", {"Action": "connect", "DBUser": "native"})
    assert value(bed.connect(), "SELECT 1") == 1
    assert value(bed.connect("native", **secure), "SELECT 1") == 1
    said = []
    for user, password in (("app", "wrong-password-1"), ("native", token), ("native", "wrong-password-1")):
        with pytest.raises(pymysql.err.OperationalError) as refused:
            bed.connect(user, password=password, **secure)
        said.append(str(refused.value))
    everything = shown.by([sidecar, operator], operator) | {"clients": "\n".join(said)}
    shown.assert_hidden(everything, {PASSWORDS["app"], PASSWORDS["native"], "wrong-password-1", token,
                                     token.split("X-Amz-Signature=")[1],
                                     operator.token(sidecar.identity).read_text().strip()})
