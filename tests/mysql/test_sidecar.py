"""Clients of MySQL and MariaDB through a sidecar: log-in, queries, pooling, session state, errors, KILL, the end."""

import contextlib
import ssl
import threading

import pymysql
import pytest
from mysql import connector

from support import mysql
from support.waiting import wait_for

from bed import rows, value


def test_log_in_and_query(bed):
    bed.sidecar()
    client = bed.connect()
    assert value(client, "SELECT 1") == 1
    assert client.server_version == value(client, "SELECT VERSION()") or "MariaDB" in client.server_version
    assert value(client, "SELECT DATABASE()") == "orders"
    assert value(client, "SELECT USER()").startswith("app@")
    client.ping(reconnect=False)
    with pytest.raises(pymysql.err.ProgrammingError) as wrong:
        rows(client, "SELEC 1")
    assert wrong.value.args[0] == 1064
    assert value(client, "SELECT 'after an error'") == "after an error"


def test_wrong_passwords_unknown_users_and_schemas(bed):
    bed.sidecar()
    for user, password in (("app", "wrong"), ("app", ""), ("nobody", "x")):
        with pytest.raises(pymysql.err.OperationalError) as refused:
            pymysql.connect(host="127.0.0.1", port=bed.port, user=user, password=password, ssl_disabled=True)
        assert refused.value.args[0] == 1045
    with pytest.raises(pymysql.err.OperationalError) as refused:
        bed.connect(database="nowhere")
    assert refused.value.args[0] in (1044, 1049)
    assert bed._sidecar.metrics().sum("dbproxy_logins_total", result="success") == 1


def test_clients_prove_themselves_as_the_proxy_says(bed):
    bed.sidecar(users=("app", "native"), auth={"native": {"clientPasswordAuthType": "MYSQL_NATIVE_PASSWORD"}},
                extra=("--log-level", "debug"))
    assert value(bed.connect("native"), "SELECT 1") == 1
    assert value(bed.connect("app"), "SELECT 1") == 1
    assert bed.command_line("SELECT 2", user="native").stdout.strip() == "2"
    assert bed.command_line("SELECT 3", extra=("--skip-ssl",)).stdout.strip() == "3"
    default = "mysql_native_password" if "MariaDB" in bed.connect().server_version else "caching_sha2_password"
    for user, method in (("native", "mysql_native_password"), ("app", default)):
        assert any("logged in" in line and f" user={user} method={method} " in line
                   for line in bed._sidecar.log().splitlines())


def test_the_pods_own_clients_need_no_password(bed):
    bed.sidecar(clientAuth="PodIdentity")
    socket = str(bed._sidecar.socket_dir / f"mysql.{bed.port}.sock")
    for password in ("", "anything"):
        client = pymysql.connect(unix_socket=socket, user="app", password=password, database="orders")
        bed.resources.callback(client.close)
        assert value(client, "SELECT CURRENT_USER()").startswith("app@")
    for wrong in ({"user": "root", "unix_socket": socket}, {"user": "app", "host": "127.0.0.1", "port": bed.port,
                                                            "password": mysql.PASSWORDS["app"]}):
        with pytest.raises(pymysql.err.OperationalError, match="PodIdentity") as refused:
            pymysql.connect(**wrong, ssl_disabled=True)
        assert refused.value.args[0] == 1045


def test_tls_to_the_client(bed):
    bed.sidecar(requireTLS=True)
    client = bed.connect(ssl_disabled=False, ssl={"check_hostname": False})
    assert value(client, "SELECT 1") == 1
    with pytest.raises(pymysql.err.OperationalError) as refused:
        bed.connect()
    assert refused.value.args[0] == 3159


