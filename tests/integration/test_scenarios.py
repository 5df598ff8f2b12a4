"""Conversations that have hung, confused or poisoned poolers: told to the database and through a pool of one, word for
word the same, and afterwards the one server connection is good for the next client."""

import threading
from dataclasses import dataclass

import psycopg
import pytest

from support import wire
from support.wire import SYNC, bind, cstring, describe, execute, message, parse, query
from support.waiting import wait_for

FLUSH, TERMINATE = wire.FLUSH, wire.TERMINATE
COPY = "COPY copied FROM STDIN"
SCHEMA = """
DROP TABLE IF EXISTS copied; CREATE TABLE copied (n int PRIMARY KEY); GRANT ALL ON copied TO app;
GRANT CREATE ON SCHEMA public TO app;
DROP TABLE IF EXISTS changing; CREATE TABLE changing (a int, b int); ALTER TABLE changing OWNER TO app;
"""


@dataclass
class Say:
    data: bytes


@dataclass
class Hear:
    """All messages up to this one, or to the end of the connection."""

    last: str
    times: int = 1


def data(*rows) -> bytes:
    return b"".join(message(b"d", f"{row}\n".encode()) for row in rows)


DONE, FAIL = message(b"c"), message(b"f", cstring("I gave up"))


def call(text, rows=0) -> bytes:
    return parse("", text) + bind("", "") + execute("", rows)


