"""What pins a client to its server connection, why, and what ends it: the table of docs/mysql.md."""

import pymysql
import pytest

from support.waiting import wait_for

from bed import rows, value

RESET = 0x1F  # COM_RESET_CONNECTION
# Statement, reasons, what ends it before COM_RESET_CONNECTION does.
PINS = [
    ("SET @a = 1, @b = 1, @c = 1, @d = 1, @e = 1, @f = 1, @g = 1", ["user_variable"], None),
    ("SET @é = 1", ["user_variable"], None),
    ("SELECT 1; SET sort_buffer_size = 100000", ["opaque"], None),
    ("PREPARE pt FROM 'SELECT 1'", ["sql_prepare"], None),
    ("CREATE TEMPORARY TABLE pt (n INT)", ["temporary_table"], "DROP TABLE pt"),
    ("CREATE TEMPORARY TABLE IF NOT EXISTS orders.`p t` AS SELECT 1", ["temporary_table"], "DROP TEMPORARY TABLE IF EXISTS `p t`"),
    ("SELECT GET_LOCK('pt', 0)", ["lock"], "SELECT RELEASE_ALL_LOCKS()"),
    ("DO GET_LOCK('pt', 0)", ["lock"], "SELECT RELEASE_LOCK('pt') AS done"),
    ("SELECT GET_LOCK(CONCAT('p', 't'), 0)", ["lock"], None),
    ("LOCK TABLES pinned READ", ["lock_tables"], "UNLOCK TABLES"),
    ("HANDLER pinned OPEN", ["handler"], None),
    ("XA START 'pt'", ["xa"], None),
    ("CALL pins_nothing()", ["opaque"], None),
    ("SELECT LAST_INSERT_ID(5)", ["opaque"], None),
]
FREE = [
    "SET sql_mode = ''", "SET SESSION time_zone = '+03:00'", "SET @@session.sort_buffer_size = 100000", "SET NAMES latin1",
    "SET autocommit = 1", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SELECT 1",
    "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "USE billing", "USE orders",
    "INSERT INTO pinned VALUES (1)", "SELECT LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS()", "SHOW WARNINGS",
    "SELECT CAST('x' AS SIGNED)", "SHOW VARIABLES LIKE 'sql_mode'", "START TRANSACTION READ ONLY", "COMMIT",
    "BEGIN", "SAVEPOINT s", "ROLLBACK TO s", "ROLLBACK", "SELECT @pt", "SELECT @@sql_mode", "TRUNCATE pinned",
    "SELECT '" + "x" * 70000 + "'", "SET @pt = 1", "SELECT 1 INTO @pt", "SELECT @pt := 1", "SET time_zone = '+01:00', @pt = 1",
]


@pytest.fixture
def client(bed):
    straight = bed.connect(port=bed.writer.port)
    for text in ("DROP TABLE IF EXISTS pinned", "CREATE TABLE pinned (n INT)", "DROP PROCEDURE IF EXISTS pins_nothing",
                 "CREATE PROCEDURE pins_nothing() BEGIN DO 1; END"):
        rows(straight, text)

    def start(**options):
        sidecar = bed.sidecar(limit=4, **options)
        return sidecar, bed.connect(client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
    return start


def pins(sidecar):
    return sorted(reason for row in sidecar.json("pins") for reason in row["reasons"])


def say(client, sql):
    with client.cursor() as cursor:
        cursor.execute(sql)
        while cursor.nextset():
            pass


def reset(client):
    client._execute_command(RESET, b"")
    assert client._read_packet().is_ok_packet()


def test_what_pins_and_what_ends_it(client):
    sidecar, one = client()
    for sql, reasons, end in PINS:
        say(one, sql)
        assert pins(sidecar) == reasons, sql
        say(one, end or "DO 1" if "XA" not in sql else "SELECT 1")
        assert pins(sidecar) == ([] if end else reasons), sql
        if sql.startswith("XA"):
            say(one, "XA END 'pt'")
            say(one, "XA ROLLBACK 'pt'")
            assert pins(sidecar) == []
        reset(one)
        wait_for(lambda: not pins(sidecar), 30, "nothing is pinned", 0.02)


def test_a_role_survives_a_reset_and_stays_with_its_client(bed, client):
    """MySQL 8.0.15 then even knows fewer rights than before."""
    sidecar, one = client()
    say(one, "SET ROLE NONE")
    reset(one)
    assert pins(sidecar) == ["role"]
    say(one, "DO 1")
    assert pins(sidecar) == ["role"]
    one.close()
    wait_for(lambda: not pins(sidecar), 30, "it has left", 0.02)
    say(bed.connect(), "CALL pins_nothing()")  # on a connection of its own
    assert sidecar.metrics().sum("dbproxy_server_connections_opened_total") == 2


def test_what_does_not_pin(client):
    sidecar, one = client()
    for sql in FREE:
        say(one, sql)
        assert pins(sidecar) == [], sql[:60]


def test_excluded_variable_sets_neither_pin_nor_leak(bed, client):
    """As RDS Proxy has it the client loses them; unlike there nobody else finds them."""
    sidecar, one = client(pool={"sessionPinningFilters": ["EXCLUDE_VARIABLE_SETS"],
                                "initQuery": "SET @@div_precision_increment = 5"})
    two = bed.connect()
    for sql in ("SET @pté = 1", "SELECT 2 INTO @pté", "SET sort_buffer_size = 100000, @pté = 3"):
        say(one, sql)
        assert pins(sidecar) == [], sql
        for each in (two, one, two):
            assert rows(each, "SELECT @pté, @@div_precision_increment") == ((None, 5),), sql
        assert value(two, "SELECT @@sort_buffer_size > 100000") == 1
    say(one, "BEGIN")
    say(one, "SET @pté = 4")
    assert value(one, "SELECT @pté") == 4  # as long as its transaction has the connection
    say(one, "COMMIT")
    assert value(two, "SELECT @pté") is None
    assert sidecar.metrics().sum("dbproxy_pins_total") == 0
    opened = sidecar.metrics().sum("dbproxy_server_connections_opened_total")
    assert opened <= 3, opened  # connections are reset, not closed
    say(one, "CREATE TEMPORARY TABLE pt (n INT)")
    assert pins(sidecar) == ["temporary_table"]
