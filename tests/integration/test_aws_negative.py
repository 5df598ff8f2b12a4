"""secretArn: everything that can be wrong with a secret, a key or a permission, and that each is told for what it is.

One DBProxy names all secrets of the table: each costs its own user alone.
"""

from support import aws
from support.negative import ARN, SECRETS, SecretsManager
from support.postgres import PASSWORDS
from support.waiting import wait_for


def test_each_is_told_for_what_it_is(bed):
    assert len(SECRETS) >= 40
    bed.write()

    def change(document):
        if document["kind"] == "DBProxy":
            document["spec"]["auth"] = [{"secretArn": ARN + name} for name in ("good", *SECRETS)]
    bed.manifests.edit("orders.yaml", change)
    bed.manifests.edit("orders-secrets.yaml", lambda document: None)
    with SecretsManager() as service:
        sidecar = bed.sidecar(write=False, env={**aws.KEYS, "AWS_ENDPOINT_URL": service.url},
                              extra=("--secret-poll-seconds", "1"))
        assert bed.connect().execute("SELECT current_user").fetchone() == ("app",), "the others are served"

        def untold():
            said = [line for line in sidecar.log().splitlines() if "secretArn" in line]
            return [name for number, (name, (_, words)) in enumerate(SECRETS.items(), 1)
                    if not any(f"spec.auth[{number}].secretArn" in line and words in line for line in said)]
        try:
            wait_for(lambda: not untold(), 30, "each is told")
        except TimeoutError:
            assert untold() == []
        assert "hidden-words" not in sidecar.log() and PASSWORDS["app"] not in sidecar.log()