# Each is told on a fresh session. Whoever breaks off does so with the last step.
SCENARIOS = {
    # Sync behind the Execute of a COPY is swallowed by the server: one ReadyForQuery, not two.
    "copy by extended query": [Say(call(COPY) + SYNC), Hear("G"), Say(data(1, 2) + DONE + SYNC), Hear("Z")],
    "copy by extended query, all at once": [Say(call(COPY) + SYNC + data(1, 2) + DONE + SYNC), Hear("Z")],
    "copy by extended query that fails": [
        Say(call(COPY) + SYNC), Hear("G"), Say(data("x") + data(*range(2, 500))), Hear("E"),
        Say(data(3) + DONE + SYNC), Hear("Z")],
    "copy by extended query that the client fails": [Say(call(COPY) + SYNC), Hear("G"), Say(data(1) + FAIL + SYNC),
                                                     Hear("Z")],
    "copy by a prepared statement": [
        Say(parse("p1", COPY) + bind("", "p1") + execute() + SYNC), Hear("G"), Say(data(1) + DONE + SYNC), Hear("Z")],
    "copy by a prepared statement, bad data before CopyDone": [
        Say(parse("p1", COPY) + bind("", "p1") + execute() + SYNC), Hear("G"), Say(data("")), Hear("E"),
        Say(DONE + SYNC), Hear("Z"), Say(query("SELECT 1")), Hear("Z")],
    "copy by a prepared statement, bad data and CopyDone at once": [
        Say(parse("p1", COPY) + bind("", "p1") + execute() + SYNC), Hear("G"), Say(data("") + DONE + SYNC), Hear("Z")],
    "copy out by a prepared statement": [
        Say(parse("p1", "COPY (SELECT generate_series(1, 3)) TO STDOUT") + bind("", "p1") + execute() + SYNC), Hear("Z"),
        Say(bind("", "p1") + execute() + SYNC), Hear("Z")],
    "copy by extended query of what is not there": [Say(call("COPY nowhere FROM STDIN") + SYNC + data(1) + DONE + SYNC),
                                                    Hear("Z", 2)],
    "copy that fails early, with data still to come": [
        Say(query(COPY)), Hear("G"), Say(data(1, 1) + data(*range(2, 2000))), Hear("Z"), Say(data(3, 4) + DONE),
        Say(query("SELECT 1")), Hear("Z")],
    "copy that fails in a transaction, CopyDone late": [
        Say(query("BEGIN") + query(COPY)), Hear("G"), Say(data("x")), Hear("Z"), Say(data(1) + DONE + query("ROLLBACK")),
        Hear("Z")],
    "copy that the client fails": [Say(query(COPY)), Hear("G"), Say(data(1) + FAIL), Hear("Z")],
    "two copies in one text": [Say(query(f"{COPY}; {COPY}")), Hear("G"), Say(data(1) + DONE), Hear("G"),
                               Say(data(2) + DONE), Hear("Z")],
    "copy out, then in": [Say(query(f"COPY (SELECT 7) TO STDOUT; {COPY}")), Hear("G"), Say(data(7) + DONE), Hear("Z")],
    "flush and sync within a copy": [Say(query(COPY)), Hear("G"), Say(data(1) + FLUSH + SYNC + data(2) + DONE), Hear("Z")],
    "error, then a simple query before the sync": [
        Say(call("SELECT 1/0") + query("SELECT 'skipped'") + SYNC), Hear("Z"), Say(query("SELECT 1")), Hear("Z")],
    "savepoints by simple query around an error": [
        Say(query("BEGIN; SAVEPOINT s")), Hear("Z"),
        Say(call("SELECT 1/0") + query("RELEASE SAVEPOINT s")), Hear("E"),
        Say(SYNC + query("ROLLBACK TO SAVEPOINT s; RELEASE SAVEPOINT s")), Hear("Z", 2), Say(query("COMMIT")), Hear("Z")],
    "errors here and there in a pipeline": [
        Say(b"".join(call(f"SELECT {n} / {n % 3}") + SYNC for n in range(30))), Hear("Z", 30)],
    "error in the middle of a sequence": [
        Say(call("SELECT 1") + call("SELECT 1/0") + call("INSERT INTO copied VALUES (9)") + SYNC), Hear("Z"),
        Say(query("SELECT count(*) FROM copied")), Hear("Z")],
    "bind to nothing in a pipeline": [
        Say(bind("", "nobody") + describe("P") + execute() + call("SELECT 1") + SYNC + call("SELECT 2") + SYNC),
        Hear("Z", 2)],
    "bind with too few parameters": [Say(parse("p", "SELECT $1::int") + bind("", "p") + execute() + SYNC), Hear("Z"),
                                     Say(bind("", "p", [5]) + execute() + SYNC), Hear("Z")],
    "a name that is longer than others' messages": [
        Say(parse("n" * 6000, "SELECT $1::int", [23]) + describe("S", "n" * 6000) + SYNC), Hear("Z"),
        Say(bind("", "n" * 6000, [7]) + execute() + wire.close("S", "n" * 6000) + SYNC), Hear("Z")],
    "a name that failed is free": [
        Say(parse("n", "SELEC 1") + SYNC + parse("n", "SELECT 1") + bind("", "n") + execute() + SYNC), Hear("Z", 2)],
    "prepare that fails, and its execute": [
        Say(query("PREPARE e AS SELEC 1") + query("EXECUTE e") + query("SELECT 1")), Hear("Z", 3)],
    "portal in pieces": [
        Say(query("BEGIN")), Hear("Z"),
        Say(parse("", "SELECT * FROM generate_series(1, 5)") + bind("p", "") + execute("p", 2) + FLUSH), Hear("s"),
        Say(execute("p", 2) + FLUSH), Hear("s"), Say(execute("p", 2) + SYNC), Hear("Z"),
        Say(execute("p", 2) + SYNC), Hear("Z"), Say(query("COMMIT")), Hear("Z")],
    "portal in pieces without a transaction": [
        Say(parse("", "SELECT * FROM generate_series(1, 5)") + bind("p", "") + execute("p", 2) + FLUSH), Hear("s"),
        Say(execute("p", 1) + FLUSH), Hear("s"), Say(SYNC), Hear("Z"), Say(execute("p", 1) + SYNC), Hear("Z")],
    "two portals in turn": [
        Say(parse("s", "SELECT * FROM generate_series(1, $1)", [23]) + bind("a", "s", [3]) + bind("b", "s", [4]) +
            execute("a", 1) + execute("b", 3) + execute("a", 1) + execute("b", 3) + execute("a", 5) + SYNC), Hear("Z")],
    "portal that is closed before its end": [
        Say(parse("", "SELECT * FROM generate_series(1, 5)") + bind("p", "") + execute("p", 1) +
            wire.close("P", "p") + execute("p", 1) + SYNC), Hear("Z")],
    "flush after each message": [
        Say(parse("f", "SELECT 1") + FLUSH), Hear("1"), Say(describe("S", "f") + FLUSH), Hear("T"),
        Say(bind("", "f") + FLUSH), Hear("2"), Say(execute() + FLUSH), Hear("C"), Say(FLUSH + FLUSH + SYNC), Hear("Z")],
    "closing what was never there": [Say(wire.close("S", "nothing") + wire.close("P", "nothing") + SYNC), Hear("Z")],
    "sync after sync": [Say(SYNC * 5), Hear("Z", 5)],
    "nothing to say": [Say(query("")), Hear("Z"), Say(call("") + SYNC), Hear("Z"), Say(query(" ; -- ")), Hear("Z")],
    "statement of no rows described": [Say(parse("d", "BEGIN") + describe("S", "d") + SYNC), Hear("Z")],
    "result in binary": [
        Say(parse("", "SELECT 1, 'x'::text, NULL::int") +
            message(b"B", b"\0\0" + b"\0\0\0\0" + b"\0\1\0\1") + describe("P") + execute() + SYNC), Hear("Z")],
    "notices between rows and at the end": [
        Say(query("DO $$ BEGIN FOR i IN 1..50 LOOP RAISE NOTICE 'notice %', i; RAISE WARNING 'warning'; END LOOP; END $$; "
                  "SELECT 1; DO $$ BEGIN RAISE NOTICE 'last'; END $$")), Hear("Z"),
        Say(call("DO $$ BEGIN RAISE NOTICE 'extended'; END $$") + SYNC), Hear("Z")],
    "large objects": [
        Say(query("BEGIN; SELECT lo_create(424242); SELECT lo_put(424242, 0, 'some bytes')")), Hear("Z"),
        Say(query("SELECT lo_get(424242); SELECT lo_unlink(424242); COMMIT")), Hear("Z")],
    "good-bye behind a sequence without sync": [Say(call("SELECT 1") + TERMINATE), Hear("end")],
    # A writable stream of Node's says CopyFail when it is destroyed, after each COPY that went well.
    "CopyFail behind CopyDone": [Say(query(COPY)), Hear("G"), Say(data(1) + DONE + FAIL + query("SELECT 1")), Hear("Z", 2),
                                 Say(FAIL + query("SELECT 2")), Hear("Z")],
    "the end of a copy that nobody began": [Say(data(1) + DONE + FAIL + query("SELECT 1")), Hear("Z"),
                                            Say(call("SELECT 1") + DONE + SYNC + data(2) + call("SELECT 2") + SYNC),
                                            Hear("Z", 2)],
    "what follows an error comes before ReadyForQuery": [
        Say(bind("", "nobody") + execute() + SYNC), Say(parse("x", "SELECT 1") + describe("S", "x") + FLUSH), Hear("T"),
        Say(bind("", "x") + execute() + SYNC), Hear("Z")],
    "everything deallocated in a pipeline, and a name parsed behind it": [
        Say(parse("k", "SELECT 1") + SYNC), Hear("Z"),
        Say(call("DEALLOCATE ALL") + parse("k", "SELECT 2") + SYNC + bind("", "k") + execute() + SYNC), Hear("Z", 2),
        Say(bind("", "k") + execute() + SYNC), Hear("Z")],
    "everything discarded in a pipeline, and a name parsed behind it": [
        Say(parse("k", "SELECT 1") + SYNC), Hear("Z"),
        Say(call("DISCARD ALL") + SYNC + parse("k", "SELECT 2") + SYNC + bind("", "k") + execute() + SYNC), Hear("Z", 3)],
    "a name that is deallocated and parsed again, as PDO does": [
        Say(parse("pdo_1", "SELECT $1::int") + SYNC), Hear("Z"), Say(bind("", "pdo_1", [1]) + execute() + SYNC), Hear("Z"),
        Say(query("DEALLOCATE pdo_1")), Hear("Z"), Say(parse("pdo_1", "SELECT 'two'") + SYNC), Hear("Z"),
        Say(bind("", "pdo_1") + execute() + SYNC), Hear("Z"), Say(query("DEALLOCATE pdo_1; DEALLOCATE pdo_1")), Hear("Z")],
    "SET and a sequence at once": [
        Say(query("SET statement_timeout = 30000") + parse("", "SHOW statement_timeout") + describe("S") + bind("", "") +
            execute() + SYNC), Hear("Z", 2)],
    "EXECUTE of a table that is gone, in a block and out of it": [
        Say(query("CREATE TABLE brief (n int)") + query("PREPARE brief AS SELECT n FROM brief") + query("DROP TABLE brief")),
        Hear("Z", 3), Say(query("EXECUTE brief")), Hear("Z"),
        Say(query("BEGIN") + query("SELECT 1") + query("EXECUTE brief") + query("ROLLBACK")), Hear("Z", 4),
        Say(call("EXECUTE brief") + SYNC), Hear("Z"), Say(query("DEALLOCATE brief")), Hear("Z")],
    "cached plan after a change of the table": [
        Say(parse("c", "SELECT * FROM changing") + bind("", "c") + execute() + SYNC), Hear("Z"),
        Say(query("ALTER TABLE changing ADD COLUMN d int")), Hear("Z"),
        Say(bind("", "c") + execute() + SYNC), Hear("Z"),
        Say(query("BEGIN")), Hear("Z"), Say(bind("", "c") + execute() + SYNC), Hear("Z"),
        Say(query("ROLLBACK")), Hear("Z"),
        Say(wire.close("S", "c") + parse("c", "SELECT * FROM changing") + bind("", "c") + execute() + SYNC), Hear("Z"),
        Say(query("ALTER TABLE changing DROP COLUMN d")), Hear("Z")],
}


