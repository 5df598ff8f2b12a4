"""authScheme: IAM on MySQL: tokens by mysql_clear_password over TLS, to a gate that checks them; KILL as well."""

import threading

import pymysql
import pytest

from support import aws, mysql
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
