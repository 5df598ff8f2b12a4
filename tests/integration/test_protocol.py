"""The extended protocol, pipelines, COPY and odd packet shapes, message by message."""

import hashlib

import psycopg
import pytest

from support import paths, wire
from support.postgres import PASSWORDS
from support.wire import SYNC, bind, close, describe, execute, parse, query


def kinds(messages) -> str:
    return "".join(kind for kind, _ in messages)


def rows(messages) -> list:
    return [wire.row(body) for kind, body in messages if kind == "D"]


def test_named_statements_live_across_transactions(bed):
    """The statement belongs to the client, whatever server connection runs it, and to no other client."""
    bed.sidecar(limit=2)
    first, second = bed.raw_session(), bed.raw_session()
    first.send(parse("s", "SELECT 'first ' || $1::text") + SYNC)
    second.send(parse("s", "SELECT 'second ' || $1::text") + SYNC)
    assert kinds(first.until_ready()) == "1" and kinds(second.until_ready()) == "1"
    for number in range(20):
        for client, name in ((first, "first"), (second, "second")):
            client.send(bind("", "s", [number]) + describe("P") + execute() + SYNC)
            answer = client.until_ready()
            assert kinds(answer) == "2TDC"
            assert rows(answer) == [[f"{name} {number}"]]


def test_describe_of_a_statement_prepared_elsewhere(bed):
    bed.sidecar(limit=2)
    client, holder = bed.raw_session(), bed.connect()
    client.send(parse("s", "SELECT $1::int AS n", [23]) + SYNC)
    client.until_ready()
    with holder.transaction():  # takes the connection on which it was prepared, or at least another one
        holder.execute("SELECT 1")
        client.send(describe("S", "s") + SYNC)
        answer = client.until_ready()
    assert kinds(answer) == "tT"
    assert answer[0][1] == b"\0\1" + (23).to_bytes(4, "big")


def test_close_and_prepare_again(bed):
    bed.sidecar(limit=1)
    client = bed.raw_session()
    for text in ("SELECT 1", "SELECT 2"):
        client.send(parse("s", text) + SYNC + bind("", "s") + execute() + SYNC + close("S", "s") + SYNC)
        assert kinds(client.until_ready()) == "1"
        assert rows(client.until_ready()) == [[text[-1]]]
        assert kinds(client.until_ready()) == "3"
    client.send(bind("", "s") + execute() + SYNC)
    with pytest.raises(wire.ServerError) as caught:
        client.until_ready()
    assert caught.value.sqlstate == "26000"
    assert client.query("SELECT 3") == [["3"]]


def test_same_name_twice_is_an_error(bed):
    bed.sidecar()
    client = bed.raw_session()
    client.send(parse("s", "SELECT 1") + SYNC + parse("s", "SELECT 2") + SYNC)
    client.until_ready()
    with pytest.raises(wire.ServerError) as caught:
        client.until_ready()
    assert caught.value.sqlstate == "42P05"


def test_bind_to_an_unknown_statement_is_an_error_only(bed):
    bed.sidecar(limit=1)
    client = bed.raw_session()
    client.send(bind("", "never") + execute() + SYNC)
    with pytest.raises(wire.ServerError) as caught:
        client.until_ready()
    assert caught.value.sqlstate == "26000" and "never" in caught.value.message
    assert client.status == "I"
    assert client.query("SELECT 1") == [["1"]]


def test_failed_parse_is_not_prepared(bed):
    bed.sidecar(limit=1)
    client = bed.raw_session()
    client.send(parse("s", "SELEKT") + SYNC)
    with pytest.raises(wire.ServerError):
        client.until_ready()
    client.send(parse("s", "SELECT 5") + bind("", "s") + execute() + SYNC)
    assert rows(client.until_ready()) == [["5"]]


def test_error_in_a_pipeline_skips_to_sync(bed):
    bed.sidecar(limit=1)
    client = bed.raw_session()
    client.send(parse("a", "SELECT 1") + bind("", "a") + execute()
                + parse("b", "SELECT 1/0") + bind("", "b") + execute()
                + parse("c", "SELECT 3") + bind("", "c") + execute() + SYNC)
    answer = client.until_ready(raising=False)
    assert kinds(answer) == "12DC1E"  # the planner already divides
    # `c` was skipped, so it is free; `a` and `b` exist.
    client.send(parse("c", "SELECT 33") + bind("", "c") + execute() + bind("", "a") + execute() + SYNC)
    assert rows(client.until_ready()) == [["33"], ["1"]]


def test_long_pipeline(bed):
    """Many statements in flight, more than any buffer holds, without a round trip between them."""
    bed.sidecar(limit=2)
    connection = bed.connect()
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int, repeat('x', 1000)", (number,)) for number in range(2000)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(2000))