def converse(client: wire.Client, steps) -> list:
    """Everything that was heard. ParameterStatus and notices that nobody asked for are left out by nobody."""
    heard = []
    for step in steps:
        if isinstance(step, Say):
            client.send(step.data)
            continue
        left = step.times
        while left:
            try:
                kind, body = client.message()
            except (wire.Closed, ConnectionResetError, TimeoutError) as error:
                heard.append("silent" if isinstance(error, TimeoutError) else "closed")
                return heard
            heard.append((kind, wire.fields(body) if kind in "EN" else body))
            left -= kind == step.last
    return heard


@pytest.fixture
def prepared(bed):
    bed.writer.sql(SCHEMA, "orders")
    bed.sidecar(limit=1)
    return bed


def reset(bed):
    bed.writer.sql("TRUNCATE copied", "orders")


def is_clean(bed, bystander):
    """The one server connection serves somebody else, outside of any transaction and with nothing left in it."""
    assert bystander.execute("SELECT 1 + 1").fetchone() == (2,)
    assert bystander.execute("SELECT count(*) FROM pg_cursors WHERE name <> ''").fetchone() == (0,)
    assert bed.writer.sessions("app", "state LIKE 'idle in%'") == 0


def test_word_for_word(prepared):
    bed, wrong = prepared, []
    bystander = bed.connect()
    for name, steps in SCENARIOS.items():
        reset(bed)
        with bed.raw(port=bed.writer.port).login("app", "app-secret", "orders") as direct:
            expected = converse(direct, steps)
        assert "silent" not in expected, f"{name}: told wrongly: {expected}"
        wait_for(lambda: bed.writer.sql("SELECT count(*) FROM pg_locks WHERE relation = 'copied'::regclass", "orders")
                 == "0", what="the direct client's locks are gone")
        reset(bed)
        with bed.raw_session() as through:
            heard = converse(through, steps)
            if heard != expected:
                at = next((i for i, pair in enumerate(zip(expected, heard)) if pair[0] != pair[1]),
                          min(len(expected), len(heard)))
                wrong.append(f"{name}: at {at}: the database says {expected[at:at + 3]}, the proxy {heard[at:at + 3]}")
            try:
                if steps[-1].last == "Z":
                    is_clean(bed, bystander)
            except Exception as error:
                wrong.append(f"{name}: afterwards {error!r}")
        is_clean(bed, bystander)
    assert not wrong, "\n".join(wrong)



