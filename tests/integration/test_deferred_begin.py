"""BEGIN is sent with the first statement of its transaction: nobody can tell, but for the time and the connections."""

import time

import psycopg
import pytest

from support import wire
from support.waiting import wait_for


def borrows(sidecar) -> float:
    return sidecar.metrics().sum("dbproxy_borrows_total")


def ask(client, text, raising=True):
    """Tags, and the status behind them."""
    client.send(wire.query(text))
    seen = client.until_ready(raising)
    return [body[:-1].decode() for kind, body in seen if kind == "C"] + [client.status]


def test_an_empty_transaction_needs_no_connection(bed):
    sidecar = bed.sidecar(limit=1)
    client = bed.raw_session()
    before = borrows(sidecar)
    for begin, tag in (("BEGIN", "BEGIN"), ("start transaction;", "START TRANSACTION"), ("BEGIN READ ONLY", "BEGIN")):
        for end in ("COMMIT", "ROLLBACK"):
            assert ask(client, begin) == [tag, "T"]
            assert ask(client, end) == [end, "I"]
    assert borrows(sidecar) == before
    assert ask(client, "SELECT 1") == ["SELECT 1", "I"]


def test_idle_transactions_leave_the_connection_to_others(bed):
    bed.sidecar(limit=1)
    thinkers = [bed.raw_session() for _ in range(3)]
    for client in thinkers:
        assert ask(client, "BEGIN ISOLATION LEVEL REPEATABLE READ") == ["BEGIN", "T"]
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    for client in thinkers:
        assert client.query("SHOW transaction_isolation") == [["repeatable read"]]
        assert client.status == "T"
        assert ask(client, "COMMIT") == ["COMMIT", "I"]


def test_a_transaction_is_one(bed):
    sidecar = bed.sidecar(limit=1)
    client, other = bed.raw_session(), bed.connect()
    other.execute("DROP TABLE IF EXISTS begun; CREATE TABLE begun (n int)")
    ask(client, "BEGIN")
    client.query("INSERT INTO begun VALUES (1)")
    assert client.status == "T"
    assert ask(client, "ROLLBACK") == ["ROLLBACK", "I"]
    assert other.execute("SELECT count(*) FROM begun").fetchone() == (0,)
    ask(client, "BEGIN")
    with pytest.raises(wire.ServerError, match="42703"):
        client.query("SELECT nothing")
    assert client.status == "E"
    assert ask(client, "COMMIT") == ["ROLLBACK", "I"]
    ask(client, "BEGIN READ ONLY")
    with pytest.raises(wire.ServerError, match="25006"):
        client.query("INSERT INTO begun VALUES (1)")
    assert ask(client, "ROLLBACK") == ["ROLLBACK", "I"]
    with bed.connect(autocommit=False) as driver:
        driver.execute("INSERT INTO begun VALUES (%s)", (2,), prepare=True)
    assert other.execute("SELECT count(*) FROM begun").fetchone() == (1,)
    assert sidecar.metrics().sum("dbproxy_pins_total") == 0


def test_begin_twice_warns(bed):
    bed.sidecar(limit=1)
    client = bed.raw_session()
    ask(client, "BEGIN")
    client.send(wire.query("BEGIN"))
    seen = client.until_ready()
    assert [kind for kind, _ in seen] == ["N", "C"] and client.status == "T"
    assert wire.fields(seen[0][1])["C"] == "25001"
    assert ask(client, "COMMIT AND CHAIN") == ["COMMIT", "T"]
    assert ask(client, "END") == ["COMMIT", "I"]


def test_extended_query_behind_it(bed):
    bed.sidecar(limit=1)
    client, other = bed.raw_session(), bed.raw_session()
    client.send(wire.parse("s", "SELECT 1") + wire.SYNC)
    client.until_ready()
    for _ in range(3):
        ask(client, "BEGIN")
        other.query("SELECT 1")
        client.send(wire.SYNC)
        client.until_ready()
        assert client.status == "T"
        client.send(wire.bind("", "s") + wire.execute() + wire.SYNC)
        assert [kind for kind, _ in client.until_ready()] == ["2", "D", "C"]
        assert client.status == "T"
        client.send(wire.parse("", "COMMIT") + wire.bind("", "") + wire.execute() + wire.SYNC)
        assert [kind for kind, _ in client.until_ready()] == ["1", "2", "C"]
        assert client.status == "I"


