"""COM_CHANGE_USER: a log-in once more on the same connection, after which nothing of before is left."""

import struct

import pymysql
import pytest
from pymysql import _auth
from pymysql.constants import COMMAND

from support.mysql import PASSWORDS
from support.waiting import wait_for

from bed import rows, value
from prepared import PreparedClient

UTF8MB4 = 45


def change_user(connection, user: str, password: str | None = None, database: str = "orders", proof: bytes = b""):
    """Without a proof in the command, as clients do that wait for the server's choice."""
    body = user.encode() + b"\0" + bytes([len(proof)]) + proof + database.encode() + b"\0" + struct.pack("<H", UTF8MB4)
    connection._execute_command(COMMAND.COM_CHANGE_USER, body + b"mysql_native_password\0")
    secret = (password or PASSWORDS[user]).encode()
    while True:
        packet = connection._read_packet()
        if packet.is_ok_packet():
            return
        if packet.is_auth_switch_request():
            packet.read_uint8()
            plugin, nonce = packet.read_string(), packet.read_all().rstrip(b"\0")
            native = plugin == b"mysql_native_password"
            proof = (_auth.scramble_native_password if native else _auth.scramble_caching_sha2)(secret, nonce)
            connection.write_packet(proof)
        elif not packet.is_extra_auth_data() or packet._data[1:2] != b"\3":
            raise ValueError(f"unexpected {packet._data!r}")


def test_nothing_of_before_is_left(bed):
    sidecar = bed.sidecar(users=("app", "native"), limit=4)
    client = bed.connect()
    number = client.thread_id()
    prepared = PreparedClient(client)
    prepared.prepare("one", "SELECT CONCAT(?, '!')")
    rows(client, "SET @mine = 5, time_zone = '+07:00'")
    rows(client, "CREATE TEMPORARY TABLE passing (a INT)")
    rows(client, "INSERT INTO passing VALUES (1)")
    assert sidecar.json("pins")
    change_user(client, "app", database="billing")
    assert rows(client, "SELECT @mine, @@time_zone, DATABASE(), LAST_INSERT_ID(), CONNECTION_ID()") == (
        (None, "+00:00", "billing", 0, number),)
    assert not sidecar.json("pins")
    with pytest.raises(pymysql.err.MySQLError, match="passing"):
        rows(client, "SELECT * FROM passing")
    with pytest.raises(pymysql.err.MySQLError) as error:
        prepared.execute("one", "x")
    assert error.value.args[0] == 1243
    metrics = sidecar.metrics()
    assert metrics.sum("dbproxy_pins_total") == metrics.sum("dbproxy_unpins_total") > 0


def test_to_another_user_and_back(bed):
    sidecar = bed.sidecar(users=("app", "native"), limit=4)
    client = bed.connect()
    for user in ("native", "app", "native", "native"):
        change_user(client, user)
        assert value(client, "SELECT CURRENT_USER()") == f"{user}@%"
    wait_for(lambda: sidecar.metrics().sum("dbproxy_client_connections") == 1, 10, "it counts as one")
    assert value(bed.connect(), "SELECT CURRENT_USER()") == "app@%"


def test_proved_for_the_number_of_the_log_in(bed):
    """As libmariadb does it, which does not look at another one; a proof for something else is asked for again."""
    bed.sidecar(users=("app", "native"), auth={"native": {"clientPasswordAuthType": "MYSQL_NATIVE_PASSWORD"}})
    client = bed.connect()
    for _ in range(2):
        change_user(client, "native", password="not asked for",
                    proof=_auth.scramble_native_password(PASSWORDS["native"].encode(), client.salt))
        assert value(client, "SELECT CURRENT_USER()") == "native@%"
    change_user(client, "native", proof=b"x" * 20)
    assert value(client, "SELECT CURRENT_USER()") == "native@%"


def test_an_open_transaction_is_rolled_back(bed):
    bed.sidecar(limit=4)
    straight = bed.connect(port=bed.writer.port)
    rows(straight, "DROP TABLE IF EXISTS changed")
    rows(straight, "CREATE TABLE changed (a INT)")
    client = bed.connect()
    rows(client, "BEGIN")
    rows(client, "INSERT INTO changed VALUES (1)")
    change_user(client, "app")
    wait_for(lambda: value(straight, "SELECT COUNT(*) FROM changed") == 0, 10, "it is rolled back")
    rows(client, "INSERT INTO changed VALUES (2)")
    assert rows(straight, "SELECT a FROM changed") == ((2,),)


@pytest.mark.parametrize("how, code", [({"password": "not-it"}, 1045), ({"user": "nobody", "password": "x"}, 1045),
                                       ({"database": "nowhere"}, (1044, 1049))])
def test_who_is_not_let_in_is_out(bed, how, code):
    """As the servers do it: the connection ends."""
    sidecar = bed.sidecar(limit=4)
    client = bed.connect()
    rows(client, "SET @mine = 5")
    with pytest.raises(pymysql.err.MySQLError) as error:
        change_user(client, **{"user": "app", **how})
    assert error.value.args[0] in (code if isinstance(code, tuple) else (code,))
    with pytest.raises(pymysql.err.MySQLError):
        rows(client, "SELECT 1")
    wait_for(lambda: sidecar.metrics().sum("dbproxy_client_connections") == 0, 10, "it is gone")
    assert value(bed.connect(), "SELECT @mine") is None


def test_over_tls_and_many_at_once(bed):
    sidecar = bed.sidecar(users=("app", "native"), limit=4)
    clients = [bed.connect(ssl_disabled=False, ssl={"check_hostname": False})
               if number % 2 else bed.connect() for number in range(12)]
    for turn in range(3):
        for number, client in enumerate(clients):
            user = ("app", "native")[(number + turn) % 2]
            rows(client, f"SET @mine = {number}")
            change_user(client, user)
            assert rows(client, "SELECT @mine, CURRENT_USER()") == ((None, f"{user}@%"),)
    assert not sidecar.json("pins")
