"""authScheme: IAM: the sidecar and the operator log in to the database by tokens that they sign, on real PostgreSQL.

What checks the tokens is a gate in front of it (support/token_gate.py).
"""

import psycopg
import pytest

from support import aws
from support.sigv4 import presign
from support.token_gate import PostgresGate
from support.waiting import wait_for


@pytest.fixture
def gate(bed):
    real = bed.writer.directory / f".s.PGSQL.{bed.writer.port}"
    with PostgresGate(bed.cluster.authority, real, aws.KEYS["AWS_SECRET_ACCESS_KEY"], aws.REGION,
                      aws.KEYS["AWS_ACCESS_KEY_ID"]) as gate:
        yield gate


def use_gate(bed, gate, auth=None, **spec):
    bed.write(db_cluster={"endpoint": gate.host, "port": gate.port}, aws={"region": aws.REGION},
              **({} if auth else {"clientAuth": "PodIdentity"}), **spec)

    def change(document):
        if document["kind"] == "DBProxy":
            document["spec"]["auth"] = [{"authScheme": "IAM", "userName": "app", **(auth or {})}]
    bed.manifests.edit("orders.yaml", change)


def connect(bed, sidecar):
    connection = psycopg.connect(host=str(sidecar.socket_dir), port=bed.port, user="app", dbname="orders",
                                 autocommit=True, connect_timeout=20)
    bed.resources.callback(connection.close)
    return connection


def test_a_token_for_each_connection_and_no_password_anywhere(bed, gate):
    use_gate(bed, gate)
    sidecar = bed.sidecar(write=False, env=aws.KEYS)
    clients = [connect(bed, sidecar) for _ in range(3)]
    for client in clients:
        client.execute("BEGIN")
        assert client.execute("SELECT current_user").fetchone() == ("app",)
    assert not gate.refusals
    assert len(gate.tokens) >= 4, "the monitor's and three of clients"
    log = sidecar.log()
    assert all(token not in log and token.split("X-Amz-Signature=")[1] not in log for token in gate.tokens)
    assert "key-that-is-never-printed" not in log


def test_a_token_that_is_refused_says_what_to_allow(bed, gate):
    use_gate(bed, gate)
    sidecar = bed.sidecar(write=False, env=aws.KEYS)
    assert connect(bed, sidecar).execute("SELECT 1").fetchone() == (1,)
    gate.secret_key = "another"
    gate.cut()
    with pytest.raises(psycopg.OperationalError, match="rds-db:connect|timed out|refused the credentials"):
        connect(bed, sidecar).execute("SELECT 1")
    assert "signature" in gate.refusals
    gate.secret_key = aws.KEYS["AWS_SECRET_ACCESS_KEY"]

    def works():
        try:
            return connect(bed, sidecar).execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False
    wait_for(works, 30, "the database takes tokens again")


def test_without_credentials_the_sidecar_says_so(bed, gate):
    use_gate(bed, gate)
    env = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": aws.REGION, "HOME": str(bed.directory),
           "AWS_SHARED_CREDENTIALS_FILE": str(bed.directory / "none")}
    sidecar = bed.sidecar(write=False, env=env)
    with pytest.raises(psycopg.OperationalError, match="no credentials to log in to the database with|timed out"):
        connect(bed, sidecar).execute("SELECT 1")
    wait_for(lambda: "no token can be made" in sidecar.log(), 30, "the log says why")
    assert not gate.tokens


def test_a_server_that_wants_a_password_is_not_given_a_token(bed):
    """A real server with SCRAM: the user is no IAM user there."""
    bed.write(clientAuth="PodIdentity", aws={"region": aws.REGION})

    def change(document):
        if document["kind"] == "DBProxy":
            document["spec"]["auth"] = [{"authScheme": "IAM", "userName": "app"}]
    bed.manifests.edit("orders.yaml", change)
    sidecar = bed.sidecar(write=False, env=aws.KEYS)
    with pytest.raises(psycopg.OperationalError, match="GRANT rds_iam|timed out"):
        connect(bed, sidecar).execute("SELECT 1")
    assert "GRANT rds_iam" in sidecar.log()


def test_through_an_operator_each_signs_its_own(bed, gate):
    use_gate(bed, gate)
    operator = bed.operator(env=aws.KEYS)
    sidecar = bed.sidecar_of(operator, env=aws.KEYS)
    assert connect(bed, sidecar).execute("SELECT current_user").fetchone() == ("app",)
    assert not gate.refusals


def client_token(gate, user="app", secret=aws.KEYS["AWS_SECRET_ACCESS_KEY"], host=None, **more):
    return presign(secret, aws.KEYS["AWS_ACCESS_KEY_ID"], host or f"{gate.host}:{gate.port}", aws.REGION, "rds-db",
                   {"Action": "connect", "DBUser": user}, **more)


def test_end_to_end_the_database_verifies_what_clients_show(bed, gate):
    """Made for the database's endpoint, as without a proxy; asked about once in a token's life."""
    use_gate(bed, gate, auth={"iamAuth": "REQUIRED"})
    sidecar = bed.sidecar(write=False, env=aws.KEYS)
    token = client_token(gate, expires=899)  # unlike any of the sidecar's own
    for _ in range(3):
        with bed.connect(password=token, sslmode="require") as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("app",)
    assert gate.tokens.count(token) == 1, "what the database has said is remembered"
    assert "the database's word" in sidecar.log()
    for bad, words, asked in [
            (client_token(gate, secret="another"), "the database does not take the token", True),
            (client_token(gate, host="other.example:5432"), "the database does not take the token", True),
            (client_token(gate, age=901), "has expired", False),
            (client_token(gate, user="reports"), "for another user", False),
            (client_token(gate, age=-400), "from the future", False),
            (client_token(gate, expires=901), "longer than 15 minutes", False),
            (token.replace("/us-east-2/", "/eu-west-1/").replace("%2Fus-east-2%2F", "%2Feu-west-1%2F"),
             "for another region", False)]:
        before = len(gate.refusals)
        with pytest.raises(psycopg.OperationalError, match=words):
            bed.connect(password=bad, sslmode="require")
        assert (len(gate.refusals) > before) == asked, words
    with pytest.raises(psycopg.OperationalError, match="over TLS only"):
        bed.connect(password=token)
    assert token.split("X-Amz-Signature=")[1] not in sidecar.log()
    gate.secret_key = "exchanged"
    with bed.connect(password=token, sslmode="require"):
        pass  # still in its life, as the database would not ask again either


def test_end_to_end_needs_a_database_that_can_be_asked(bed, gate):
    use_gate(bed, gate, auth={"iamAuth": "REQUIRED"})
    bed.sidecar(write=False, env=aws.KEYS)
    with bed.connect(password=client_token(gate), sslmode="require"):
        pass
    gate.close()
    with pytest.raises(psycopg.OperationalError, match="cannot be asked about the token|has no writer now"):
        bed.connect(password=client_token(gate, age=2), sslmode="require")
