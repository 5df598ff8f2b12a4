"""authScheme: IAM on MySQL: tokens by mysql_clear_password over TLS, to a gate that checks them; KILL as well."""

import shutil
import threading

import pymysql
import pytest

from support import aws, mysql, paths
from support.process import run
from support.sigv4 import presign
from support.token_gate import MysqlGate
from support.waiting import wait_for

from bed import value


@pytest.fixture
def gate(bed):
    with MysqlGate(bed.cluster.authority, bed.writer.socket, aws.KEYS["AWS_SECRET_ACCESS_KEY"], aws.REGION,
                   aws.KEYS["AWS_ACCESS_KEY_ID"]) as gate:
        gate.password = mysql.PASSWORDS["native"]
        yield gate


@pytest.fixture
def connect(bed, gate):
    bed.sidecar(users=("native",), db_cluster={"endpoint": gate.host, "port": gate.port}, clientAuth="PodIdentity",
                aws={"region": aws.REGION}, env=aws.KEYS,
                auth={"native": {"authScheme": "IAM", "userName": "native", "secretRef": None}})
    socket = str(bed._sidecar.socket_dir / f"mysql.{bed.port}.sock")

    def connect():
        connection = pymysql.connect(unix_socket=socket, user="native", database="orders", autocommit=True)
        bed.resources.callback(lambda: connection.open and connection.close())
        return connection
    return connect


def test_tokens_instead_of_passwords(bed, gate, connect):
    assert value(connect(), "SELECT CURRENT_USER()").startswith("native@")
    assert gate.tokens and not gate.refusals
    log = bed._sidecar.log()
    assert all(token.split("X-Amz-Signature=")[1] not in log for token in gate.tokens)


def test_a_query_is_killed_by_a_log_in_with_a_token(gate, connect):
    sleeping, other = connect(), connect()
    before = len(gate.tokens)
    ended = []

    def sleep():
        try:
            ended.append(value(sleeping, "SELECT SLEEP(60)"))
        except pymysql.err.MySQLError as error:
            ended.append(error.args[0])
    thread = threading.Thread(target=sleep)
    thread.start()
    number = sleeping.thread_id()

    def killed():
        with other.cursor() as cursor:
            cursor.execute(f"KILL QUERY {number}")
        thread.join(1)
        return bool(ended)
    wait_for(killed, 30, "the query has ended")
    assert ended[0] in (1, 1317)
    assert len(gate.tokens) > before
    assert not gate.refusals


def test_a_token_that_is_refused_says_what_to_allow(gate, connect):
    gate.secret_key = "another"
    with pytest.raises(pymysql.err.OperationalError, match="rds-db:connect"):
        value(connect(), "SELECT 1")


def test_clients_show_tokens(bed):
    """iamAuth: by mysql_clear_password over TLS, from PyMySQL and from the command line."""
    bed.sidecar(users=("app",), aws={"region": aws.REGION}, env=aws.KEYS, auth={"app": {"iamAuth": "REQUIRED"}})
    token = presign(aws.KEYS["AWS_SECRET_ACCESS_KEY"], aws.KEYS["AWS_ACCESS_KEY_ID"], f"orders.shop.dbproxy:{bed.port}",
                    aws.REGION, "rds-db", {"Action": "connect", "DBUser": "app"})
    secure = {"ssl_disabled": False, "ssl": {"check_hostname": False}}
    assert value(bed.connect(password=token, **secure), "SELECT CURRENT_USER()").startswith("app@")
    for password, options, code, words in [
            (token, {}, 3159, "over TLS only"), (mysql.PASSWORDS["app"], secure, 1045, "token of IAM only"),
            (token.replace("DBUser=app", "DBUser=root"), secure, 1045, "for another user"),
            (token[:-1] + ("0" if token[-1] != "0" else "1"), secure, 1045, "signature is wrong")]:
        with pytest.raises(pymysql.err.OperationalError, match=words) as refused:
            bed.connect(password=password, **options)
        assert refused.value.args[0] == code
    assert "X-Amz-Signature" not in bed._sidecar.log()