def test_pipeline_of_several_syncs(bed):
    bed.sidecar(limit=1)
    client, other = bed.raw_session(), bed.raw_session()
    client.send(b"".join(parse("", f"SELECT {number}") + bind("", "") + execute() + SYNC for number in range(50)))
    for number in range(50):
        assert rows(client.until_ready()) == [[str(number)]]
    assert other.query("SELECT 1") == [["1"]]


def test_a_sequence_that_has_begun_keeps_its_connection(bed):
    """ReadyForQuery of the sequence before it lets nobody else in between."""
    bed.sidecar(limit=1)
    client, other = bed.raw_session(), bed.raw_session()
    client.send(parse("", "SELECT $1::text") + bind("", "", ["a"]) + execute() + SYNC
                + parse("", "SELECT $1::text || pg_backend_pid()") + wire.FLUSH)
    assert kinds(client.until_ready()) == "12DC"
    assert client.message()[0] == "1"
    other.send(query("SELECT 'other'"))
    client.send(bind("", "", ["b"]) + execute() + SYNC)
    assert kinds(client.until_ready()) == "2DC"
    assert kinds(other.until_ready()) == "TDC"


def test_a_start_of_many_settings(bed):
    """A start-up packet that is longer than a packet of the network, and values that are, too."""
    bed.sidecar(limit=1)
    long = {f"app.setting_{number}": f"{number} " * 200 for number in range(10)}
    client = bed.raw_session(**long, options="-c work_mem=3MB " + "-c app.again=1 " * 200)
    for name in ("app.setting_0", "app.setting_9"):
        assert client.query(f"SHOW {name}") == [[long[name]]]
    assert client.query("SHOW work_mem") == [["3MB"]]


def test_portal_suspended_and_flush(bed):
    bed.sidecar(limit=1)
    client = bed.raw_session()
    client.send(query("BEGIN"))
    client.until_ready()
    client.send(parse("", "SELECT generate_series(1, 5)") + bind("p", "") + execute("p", 2) + wire.FLUSH)
    seen = [client.message() for _ in range(5)]
    assert kinds(seen) == "12DDs"
    client.send(execute("p", 2) + execute("p", 2) + SYNC)
    assert kinds(client.until_ready()) == "DDsDC"
    client.send(query("COMMIT"))
    client.until_ready()


def test_several_statements_in_one_text(bed):
    bed.sidecar(limit=1)
    client = bed.raw_session()
    client.send(query("SELECT 1; SELECT 2; SELECT 3"))
    assert kinds(client.until_ready()) == "TDCTDCTDC"
    client.send(query(""))
    assert kinds(client.until_ready()) == "I"
    client.send(query("SELECT 1; SELECT 1/0; SELECT 3"))
    assert kinds(client.until_ready(raising=False)) in ("TDCE", "TDCTE")
    assert client.query("SELECT 4") == [["4"]]


def test_notices_come_through(bed):
    bed.sidecar()
    client = bed.raw_session()
    client.send(query("DO $$ BEGIN RAISE NOTICE 'hello'; END $$"))
    answer = client.until_ready()
    assert kinds(answer) == "NC" and b"hello" in answer[0][1]


def test_every_packet_split_at_every_byte(bed):
    bed.sidecar(limit=1)
    client = bed.raw()
    data = wire.startup({"user": "app", "database": "orders"})
    for at in range(len(data)):
        client.send(data[at:at + 1])
    client.authenticate("app", "app-secret")
    data = (query("SELECT 'abc'") + parse("s", "SELECT $1::text") + bind("", "s", ["x"]) + execute() + SYNC)
    for at in range(len(data)):
        client.send(data[at:at + 1])
    assert rows(client.until_ready()) == [["abc"]]
    assert rows(client.until_ready()) == [["x"]]