def test_pipelined(bed):
    bed.sidecar(limit=1)
    client = bed.raw_session()
    one = wire.parse("", "SELECT 1") + wire.bind("", "") + wire.execute() + wire.SYNC
    client.send(wire.query("BEGIN") + one + one + wire.query("COMMIT") + wire.query("BEGIN") + wire.query("ROLLBACK"))
    statuses = []
    for _ in range(6):
        client.until_ready()
        statuses.append(client.status)
    assert statuses == ["T", "T", "T", "I", "T", "I"]


def test_settings_and_begin_together(bed):
    bed.sidecar(limit=1)
    clients = [bed.connect(options=f"-c TimeZone={zone}") for zone in ("Asia/Tokyo", "Europe/Berlin")]
    for client, zone in zip(clients, ("America/Lima", "Asia/Kolkata")):
        client.execute(f"SET TimeZone = '{zone}'")
    for client in clients:
        client.execute("BEGIN")
    for client, zone in zip(clients, ("America/Lima", "Asia/Kolkata")):
        assert client.execute("SHOW TimeZone").fetchone() == (zone,)
        client.execute("COMMIT")


def test_a_cancel_behind_it_reaches_the_statement(bed):
    bed.sidecar(limit=1)
    client = bed.raw_session()
    ask(client, "BEGIN")
    client.send(wire.query("SELECT pg_sleep(60)"))
    wait_for(lambda: bed.writer.sessions(where="query LIKE '%pg_sleep(60)%' AND state = 'active'") == 1, 10, "it runs")
    client.cancel()
    with pytest.raises(wire.ServerError, match="57014"):
        client.until_ready()
    assert client.status == "E"
    assert ask(client, "ROLLBACK") == ["ROLLBACK", "I"]


def test_without_a_connection_the_transaction_fails(bed):
    """The statement is refused as it would be without a transaction; what follows is in a failed one."""
    bed.sidecar(limit=1, pool={"connectionBorrowTimeoutSeconds": 1})
    holder, client = bed.connect(), bed.raw_session()
    ask(client, "BEGIN")
    holder.execute("SELECT pg_advisory_lock(1)")
    with pytest.raises(wire.ServerError, match="53300"):
        client.query("SELECT 1")
    assert client.status == "E"
    assert ask(client, "COMMIT") == ["ROLLBACK", "I"]
    ask(client, "BEGIN")
    with pytest.raises(wire.ServerError, match="53300"):
        client.query("SELECT 1")
    holder.close()

    def refused():
        try:
            client.query("SELECT 1")
        except wire.ServerError as error:
            return error.sqlstate
    wait_for(lambda: refused() == "25P02", 10, "the server has a failed transaction", 0.1)
    assert client.status == "E"
    assert ask(client, "ROLLBACK") == ["ROLLBACK", "I"]
    assert ask(client, "SELECT 1") == ["SELECT 1", "I"]


def test_a_client_that_leaves_in_it(bed):
    bed.sidecar(limit=1)
    client = bed.raw_session()
    ask(client, "BEGIN")
    client.close()
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)


def test_now_moves_unless_it_is_switched_off(bed):
    sidecar = bed.sidecar(limit=1)
    client = bed.connect()

    def lag():
        client.execute("BEGIN")
        time.sleep(0.3)  # what the client thinks before its first statement: here time is what is tested
        seconds = client.execute("SELECT extract(epoch FROM statement_timestamp() - now())::float8").fetchone()[0]
        client.execute("COMMIT")
        return seconds
    assert lag() < 0.25
    bed.manifests.set_spec(deferredBegin="Off")
    wait_for(lambda: lag() >= 0.25, 10, "BEGIN is sent at once")
    assert borrows(sidecar) > 0