def test_end_to_end_the_database_verifies_what_clients_show(bed, gate):
    """Tokens that were made for the database's endpoint: asked about once in their life."""
    bed.sidecar(users=("native",), db_cluster={"endpoint": gate.host, "port": gate.port}, aws={"region": aws.REGION},
                env=aws.KEYS, auth={"native": {"authScheme": "IAM", "userName": "native", "secretRef": None,
                                               "iamAuth": "REQUIRED"}})

    def token(secret=aws.KEYS["AWS_SECRET_ACCESS_KEY"], **more):
        return presign(secret, aws.KEYS["AWS_ACCESS_KEY_ID"], f"{gate.host}:{gate.port}", aws.REGION, "rds-db",
                       {"Action": "connect", "DBUser": "native"}, **more)
    secure = {"ssl_disabled": False, "ssl": {"check_hostname": False}}
    good = token(expires=899)  # unlike any of the sidecar's own
    for _ in range(2):
        assert value(bed.connect("native", password=good, **secure), "SELECT CURRENT_USER()").startswith("native@")
    assert gate.tokens.count(good) == 1
    for bad, words in [(token("another"), "does not take the token"), (token(age=901), "has expired")]:
        with pytest.raises(pymysql.err.OperationalError, match=words) as refused:
            bed.connect("native", password=bad, **secure)
        assert refused.value.args[0] == 1045


def test_the_command_line_shows_a_token(bed):
    """The mysql command with its clear-text plugin, as AWS's documentation has it."""
    bed.sidecar(users=("app",), aws={"region": aws.REGION}, env=aws.KEYS, auth={"app": {"iamAuth": "REQUIRED"}})
    token = presign(aws.KEYS["AWS_SECRET_ACCESS_KEY"], aws.KEYS["AWS_ACCESS_KEY_ID"], f"orders.shop.dbproxy:{bed.port}",
                    aws.REGION, "rds-db", {"Action": "connect", "DBUser": "app"})

    def command(password):
        return run([paths.MARIADB_CLIENT, "--no-defaults", "-h", "127.0.0.1", "-P", bed.port, "-u", "app", "--ssl", "-N", "-B",
                    "-e", "SELECT CURRENT_USER()"], check=False, env={"MYSQL_PWD": password})
    let_in = command(token)
    assert let_in.stdout.startswith("app@"), let_in.stderr
    assert "signature is wrong" in command(token[:-1] + ("0" if token[-1] != "0" else "1")).stderr


def test_connector_j_shows_a_token(bed):
    jars = sorted((paths.TESTBED / "jars").glob("mysql-connector-j-*.jar"))
    if not jars or not shutil.which("javac"):
        pytest.skip("Connector/J is not installed: run cmake/setup.sh test")
    bed.sidecar(users=("app",), aws={"region": aws.REGION}, env=aws.KEYS, auth={"app": {"iamAuth": "REQUIRED"}})
    token = presign(aws.KEYS["AWS_SECRET_ACCESS_KEY"], aws.KEYS["AWS_ACCESS_KEY_ID"], f"orders.shop.dbproxy:{bed.port}",
                    aws.REGION, "rds-db", {"Action": "connect", "DBUser": "app"})

    def log_in(password):
        return run(["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", jars[-1],
                    paths.ROOT / "tests/drivers/java/Token.java"], check=False, timeout=120, env={
                        "DB_URL": f"jdbc:mysql://127.0.0.1:{bed.port}/orders?sslMode=REQUIRED", "DB_USER": "app",
                        "DB_PASSWORD": password})
    let_in = log_in(token)
    assert let_in.stdout.startswith("app@"), let_in.stdout + let_in.stderr
    assert "signature is wrong" in log_in(token[:-1] + ("0" if token[-1] != "0" else "1")).stdout
