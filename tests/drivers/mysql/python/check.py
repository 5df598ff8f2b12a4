"""Drivers of Python's DB-API with their default settings: check.py pymysql|mysqlclient|connector-python[-c]

With -c the connector has MySQL's client library do the work, which is its own default where the library's OpenSSL can
be loaded.
"""

import datetime
import decimal
import os
import sys
import threading

from common import DATABASE, FILE, HOST, PASSWORD, PORT, TLS, USER, equal

NAME = sys.argv[1]
CONNECTOR = NAME.startswith("connector-python")
BIG = 17_000_000  # more than one packet of the protocol
if NAME == "pymysql":
    import pymysql as driver
elif NAME == "mysqlclient":
    import MySQLdb as driver
else:
    if NAME.endswith("-c"):
        import _mysql_connector  # noqa: F401  before Debian's OpenSSL comes with anything else
    from mysql import connector as driver


def connect(**options):
    options = {"host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "database": DATABASE, **options}
    if NAME == "pymysql":
        options = {"ssl": {"check_hostname": False} if TLS else None, "ssl_disabled": not TLS, "local_infile": True,
                   "max_allowed_packet": 64 << 20, **options}
    elif NAME == "mysqlclient":
        options = {"ssl_mode": "REQUIRED" if TLS else "DISABLED", "local_infile": True, **options}
    else:
        options = {"ssl_disabled": not TLS, "allow_local_infile": True, "use_pure": NAME == "connector-python", **options}
    return driver.connect(**options)


def rows(connection, sql, *parameters):
    cursor = connection.cursor()
    cursor.execute(sql, parameters or None)
    found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    cursor.close()
    return found


def value(connection, sql, *parameters):
    return rows(connection, sql, *parameters)[0][0]


def code(work, *arguments) -> int:
    try:
        work(*arguments)
    except driver.Error as error:
        return error.args[0]
    return 0


def check_types(one):
    values = (42, "naïve ☃", decimal.Decimal("12.34"), b"\x00\xff", None, datetime.datetime(2026, 1, 2, 3, 4, 5), 1.5)
    rows(one, "INSERT INTO kinds VALUES (%s, %s, %s, %s, %s, %s, %s)", *values)
    one.commit()
    found = rows(one, "SELECT * FROM kinds")[0]
    equal((*found[:3], bytes(found[3]), *found[4:]), values, "types")
    if CONNECTOR:
        cursor = one.cursor(prepared=True)
        cursor.execute("SELECT *, %s FROM kinds WHERE i = %s", ("added", 42))
        found = cursor.fetchall()[0]
        equal((*found[:3], bytes(found[3]), *found[4:]), (*values, "added"), "types, prepared")
        cursor.close()
    one.rollback()


def check_transactions(one):
    rows(one, "INSERT INTO items (name) VALUES ('rolled back')")
    one.rollback()
    rows(one, "INSERT INTO items (name) VALUES ('kept')")
    one.commit()
    rows(one, "SAVEPOINT inside")
    rows(one, "INSERT INTO items (name) VALUES ('inside')")
    rows(one, "ROLLBACK TO SAVEPOINT inside")
    one.commit()
    equal(rows(one, "SELECT name FROM items"), [("kept",)], "commit, rollback, savepoint")
    equal(code(rows, one, "INSERT INTO items (name) VALUES ('kept')"), 1062, "error")
    one.rollback()
    cursor = one.cursor()
    cursor.execute("INSERT INTO items (name) VALUES ('numbered')")
    number = cursor.lastrowid
    one.commit()
    equal(value(one, "SELECT LAST_INSERT_ID()"), number, "the last insert's number")
    cursor.executemany("INSERT INTO items (name, amount) VALUES (%s, %s)", [(f"many {n}", n) for n in range(500)])
    one.commit()
    equal(value(one, "SELECT COUNT(*) FROM items WHERE name LIKE 'many %%'"), 500, "executemany")
    one.rollback()


def check_interleaved(connections):
    for step in range(6):
        for number, each in enumerate(connections):
            assert value(each, "SELECT %s + %s", step, number) == step + number
            each.commit()
    equal(len(connections), 6, "interleaved connections")
    if CONNECTOR:
        cursors = [each.cursor(prepared=True) for each in connections]
        for step in range(6):
            for number, cursor in enumerate(cursors):
                cursor.execute("SELECT %s + 1, %s, name FROM items WHERE name = %s", (step, str(number), "kept"))
                assert cursor.fetchall() == [(step + 1, str(number), "kept")]
                connections[number].rollback()
        for cursor in cursors:
            cursor.close()
        equal(len(cursors), 6, "prepared statements of interleaved connections")


def check_state(one, two):
    rows(one, "SET time_zone = '+05:00', SESSION sql_mode = 'ANSI_QUOTES'")
    rows(one, "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    rows(one, "USE billing")
    question = 'SELECT @@time_zone, DATABASE(), @@sql_mode LIKE \'%%ANSI_QUOTES%%\''
    for _ in range(3):
        equal(rows(one, question), [("+05:00", "billing", 1)], "session state")
        one.commit()
        equal(rows(two, question), [("+00:00", "orders", 0)], "session state of another")
        two.commit()
    equal(code(lambda: rows(one, "SELECT 1 FROM items")), 1146, "an error of the other schema")
    one.rollback()


def check_several(one):
    cursor = one.cursor()
    cursor.execute("SELECT 1; SELECT 2, 3; SELECT 4")
    found = _all_sets(cursor)
    equal(found, [(1,), (2, 3), (4,)], "several statements")
    cursor.close()
    one.rollback()


def _all_sets(cursor) -> list:
    found = []
    while True:
        if cursor.description:
            found += [tuple(row) for row in cursor.fetchall()]
        if not cursor.nextset():
            return found


def check_procedure():
    """It may leave anything behind: the client is pinned, and its server connection is closed with it."""
    one = connect()
    cursor = one.cursor()
    answer = cursor.callproc("two_results", (4, 0))
    if CONNECTOR:
        found = [tuple(row) for result in cursor.stored_results() for row in result.fetchall()]
        equal(int(answer[1]), 8, "a procedure's parameter")
    else:
        found = _all_sets(cursor)
        cursor.execute("SELECT @_two_results_1")
        equal(int(cursor.fetchone()[0]), 8, "a procedure's parameter")
    equal(found, [(4,), (5, "two")], "a procedure's results")
    cursor.close()
    one.close()
    print("pins opaque")


def check_load(one):
    cursor = one.cursor()
    cursor.execute(f"LOAD DATA LOCAL INFILE '{FILE}' INTO TABLE items FIELDS TERMINATED BY ',' (name, amount)")
    equal(cursor.rowcount, 5000, "LOAD DATA LOCAL")
    one.rollback()
    if not CONNECTOR:  # it loses count of its packets by this
        assert code(rows, one, "LOAD DATA LOCAL INFILE '/nonexistent/file' INTO TABLE items"), "there is no such file"
        one.rollback()
    equal(value(one, "SELECT COUNT(*) FROM items WHERE name LIKE 'loaded%%'"), 0, "it was rolled back")
    one.rollback()


def check_big(one):
    data = os.urandom(1000) * (BIG // 1000)
    rows(one, "INSERT INTO big VALUES (1, %s)", data)
    one.commit()
    equal(bytes(value(one, "SELECT data FROM big WHERE n = 1")) == data, True, "packets over 16 MB")
    one.rollback()
    if CONNECTOR:
        cursor = one.cursor(prepared=True)
        cursor.execute("INSERT INTO big VALUES (%s, %s)", (2, data))
        one.commit()
        cursor.execute("SELECT data = %s, LENGTH(data) FROM big WHERE n = %s", (data, 2))
        equal(cursor.fetchall(), [(1, len(data))], "packets over 16 MB, prepared")
        cursor.close()
        one.rollback()


def check_streaming(one):
    if NAME == "pymysql":
        cursor = one.cursor(driver.cursors.SSCursor)
    elif NAME == "mysqlclient":
        import MySQLdb.cursors
        cursor = one.cursor(MySQLdb.cursors.SSCursor)
    else:
        cursor = one.cursor(buffered=False)
    cursor.execute("SELECT a.id + b.id FROM items a, items b WHERE a.name LIKE 'many %' AND b.name LIKE 'many 1%'")
    equal(sum(1 for _ in cursor), 500 * 111, "streamed rows")
    cursor.close()
    one.rollback()


def check_kill(one, two):
    number = one.connection_id if CONNECTOR else one.thread_id()
    equal(value(one, "SELECT CONNECTION_ID()"), number, "the connection's number")
    one.commit()
    ended = []

    def sleep():
        ended.append(code(rows, one, "SELECT SLEEP(60) FROM items WHERE name = 'kept'") or 1317)
    thread = threading.Thread(target=sleep)
    thread.start()
    while thread.is_alive():
        rows(two, f"KILL QUERY {number}")
        thread.join(0.2)
    equal(ended, [1317], "KILL QUERY")
    one.rollback()
    two.rollback()
    equal(value(one, "SELECT 1"), 1, "after the KILL")
    one.rollback()


def check_reset():
    one = connect()
    rows(one, "SET time_zone = '+07:00'")
    if CONNECTOR:
        one.cmd_reset_connection()
        equal(value(one, "SELECT @@time_zone"), "+00:00", "reset")
    one.ping()
    if NAME != "pymysql":  # which cannot
        rows(one, "SET time_zone = '+07:00'")
        (one.cmd_change_user if CONNECTOR else one.change_user)(USER, PASSWORD, DATABASE)
        equal(value(one, "SELECT @@time_zone"), "+00:00", "change of user")
    one.close()


def check_threads():
    wrong = []

    def work(number):
        try:
            for step in range(3):
                each = connect()
                if value(each, "SELECT %s * 100 + %s", number, step) != number * 100 + step:
                    wrong.append(number)
                each.close()
        except driver.Error as error:
            wrong.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(wrong, [], "threads that come and go")


connections = [connect() for _ in range(6)]
check_types(connections[0])
check_transactions(connections[0])
check_interleaved(connections)
check_load(connections[2])
if not TLS:
    check_big(connections[3])
check_streaming(connections[4])
check_kill(connections[2], connections[5])
check_state(connections[1], connections[2])
if NAME == "pymysql":
    several = connect(client_flag=driver.constants.CLIENT.MULTI_STATEMENTS)
    check_several(several)
    several.close()
else:
    check_several(connections[4])
check_procedure()
check_reset()
check_threads()
for connection in connections:
    connection.close()