@pytest.mark.parametrize("said", [
    query("SELECT n, pg_terminate_backend(pg_backend_pid()) FROM generate_series(1, 1) n; SELECT 2"),
    call("SELECT 1") + call("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)") + call("SELECT 3") + SYNC],
    ids=["in a result", "in a pipeline"])
def test_ended_by_an_administrator(prepared, said):
    """The client hears what it would hear directly up to the end, and then an error instead of the end."""
    bed = prepared
    with bed.raw(port=bed.writer.port).login("app", "app-secret", "orders") as direct:
        expected = converse(direct, [Say(said), Hear("end")])
    assert expected[-2][0] == "E" and expected[-2][1]["C"] == "57P01" and expected[-1] == "closed", expected
    with bed.raw_session() as through:
        heard = converse(through, [Say(said), Hear("Z")])
        assert heard[:-2] == expected[:-2]
        assert heard[-2][0] == "E" and heard[-2][1]["C"] == "08007" and heard[-1] == ("Z", b"I"), heard
        assert converse(through, [Say(query("SELECT 3")), Hear("Z")])[-1] == ("Z", b"I")

LIFE = [query("BEGIN"), query("INSERT INTO copied VALUES (1)"), parse("life", "SELECT * FROM generate_series(1, 100000)"),
        bind("p", "life"), execute("p", 10), FLUSH, execute("p", 10), SYNC, query("DECLARE c CURSOR FOR SELECT 1"),
        query("SELECT * FROM generate_series(1, 30000)"), query(COPY), data(2, 3), data(4), DONE]


