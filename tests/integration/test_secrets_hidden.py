"""No secret in logs, pages, state files, error texts or the process's own words, after all kinds of log-ins."""

import base64

import psycopg
import pytest

from support import aws, shown
from support.sigv4 import presign

SECRET, KEY = aws.KEYS["AWS_SECRET_ACCESS_KEY"], aws.KEYS["AWS_ACCESS_KEY_ID"]
WRONG = ("wrong-" + "password-1", "S3cr3t;DROP")


def test_nothing_shows_a_secret(bed):
    bed.write(users=("app", "reports"), requireTLS=False, debugLogging=True, aws={"region": aws.REGION},
              auth={"reports": {"iamAuth": "ENABLED"}})
    operator = bed.operator(env=aws.KEYS)
    sidecar = bed.sidecar_of(operator, env=aws.KEYS, state_dir=bed.directory / "sidecar0" / "kept")
    good = presign(SECRET, KEY, f"orders.shop.dbproxy:{bed.port}", aws.REGION, "rds-db",
                   {"Action": "connect", "DBUser": "reports"})
    tokens = [good, good.replace("DBUser=reports", "DBUser=app"), good[:-2]]
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    assert bed.connect("reports", password=good, sslmode="require").execute("SELECT 1").fetchone() == (1,)
    assert bed.connect("reports", sslmode="require").execute("SELECT 1").fetchone() == (1,)
    said = []
    for user, password, options in [("app", WRONG[0], {}), ("nobody", WRONG[1], {"sslmode": "require"}),
                                    *(("reports", token, {"sslmode": "require"}) for token in (*tokens[1:], WRONG[0]))]:
        with pytest.raises(psycopg.OperationalError) as refused:
            bed.connect(user, password=password, **options)
        said.append(str(refused.value))
    bed.manifests.edit("orders-secrets.yaml", lambda document: document.get("stringData", {}).update(
        password=WRONG[0] if document["metadata"]["name"] == "orders-reports" else "app-secret"))
    secrets = {"app-secret", "reports-secret", *WRONG, SECRET, *tokens,
               *(token.split("X-Amz-Signature=")[1] for token in tokens),
               operator.token(sidecar.identity).read_text().strip()}
    secrets |= {base64.b64encode(each.encode()).decode() for each in secrets}
    everything = shown.by([sidecar, operator], operator) | {"clients": "\n".join(said)}
    assert len(everything) > 25
    shown.assert_hidden(everything, secrets)