def test_clients_verify_the_sidecar_and_stay_when_its_certificate_is_renewed(bed):
    """As --ssl-mode=VERIFY_IDENTITY does, with the operator's CA; the way on to the database is encrypted as well."""
    operator, _ = bed.operator(requireTLS=True, extra=("--certificate-seconds", "10"))
    context = ssl.create_default_context(cafile=operator.authority)
    leaves = set()

    def look():
        with contextlib.closing(bed.connect(ssl_disabled=False, ssl=context)) as client:
            leaves.add(client._sock.getpeercert(binary_form=True))
            return rows(client, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")[0][1] != ""
    stays = bed.connect(ssl_disabled=False, ssl=context)
    wait_for(lambda: look() and value(stays, "SELECT 1") == 1 and len(leaves) >= 2, 60, "another is shown", interval=0.3)
    stranger = ssl.create_default_context(cafile=bed.cluster.authority.certificate)
    with pytest.raises(pymysql.err.OperationalError, match="certificate verify failed"):
        bed.connect(ssl_disabled=False, ssl=stranger)


def test_the_way_on_is_never_less_encrypted_than_the_clients(bed):
    """Where the database is reached in the clear, clients are not offered TLS, and hear that there is none."""
    bed.sidecar(tls=False)
    assert rows(bed.connect(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'")[0][1] == ""
    with pytest.raises(pymysql.err.OperationalError, match="SSL"):
        bed.connect(ssl_disabled=False, ssl={"check_hostname": False})


def test_many_clients_share_few_connections(bed):
    sidecar = bed.sidecar(limit=7)  # 4 of 60
    clients = [bed.connect() for _ in range(24)]
    failures = []

    def work(number):
        try:
            for step in range(15):
                with clients[number].cursor() as cursor:
                    cursor.execute("BEGIN")
                    cursor.execute("SELECT %s", (number,))
                    assert cursor.fetchone() == (number,)
                    cursor.execute("SELECT %s", (step,))
                    assert cursor.fetchone() == (step,)
                    cursor.execute("COMMIT")
        except Exception as error:  # noqa: BLE001
            failures.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if failures:
        raise failures[0]
    assert 1 <= bed.writer.sessions("app") <= 5
    metrics = sidecar.metrics()
    assert metrics.sum("dbproxy_transactions_total") >= 24 * 15
    assert metrics.sum("dbproxy_pins_total") == 0


def test_a_transaction_keeps_its_connection(bed):
    bed.sidecar(limit=5)
    rows(one := bed.connect(), "DROP TABLE IF EXISTS t")
    rows(one, "CREATE TABLE t (n INT PRIMARY KEY) ENGINE=InnoDB")
    two = bed.connect()
    rows(one, "BEGIN")
    rows(one, "INSERT INTO t VALUES (1)")
    assert value(two, "SELECT COUNT(*) FROM t") == 0
    rows(one, "ROLLBACK")
    assert value(one, "SELECT COUNT(*) FROM t") == 0
    manual = bed.connect(autocommit=False)
    rows(manual, "INSERT INTO t VALUES (2)")
    assert value(two, "SELECT COUNT(*) FROM t") == 0
    manual.commit()
    assert value(two, "SELECT COUNT(*) FROM t") == 1
    # A client that vanishes leaves nothing of its transaction.
    rows(manual, "INSERT INTO t VALUES (3)")
    manual._force_close()
    wait_for(lambda: not rows(two, "SELECT n FROM t WHERE n = 3 FOR UPDATE"), 20, "its rows are rolled back")


def test_settings_follow_their_client(bed):
    sidecar = bed.sidecar(limit=2)  # one connection
    one, two = bed.connect(), bed.connect()
    rows(one, "SET SESSION sql_mode = 'ANSI_QUOTES'")
    rows(one, "SET time_zone = '+03:00'")
    rows(one, "SET SESSION wait_timeout = 1234")
    rows(one, "SET NAMES latin1")
    for _ in range(3):
        assert "ANSI_QUOTES" in value(one, "SELECT @@sql_mode")
        assert value(one, "SELECT @@time_zone") == "+03:00"
        assert value(one, "SELECT @@wait_timeout") == 1234
        assert value(one, "SELECT @@character_set_client") == "latin1"
        assert value(one, "SELECT @@collation_connection").startswith("latin1")
        assert "ANSI_QUOTES" not in value(two, "SELECT @@sql_mode")
        assert value(two, "SELECT @@time_zone") != "+03:00"
        assert value(two, "SELECT @@wait_timeout") != 1234
        assert value(two, "SELECT @@character_set_client") == "utf8mb4"
        assert value(two, "SELECT @@character_set_results") == "utf8mb4"
    assert sidecar.metrics().sum("dbproxy_pins_total") == 0
    assert sidecar.metrics().sum("dbproxy_settings_replayed_total") > 0


def test_the_schema_follows_its_client(bed):
    bed.sidecar(limit=2)
    one, two = bed.connect(), bed.connect()
    one.select_db("billing")
    for _ in range(2):
        assert value(one, "SELECT DATABASE()") == "billing"
        assert value(two, "SELECT DATABASE()") == "orders"
    rows(two, "USE billing")
    assert value(two, "SELECT DATABASE()") == "billing"


def test_a_client_without_a_schema_finds_none(bed):
    bed.sidecar(limit=4)
    one = bed.connect(database=None)
    assert value(one, "SELECT DATABASE()") is None
    rows(one, "USE orders")
    assert value(one, "SELECT DATABASE()") == "orders"
    one.close()
    assert value(bed.connect(database=None), "SELECT DATABASE()") is None


STATE = [
    ("SET @secret = REPEAT('x', 2000)", "SELECT @secret", None, "user_variable"),
    ("CREATE TEMPORARY TABLE hidden (n INT)", "SELECT COUNT(*) FROM hidden", 1146, "temporary_table"),
    ("SELECT GET_LOCK('mine', 0)", "SELECT IS_FREE_LOCK('mine')", 1, "lock"),
    ("PREPARE p FROM 'SELECT 1'", "EXECUTE p", 1243, "sql_prepare"),
]


@pytest.mark.parametrize("leaves,asks,clean,reason", STATE, ids=[item[3] + str(n) for n, item in enumerate(STATE)])
def test_state_pins_and_never_leaks(bed, leaves, asks, clean, reason):
    sidecar = bed.sidecar(limit=2, pool={"connectionBorrowTimeoutSeconds": 1})
    one, two = bed.connect(), bed.connect()
    rows(one, leaves)
    with pytest.raises(pymysql.err.MySQLError) as late:  # it holds the only connection
        rows(two, "SELECT 1")
    assert late.value.args[0] == 9501
    assert sidecar.metrics().sum("dbproxy_pins_total", reason=reason) == 1
    one.close()
    if clean is None or clean == 1:
        assert value(two, asks) == clean
    else:
        with pytest.raises(pymysql.err.MySQLError) as gone:
            rows(two, asks)
        assert gone.value.args[0] == clean


VALUES = ("5", "-5", "-9223372036854775808", "CAST(5 AS UNSIGNED)", "18446744073709551615", "1.50", "7/3", "CAST(12 AS DECIMAL)",
          "CAST(1.1 AS DECIMAL(60,30))", "-12345678901234567890123456789012345.5", "1.5e0", "0.1e0 + 0.2e0", "1/3e0", "1e22",
          "-1.7976931348623157e308", "2.2250738585072014e-308", "123456789012345678e0", "'x'", "''", "'quo''te'", "_latin1 x'e9'",
          "_utf8mb4 x'f09f9880'", "_ucs2 x'0061'", "'a' COLLATE utf8mb4_bin", "x'00ff'", "b'101'", "_binary ''", "TRUE",
          "CURDATE()", "JSON_OBJECT('a', 1)", "NULL", "0", "CAST(NULL AS SIGNED)", "CAST(NULL AS UNSIGNED)",
          "CAST(NULL AS DECIMAL)", "0e0 / 0", "REPEAT('x', 1024)", "REPEAT('é', 512)")


def test_user_variables_follow_their_clients(bed):
    """Value, type, sign, scale and collation, on connections that others have had."""
    sidecar = bed.sidecar(limit=2)  # the other one is the topology's
    straight, one, two = bed.connect(port=bed.writer.port), bed.connect(), bed.connect()
    look = "SELECT @Mine, HEX(@mine), CHARSET(@mine), COLLATION(@mine), @mine IS NULL, @`mine` / 2, CONCAT(@mine, 'x')"

    def seen(client):
        with client.cursor() as cursor:
            cursor.execute(look)
            kinds = [(field.type_code, field.charsetnr, field.length, field.scale, field.flags)
                     for field in cursor._result.fields]
            return kinds, cursor.fetchall()
    for value_of in VALUES:
        for client in (straight, one):
            rows(client, f"SET @mine = {value_of}")
        rows(two, "SET @mine = 'two', @other = 2")
        assert seen(one) == seen(straight), value_of
        assert rows(two, "SELECT @mine, @other") == (("two", 2),), value_of
        assert rows(one, "SELECT @mine IS NULL, @other") == rows(straight, "SELECT @mine IS NULL, @other"), value_of
    metrics = sidecar.metrics()
    assert metrics.sum("dbproxy_pins_total") == 0
    assert metrics.sum("dbproxy_server_connections_opened_total") <= 2


PROGRAMS = (
    "DROP FUNCTION IF EXISTS sets", "DROP FUNCTION IF EXISTS uses", "DROP FUNCTION IF EXISTS twice",
    "DROP TABLE IF EXISTS marked",
    "CREATE FUNCTION sets() RETURNS INT NO SQL BEGIN SET @inside = 5; RETURN 1; END",
    "CREATE FUNCTION uses() RETURNS INT NO SQL RETURN sets()",
    "CREATE FUNCTION twice(n INT) RETURNS INT NO SQL RETURN 2 * n",
    "CREATE TABLE marked (n INT)",
    "CREATE TRIGGER mark BEFORE INSERT ON marked FOR EACH ROW SET @inside = NEW.n",
)


def test_what_functions_and_triggers_leave_pins(bed):
    """Neither server tells of a user variable that a function or a trigger sets."""
    straight = bed.connect(port=bed.writer.port)  # of a function that its user may not read nothing good is thought
    for statement in PROGRAMS:
        rows(straight, statement)
    sidecar = bed.sidecar(limit=10)
    harmless = bed.connect()
    assert value(harmless, "SELECT twice(3)") == 6
    assert sidecar.metrics().sum("dbproxy_pins_total") == 0
    for number, statement in enumerate(("SELECT sets()", "SELECT uses()", "INSERT INTO marked VALUES (5)"), 1):
        rows(bed.connect(), statement)
        assert sidecar.metrics().sum("dbproxy_pins_total", reason="opaque") == number
        assert value(harmless, "SELECT @inside") is None


def test_a_function_that_a_client_makes_is_known_at_once(bed):
    bed.writer.sql("DROP FUNCTION IF EXISTS made_here", database="orders")
    sidecar = bed.sidecar(limit=10)
    one, other = bed.connect(), bed.connect()
    rows(one, "CREATE FUNCTION made_here() RETURNS INT NO SQL BEGIN SET @inside = 5; RETURN 1; END")
    rows(one, "SELECT made_here()")
    assert sidecar.metrics().sum("dbproxy_pins_total", reason="opaque") == 1
    assert value(other, "SELECT @inside") is None


def test_what_the_last_statement_left_can_be_asked_for(bed):
    bed.sidecar(limit=4)
    one, two = bed.connect(), bed.connect()
    rows(one, "DROP TABLE IF EXISTS numbers")
    rows(one, "CREATE TABLE numbers (id INT AUTO_INCREMENT PRIMARY KEY, n TINYINT)")
    for client, number in ((one, 1), (two, 2)):
        with client.cursor() as cursor:
            cursor.execute("INSERT INTO numbers (n) VALUES (7)")
            assert cursor.lastrowid == number
    assert value(one, "SELECT LAST_INSERT_ID()") == 1
    assert value(two, "SELECT LAST_INSERT_ID()") == 2
    assert rows(two, "SELECT 1 FROM numbers LIMIT 1") == ((1,),)
    assert value(one, "SELECT LAST_INSERT_ID()") == 1
    rows(one, "SET SESSION sql_mode = ''")
    rows(one, "INSERT INTO numbers (n) VALUES (1000)")
    assert value(two, "SELECT 5") == 5
    assert rows(one, "SHOW WARNINGS")[0][1] == 1264
    rows(one, "SELECT SQL_CALC_FOUND_ROWS id FROM numbers LIMIT 1")
    assert value(two, "SELECT 5") == 5
    assert value(one, "SELECT FOUND_ROWS()") == 3
    with pytest.raises(pymysql.err.MySQLError):
        rows(one, "SELECT * FROM nothing_like_it")
    assert rows(one, "SHOW ERRORS")[0][1] == 1146


def test_several_statements_and_results(bed):
    bed.sidecar(limit=4)
    client = bed.connect(client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
    with client.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT 2; DO 0; SELECT 3")
        seen = [cursor.fetchall()]
        while cursor.nextset():
            seen.append(cursor.fetchall())
    assert [one for one in seen if one] == [((1,),), ((2,),), ((3,),)]
    plain = bed.connect(client_flag=0)
    with pytest.raises(pymysql.err.ProgrammingError):  # not for those that did not ask for it
        rows(plain, "SELECT 1; SELECT 2")


def test_large_rows_and_statements(bed):
    bed.sidecar(limit=4)
    client = bed.connect(max_allowed_packet=64 << 20)
    big = "x" * 3_000_000
    assert value(client, f"SELECT LENGTH('{big}')") == len(big)
    assert len(value(client, "SELECT REPEAT('y', 17000000)")) == 17_000_000
    huge = "z" * 17_000_000
    assert value(client, f"SELECT LENGTH('{huge}')") == len(huge)
    assert value(client, "SELECT 1") == 1


def test_load_data_local(bed, tmp_path):
    bed.sidecar(limit=4)
    file = tmp_path / "rows.csv"
    file.write_text("".join(f"{n}\n" for n in range(50_000)))
    client = bed.connect(local_infile=True)
    rows(client, "DROP TABLE IF EXISTS loaded")
    rows(client, "CREATE TABLE loaded (n INT)")
    rows(client, f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE loaded")
    assert value(client, "SELECT COUNT(*) FROM loaded") == 50_000
    with pytest.raises(pymysql.err.MySQLError):
        rows(client, "LOAD DATA LOCAL INFILE '/nonexistent/file' INTO TABLE loaded")


def test_kill_finds_the_client_that_is_meant(bed):
    bed.sidecar(limit=8)
    one, two = bed.connect(), bed.connect()
    assert value(one, "SELECT CONNECTION_ID()") == one.thread_id()
    ended = []

    def sleep():
        try:
            ended.append(value(two, "SELECT SLEEP(30)"))
        except pymysql.err.MySQLError as error:
            ended.append(error.args[0])
    thread = threading.Thread(target=sleep)
    thread.start()
    wait_for(lambda: bed.writer.sessions("app", "info LIKE '%SLEEP(30)%'") == 1, 20, "it sleeps")
    rows(one, f"KILL QUERY {two.thread_id()}")
    thread.join(20)
    assert ended and ended[0] in (1, 1317)  # SLEEP answers 1 when it is interrupted
    assert value(two, "SELECT 1") == 1
    with pytest.raises(pymysql.err.MySQLError) as unknown:
        rows(one, "KILL 987654")
    assert unknown.value.args[0] == 1094
    one.kill(two.thread_id())
    with pytest.raises(pymysql.err.MySQLError):
        rows(two, "SELECT 1")
    assert value(one, "SELECT 1") == 1


def test_readers(bed):
    bed.sidecar(read_only=True)
    reader = bed.connect(port=bed.readers)
    assert value(reader, "SELECT @@read_only") == 1
    assert value(bed.connect(), "SELECT @@read_only") == 0


def test_what_is_not_served_is_refused_in_words(bed):
    bed.sidecar()
    client = bed.connect()
    client._execute_command(pymysql.constants.COMMAND.COM_BINLOG_DUMP, b"\0" * 10)
    with pytest.raises(pymysql.err.MySQLError, match="Replication is not carried"):
        client._read_packet()
    assert value(client, "SELECT 1") == 1


def test_init_query(bed):
    sidecar = bed.sidecar(limit=2, pool={"initQuery": "SET SESSION wait_timeout = 77, time_zone = '+05:00'"})
    one, two = bed.connect(), bed.connect()
    assert value(one, "SELECT @@wait_timeout") == 77
    rows(one, "SET SESSION wait_timeout = 99")
    assert value(two, "SELECT @@wait_timeout") == 77
    assert value(one, "SELECT @@wait_timeout") == 99
    assert value(two, "SELECT @@time_zone") == "+05:00"
    assert sidecar.metrics().sum("dbproxy_pins_total") == 0


def test_the_command_line(bed):
    bed.sidecar(limit=4)
    done = bed.command_line("DROP TABLE IF EXISTS c; CREATE TABLE c (n INT); INSERT INTO c VALUES (1),(2); "
                            "SELECT SUM(n) FROM c; SHOW TABLES LIKE 'c'", extra=("--skip-ssl",))
    assert done.stdout.split() == ["3", "c"]
    failed = bed.command_line("SELECT * FROM nothing_like_it", extra=("--skip-ssl",), check=False)
    assert "ERROR 1146 (42S02)" in failed.stderr


def test_prepared_statements_are_virtual(bed):
    sidecar = bed.sidecar(limit=2)  # one connection
    clients = [connector.connect(host="127.0.0.1", port=bed.port, user="app", password=mysql.PASSWORDS["app"],
                                 database="orders", ssl_disabled=True, use_pure=True, autocommit=True)
               for _ in range(3)]
    cursors = []
    for client in clients:
        bed.resources.callback(client.close)
        cursors.append(client.cursor(prepared=True))
    for number in range(4):
        for cursor in cursors:
            cursor.execute("SELECT %s + 1, %s", (number, "text"))
            assert cursor.fetchall() == [(number + 1, "text")]
    assert sidecar.metrics().sum("dbproxy_pins_total") == 0