@pytest.mark.parametrize("cut", ["between messages", "inside of a message"])
def test_client_killed_at_every_point(prepared, cut):
    """However much of its life a client has said when it dies: nothing of it is seen by the next one."""
    bed = prepared
    bystander = bed.connect()
    for count in range(1, len(LIFE) + 1):
        said = b"".join(LIFE[:count])
        victim = bed.raw_session()
        victim.send(said if cut == "between messages" else said[:-2])
        if count % 2 and cut == "between messages" and count > 2:  # at different places on its way
            victim.socket.recv(1)
        victim.close()
        is_clean(bed, bystander)
        assert bystander.execute("SELECT count(*) FROM copied").fetchone() == (0,), f"after {count} messages"
    assert bed.writer.sessions("app") <= 2  # the pool's, and the monitor's


def test_storm_of_connections_half_of_which_break_off(bed):
    """Everybody at once, and every other one leaves in the middle of its log-in or its first query."""
    sidecar = bed.sidecar(limit=4)
    failures, most = [], 0

    def come(number):
        try:
            for turn in range(6):
                if number % 2:
                    client = bed.raw()
                    client.send(wire.startup({"user": "app", "database": "orders"})[:8 + 5 * turn])
                    client.close()
                    client = bed.raw_session()
                    client.send(query("SELECT pg_sleep(0.01)"))
                    client.close()
                else:
                    with psycopg.connect(bed.dsn(), autocommit=True) as client:
                        assert client.execute("SELECT %s::int", [number]).fetchone() == (number,)
        except Exception as error:  # told at the end, by whichever thread it was
            failures.append(repr(error))
    threads = [threading.Thread(target=come, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, bed.writer.sessions("app"))
        threads[0].join(0.05)
        for thread in threads:
            thread.join(0.01)
    assert not failures, failures[:3]
    assert most <= 4 + 1
    wait_for(lambda: sidecar.metrics().sum("dbproxy_client_connections") == 0, what="nobody is left")
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)


def test_late_data_does_not_block_the_pool(prepared):
    """Twenty clients copy duplicates at once and go on sending after the error; the pool of one serves them all."""
    bed, failures = prepared, []

    def copy(_):
        client = bed.raw_session()
        for _turn in range(3):
            client.send(query("BEGIN") + query(COPY))
            while client.message()[0] != "G":
                pass
            client.send(data(1, 1) + data(*range(2, 3000)) + DONE + query("ROLLBACK"))
            seen = 0
            while seen < 2:
                kind, body = client.message()
                if kind == "E" and wire.fields(body)["C"] != "23505":
                    failures.append(wire.fields(body))
                seen += kind == "Z"
        client.close()
    threads = [threading.Thread(target=copy, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and not any(thread.is_alive() for thread in threads)
    assert bed.connect().execute("SELECT count(*) FROM copied").fetchone() == (0,)


def test_cancels_under_load_hit_nobody_else(bed):
    """Two connections for a dozen clients, half of whom cancel themselves all the time, at whatever moment that is:
    nobody else's statement is ever cancelled, and nothing of theirs either that came after."""
    bed.sidecar(limit=2)
    stop, wrong, counted = threading.Event(), [], {"cancelled": 0, "quiet": 0}
    lock = threading.Lock()

    def bystander():
        client = bed.raw_session()
        while not stop.is_set():
            try:
                if client.query("SELECT pg_sleep(0.003), 7")[0][1] != "7":
                    wrong.append("another answer")
            except wire.ServerError as error:
                wrong.append(f"bystander: {error}")
            with lock:
                counted["quiet"] += 1

    def canceller(number):
        client, turn = bed.raw_session(), 0
        while not stop.is_set():
            turn += 1
            client.send(query("SELECT pg_sleep(0.02)"))
            if (turn + number) % 3:
                stop.wait(0.004 * (turn % 5))
            client.cancel()
            try:
                client.until_ready()
            except wire.ServerError as error:
                if error.sqlstate != "57014":
                    wrong.append(f"canceller: {error}")
                with lock:
                    counted["cancelled"] += 1
            # A cancel request has been dealt with when its connection is closed: what comes now is safe from it.
            try:
                if client.query("SELECT 8") != [["8"]]:
                    wrong.append("another answer")
            except wire.ServerError as error:
                wrong.append(f"after its own cancel: {error}")
    threads = [threading.Thread(target=bystander) for _ in range(6)]
    threads += [threading.Thread(target=canceller, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: counted["cancelled"] > 60 and counted["quiet"] > 300 or wrong, 60, "enough of both")
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert not wrong, wrong[:5]
