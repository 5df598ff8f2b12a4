"""limits of a DBProxy on a real database: PostgreSQL's names and SQLSTATEs, enforced by the sidecar."""

import threading

import psycopg
import pytest

from support import wire
from support.waiting import wait_for
from support.wire import query


def test_statement_timeout(bed):
    bed.sidecar(limit=1, limits={"statementTimeout": "300ms"})
    client = bed.connect()
    backend = client.execute("SELECT pg_backend_pid()").fetchone()
    for text in ("SELECT pg_sleep(60)", "SELECT count(*) FROM generate_series(1, 1000000000000)"):
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to statement timeout"):
            client.execute(text)
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to statement timeout"):
            client.execute(text, prepare=True)
    assert client.execute("SELECT pg_backend_pid()").fetchone() == backend  # cancelled, and kept


def test_idle_in_transaction_session_timeout(bed):
    sidecar = bed.sidecar(limit=1, limits={"idleInTransactionSessionTimeout": "500ms"})
    silent = bed.connect(autocommit=False)
    silent.execute("CREATE TABLE unseen (n int)")
    other = bed.connect()
    assert other.execute("SELECT to_regclass('unseen')").fetchone() == (None,)  # waited, and then it was rolled back
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        silent.execute("SELECT 1")
    assert sidecar.metrics().sum("dbproxy_time_limits_total", limit="idle_in_transaction") == 1
    wait_for(lambda: bed.writer.sessions(where="state = 'idle in transaction'") == 0, what="nothing is left open")


@pytest.mark.parametrize("own", [False, True], ids=["of the DBProxy", "of the client"])
def test_idle_in_transaction_without_a_connection(bed, own):
    """BEGIN was kept back: no server knows of the transaction, and it is idle all the same."""
    sidecar = bed.sidecar(limit=1, **({} if own else {"limits": {"idleInTransactionSessionTimeout": "500ms"}}))
    client, other = bed.raw_session(), bed.raw_session()
    if own:
        client.query("SET idle_in_transaction_session_timeout = '400ms'")
    other.query("SELECT 1")
    client.query("BEGIN")
    assert client.status == "T"
    kind, body = client.message()
    assert kind == "E" and wire.fields(body)["C"] == "25P03" and wire.fields(body)["S"] == "FATAL"
    assert sidecar.metrics().sum("dbproxy_time_limits_total", limit="idle_in_transaction") == 1
    other.query("BEGIN")
    other.query("COMMIT")
    assert other.query("SELECT 2") == [["2"]]


def test_transaction_timeout(bed):
    bed.sidecar(limit=2, limits={"transactionTimeout": "1s"})
    client = bed.connect(autocommit=False)
    with pytest.raises(psycopg.Error) as caught:
        while True:
            client.execute("SELECT pg_sleep(0.05)")
    assert caught.value.sqlstate == "25P04"
    wait_for(lambda: bed.writer.sessions(where="state <> 'idle'") == 0, what="the transaction is over")


def test_connections_of_a_user(bed):
    """Two clients of one user share one connection, though the pool has room; another user is not held up."""
    bed.sidecar(users=("app", "reports"), limits={"maxConnectionsPerUser": 1})
    first, second = bed.connect(autocommit=False), bed.connect(database="billing")
    first.execute("SELECT 1")  # in place of the idle connection to the other database
    assert bed.connect(user="reports").execute("SELECT 2").fetchone() == (2,)
    assert bed.writer.sessions("app", "application_name <> 'dbproxy-monitor'") <= 1
    first.commit()
    assert second.execute("SELECT 3").fetchone() == (3,)


def test_connections_of_a_database(bed):
    """Its clients take turns, whoever they are, though the pool has room; another database is not held up."""
    bed.sidecar(users=("app", "reports"), limits={"maxConnectionsPerDatabase": 1})
    first, second = bed.connect(autocommit=False), bed.connect(user="reports")
    first.execute("SELECT 1")
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(second.execute("SELECT 2").fetchone()))
    waiter.start()
    assert bed.connect(database="billing").execute("SELECT 3").fetchone() == (3,)
    assert bed.writer.sessions("app", "datname = 'orders'") + bed.writer.sessions("reports", "datname = 'orders'") == 1
    assert answers == []
    first.commit()
    waiter.join(30)
    assert answers == [(2,)]


def test_who_waits_for_long_hears_so(bed):
    """A NOTICE on the way, and the query runs when its turn comes."""
    bed.sidecar(limit=1, pool={"connectionBorrowTimeoutSeconds": 60})
    holder, waiter = bed.connect(autocommit=False), bed.raw_session()
    holder.execute("SELECT 1")
    waiter.send(query("SELECT 'served'"))
    kind, body = waiter.message()
    assert (kind, wire.fields(body)["C"]) == ("N", "00000")
    assert wire.fields(body)["M"] == "the query waits for a database connection"
    holder.commit()
    assert [kind for kind, _ in waiter.until_ready()] == ["T", "D", "C"]