@pytest.mark.parametrize("size", [1, 8_000, 16_380, 65_536, 3_000_000, 40_000_000])
def test_big_statement_and_big_row(bed, size):
    """One message far larger than any buffer, both ways, simple and extended."""
    bed.sidecar(limit=1)
    connection = bed.connect()
    text = "0123456789" * (size // 10 + 1)
    length, digest, back = connection.execute("SELECT length(%s), md5(%s), %s", (text, text, text)).fetchone()
    assert length == len(text) and digest == hashlib.md5(text.encode()).hexdigest() and back == text
    if size <= 3_000_000:
        assert bed.raw_session().query(f"SELECT '{text}'") == [[text]]


def test_large_result_is_streamed(bed):
    sidecar = bed.sidecar(limit=1, binary=paths.release_binary("dbproxy"))  # a sanitizer keeps what was freed
    connection = bed.connect()
    connection.execute("SELECT 1")
    before = sidecar.resident_bytes()
    total = 0
    with connection.cursor() as cursor:
        for (text,) in cursor.stream("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"):
            total += len(text)
    assert total == 100_000_000
    assert sidecar.peak_bytes() - before < 10_000_000


def test_copy_both_ways(bed):
    bed.sidecar(limit=1)
    bed.writer.sql("DROP TABLE IF EXISTS copied; CREATE TABLE copied (n int, t text); GRANT ALL ON copied TO app",
                   "orders")
    connection, other = bed.connect(), bed.connect()
    with connection.cursor() as cursor:
        with cursor.copy("COPY copied FROM STDIN") as copy:
            for number in range(50_000):
                copy.write_row((number, f"row {number}"))
        assert other.execute("SELECT count(*), sum(n) FROM copied").fetchone() == (50_000, 1_249_975_000)
        with cursor.copy("COPY (SELECT n FROM copied ORDER BY n) TO STDOUT") as copy:
            assert [row[0] for row in copy.rows()] == [str(number) for number in range(50_000)]
    assert other.execute("SELECT 1").fetchone() == (1,)


def test_copy_that_fails(bed):
    bed.sidecar(limit=1)
    bed.writer.sql("DROP TABLE IF EXISTS numbers; CREATE TABLE numbers (n int); GRANT ALL ON numbers TO app", "orders")
    connection, other = bed.connect(), bed.connect()
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        with connection.cursor().copy("COPY numbers FROM STDIN") as copy:
            for number in range(20_000):
                copy.write(f"{number}\n")
            copy.write("not a number\n")
            for number in range(20_000):
                copy.write(f"{number}\n")
    with pytest.raises(psycopg.errors.QueryCanceled):
        with connection.cursor().copy("COPY numbers FROM STDIN") as copy:
            copy.write("1\n")
            raise psycopg.errors.QueryCanceled("given up by the client")
    for client in (connection, other):
        assert client.execute("SELECT count(*) FROM numbers").fetchone() == (0,)


def test_late_copy_data_after_an_error_is_dropped(bed):
    """CopyData that is still under way when the server has already refused the COPY must not stick the pool."""
    bed.sidecar(limit=1)
    client, other = bed.raw_session(), bed.raw_session()
    client.send(query("CREATE TEMP TABLE t (n int); COPY t FROM STDIN"))
    while client.message()[0] != "G":
        pass
    client.send(wire.message(b"d", b"x\n") + wire.message(b"d", b"1\n") * 5000 + wire.message(b"c"))
    with pytest.raises(wire.ServerError):
        client.until_ready()
    client.send(wire.message(b"d", b"2\n") + wire.message(b"c"))
    assert client.query("SELECT 7") == [["7"]]
    client.close()
    assert other.query("SELECT 8") == [["8"]]


def test_function_call_message(bed):
    bed.sidecar()
    client = bed.raw_session()
    oid = int(client.query("SELECT 'pg_catalog.int4pl(int4,int4)'::regprocedure::oid")[0][0])
    arguments = b"".join((4).to_bytes(4, "big") + number.to_bytes(4, "big") for number in (40, 2))
    client.send(wire.message(b"F", oid.to_bytes(4, "big") + b"\0\1\0\1" + b"\0\2" + arguments + b"\0\1"))
    answer = client.until_ready()
    assert kinds(answer) == "V" and answer[0][1][-4:] == (42).to_bytes(4, "big")


@pytest.mark.parametrize("behind", [
    query("INSERT INTO guarded VALUES (1)"), query("BEGIN"), query("CALL guarded_insert()"), query("SHOW search_path"),
    parse("", "INSERT INTO guarded VALUES (1)") + bind("", "") + execute() + SYNC,
], ids=["insert", "begin", "call", "show", "extended"])
def test_what_guards_the_replay_of_settings(bed, behind):
    """A request that is sent behind a replay that fails is refused by the database itself, whatever it is: that is
    what dbproxy counts on (ServerSession::replay). So this asks the database, not the sidecar."""
    bed.writer.sql("CREATE TABLE guarded (i int); CREATE PROCEDURE guarded_insert() LANGUAGE sql AS 'INSERT INTO"
                   " guarded VALUES (1)'; GRANT INSERT ON guarded TO app", "orders")
    try:
        with wire.Client(bed.writer.host, bed.writer.port).login("app", PASSWORDS["app"], "orders") as client:
            client.send(query("BEGIN; SELECT pg_catalog.set_config(E'TimeZone', E'nowhere', false); COMMIT") + behind)
            for sqlstate in ("22023", "25P02"):
                with pytest.raises(wire.ServerError) as caught:
                    client.until_ready()
                assert (caught.value.sqlstate, client.status) == (sqlstate, "E")
        assert bed.writer.sql("SELECT count(*) FROM guarded", "orders") == "0"
    finally:
        bed.writer.sql("DROP PROCEDURE guarded_insert; DROP TABLE guarded", "orders")
