"""The sessions between real drivers and real servers: whatever clients do, each sees what it would see alone.

Scripts run twice, on connections of their own and through mysql-relay, where connections change hands after every
statement that allows it; every row, count and error has to be the same.
"""

import contextlib
import random
import subprocess

import mysql.connector
import pymysql
import pytest
from support import mysql as servers
from support import paths
from support.ports import free_port
from support.waiting import wait_for

USER = "native"


class Relay:
    def __init__(self, cluster):
        self.port = free_port("127.0.0.1")
        self.process = subprocess.Popen(
            [paths.binary("mysql-relay"), cluster.writer.host, str(cluster.writer.port), USER, str(self.port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process.stdin.write(servers.PASSWORDS[USER] + "\n")
        self.process.stdin.flush()
        self.opened = 0
        while (line := self.process.stdout.readline()) and line.strip() != "ready":
            self.opened += 1
        wait_for(lambda: connect(self.port).close() or True, 10, "the relay listens")

    def connections(self) -> int:
        self.process.kill()
        return self.opened + len(self.process.stdout.read().splitlines())

    def close(self):
        self.process.kill()
        self.process.wait()
        error = self.process.stderr.read()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        assert not error, error


@pytest.fixture
def relay(cluster):
    relay = Relay(cluster)
    yield relay
    relay.close()


@pytest.fixture(scope="session", autouse=True)
def schema(cluster):
    for text in ("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(20), UNIQUE (a))",
                 "CREATE PROCEDURE sets() SET SESSION div_precision_increment = 9, @p = 1",
                 "CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 'x', 2; END",
                 "CREATE TABLE log (a INT)",
                 "CREATE TRIGGER traced BEFORE INSERT ON log FOR EACH ROW SET @traced = NEW.a"):
        cluster.writer.sql(f"DELIMITER //\n{text}//\n", "orders")
    cluster.writer.sql("DELIMITER //\nCREATE FUNCTION f() RETURNS INT NO SQL BEGIN SET @fv = 7; RETURN 1; END//\n",
                       "orders")
    cluster.writer.sql("CREATE TABLE t (other INT)", "billing")


def connect(port, **options):
    return pymysql.connect(host="127.0.0.1", port=port, user=USER, password=servers.PASSWORDS[USER],
                           **{"database": "orders", "autocommit": None, **options})


def play(connection, sql):
    """What a client sees of one text."""
    seen = []
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
        while True:
            names = [column[0] for column in cursor.description or ()]
            seen.append((names, cursor.fetchall(), cursor.rowcount, cursor.lastrowid))
            if not cursor.nextset():
                return seen
    except pymysql.MySQLError as error:
        return [*seen, error.args]
    finally:
        with contextlib.suppress(pymysql.MySQLError):
            cursor.close()


STATEMENTS = [
    "SELECT @@sql_mode, @@time_zone, @@autocommit, @@div_precision_increment, DATABASE(), @v, @w, @z, @p, @fv, @traced",
    "SELECT @@character_set_client, @@character_set_results, @@collation_connection, @@max_sort_length",
    "SET time_zone = '+0{n}:00'", "SET SESSION sql_mode = 'ANSI_QUOTES'", "SET sql_mode = DEFAULT",
    "SET NAMES latin1", "SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SET NAMES utf8mb4", "SET div_precision_increment = {n}",
    "SET max_sort_length = 102{n}", "SET @v = {n}", "SELECT @w := {n}", "SELECT {n} INTO @z", "CALL sets()", "CALL two()",
    "SELECT f()", "INSERT INTO log VALUES ({n})", "USE billing", "USE orders", "SELECT COUNT(*) FROM t", "BEGIN",
    "INSERT INTO t (b) VALUES ('{n}'), ('x')", "SELECT ROW_COUNT()", "SELECT b FROM orders.t ORDER BY id LIMIT {n}",
    "SELECT b FROM orders.t ORDER BY id LIMIT {n};; SELECT FOUND_ROWS()",
    "SELECT SQL_CALC_FOUND_ROWS 1 FROM log LIMIT 1;; SELECT FOUND_ROWS()", "COMMIT", "ROLLBACK", "SELECT 1/0;; SHOW WARNINGS",
    "SELECT CAST('x{n}' AS SIGNED)", "SELECT nothing", "SELEC", "SET autocommit = 0", "SET autocommit = 1",
    "CREATE TEMPORARY TABLE IF NOT EXISTS tmp (a INT)", "SELECT COUNT(*) FROM tmp", "SELECT \"double\"", "SELECT 'a\\'b'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET TRANSACTION READ ONLY", "SELECT 7/{n}",
    "SET session_track_schema = OFF", "SET foreign_key_checks = 0, unique_checks = 0",
    "SELECT @@foreign_key_checks, @@unique_checks", "DO 1", "SELECT IS_FREE_LOCK('l{n}')", "SET @@session.sql_safe_updates = 1",
    "SELECT @@sql_safe_updates", "PREPARE s FROM 'SELECT 5'", "EXECUTE s", "SET sql_select_limit = {n}",
    "SELECT b FROM orders.t ORDER BY id", "SET character_set_results = NULL", "SELECT LAST_INSERT_ID() > 0",
]


@pytest.mark.parametrize("seed", range(4))
def test_interleaved_clients_see_what_each_would_alone(cluster, relay, seed):
    chance = random.Random(seed)
    script = [(chance.randrange(4), chance.choice(STATEMENTS).format(n=chance.randrange(1, 10))) for _ in range(300)]
    seen = []
    for port in (cluster.writer.port, relay.port):
        cluster.writer.sql("TRUNCATE t; TRUNCATE log", "orders")
        clients = [connect(port) for _ in range(4)]
        seen.append([])
        for number, (who, sql) in enumerate(script):
            seen[-1].append([play(clients[who], text) for text in sql.split(";;")])
            if number % 75 == 74:  # one leaves as it is, and another comes
                clients[who].close()
                clients[who] = connect(port)
        for client in clients:
            client.close()
    for number, (direct, through) in enumerate(zip(*seen)):
        before = [sql for who, sql in script[:number] if who == script[number][0]]
        assert through == direct, (number, script[number], before[:-6:-1])


def test_connections_are_shared_by_clients_that_leave_nothing(relay):
    clients = [connect(relay.port, charset=charset) for charset in ("utf8mb4", "latin1") * 5]
    for turn in range(5):
        for client in clients:
            play(client, f"SET time_zone = '+0{turn}:00'")
            assert play(client, "SELECT @@time_zone")[0][1] == ((f"+0{turn}:00",),)
            play(client, "INSERT INTO orders.t (b) VALUES ('shared')")
    for client in clients:
        client.close()
    assert relay.connections() == 1


@pytest.mark.parametrize("old", [False, True], ids=["own", "relay"])
def test_large_packets_and_files(cluster, relay, old, tmp_path):
    client = connect(relay.port if old else cluster.writer.port, local_infile=True)
    text = "x" * (17 << 20)
    assert play(client, f"SELECT LENGTH('{text}')")[0][1] == ((len(text),),)
    assert len(play(client, "SELECT REPEAT('y', 16777215 - 4), 1")[0][1][0][0]) == 16777211
    assert len(play(client, "SELECT REPEAT('y', 17000000), 1")[0][1][0][0]) == 17000000
    rows = tmp_path / "rows"
    rows.write_text("1\n2\n3\n")
    play(client, "CREATE TEMPORARY TABLE loaded (a INT)")
    play(client, f"LOAD DATA LOCAL INFILE '{rows}' INTO TABLE loaded")
    assert play(client, "SELECT SUM(a) FROM loaded")[0][1] == ((6,),)
    assert "No such file" in str(play(client, "LOAD DATA LOCAL INFILE '/nowhere' INTO TABLE loaded"))
    client.close()


def test_prepared_statements_of_the_protocol_are_shared(cluster, relay):
    clients = [mysql.connector.connect(host="127.0.0.1", port=relay.port, user=USER, password=servers.PASSWORDS[USER],
                                       database="orders", use_pure=True, ssl_disabled=True, autocommit=True)
               for _ in range(6)]
    cursors = [client.cursor(prepared=True) for client in clients]
    for turn in range(20):
        for number, cursor in enumerate(cursors):
            value = turn if (turn + number) % 3 else f"text {turn}"
            cursor.execute("SELECT ?, ? + 1", (value, number))
            assert cursor.fetchall() == [(value, number + 1)]
    cursors[0].execute("INSERT INTO orders.t (b) VALUES (?)", ("prepared",))
    assert cursors[0].rowcount == 1
    for client in clients:
        client.close()
    assert relay.connections() == 1


def test_reset_and_change_of_schema(relay):
    client = connect(relay.port)
    play(client, "SELECT GET_LOCK('mine', 0)")
    play(client, "SET time_zone = '+05:00', @v = 1")
    client._execute_command(0x1f, b"")
    client._read_ok_packet()
    assert play(client, "SELECT @@time_zone, @v, IS_FREE_LOCK('mine'), DATABASE()")[0][1] == (
        ("+00:00", None, 1, "orders"),)
    client.select_db("billing")
    assert play(client, "SELECT DATABASE()")[0][1] == (("billing",),)
    with pytest.raises(pymysql.OperationalError, match="1044"):
        client.select_db("nowhere")
    client.ping(reconnect=False)
    client.close()
