"""Transaction pooling: few server connections for many clients, limits, waiting, cancel."""

import threading
import time

import psycopg
import pytest

from support import wire
from support.waiting import wait_for


def in_threads(count: int, work):
    """work(number) in so many threads; the first exception is raised."""
    failures = []

    def guarded(number):
        try:
            work(number)
        except Exception as error:  # noqa: BLE001
            failures.append(error)
    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if failures:
        raise failures[0]


def pid(connection) -> int:
    return connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def test_many_clients_share_few_connections(bed):
    sidecar = bed.sidecar(limit=4)
    clients = [bed.connect() for _ in range(40)]
    most, stop = [0], threading.Event()

    def watch():
        while not stop.is_set():
            most[0] = max(most[0], bed.writer.sessions("app"))
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        def work(number):
            for step in range(25):
                with clients[number].transaction():
                    assert clients[number].execute("SELECT %s::int", (number,)).fetchone() == (number,)
                    assert clients[number].execute("SELECT %s::int", (step,)).fetchone() == (step,)
        in_threads(40, work)
    finally:
        stop.set()
        watcher.join()
    # One more session may be the proxy's own look at the database's role.
    assert 1 <= most[0] <= 5
    row = sidecar.metrics()
    assert row.sum("dbproxy_transactions_total") >= 1000


def test_pool_of_one_interleaves_transactions(bed):
    bed.sidecar(limit=1)
    first, second = bed.connect(), bed.connect()
    for _ in range(10):
        assert pid(first) == pid(second)
    with first.transaction():
        first.execute("SELECT 1")
        waiting = threading.Thread(target=pid, args=(second,))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive(), "the only connection is in a transaction: the second client has to wait"
    waiting.join(10)
    assert not waiting.is_alive()


def test_waiters_are_served_in_order(bed):
    """First come, first served; the database's own clock is the witness."""
    sidecar = bed.sidecar(limit=1)
    holder = bed.connect()
    waiters = [bed.raw_session() for _ in range(8)]
    with holder.transaction():
        holder.execute("SELECT 1")
        for number, waiter in enumerate(waiters, 1):
            waiter.send(wire.query("SELECT clock_timestamp()"))
            wait_for(lambda n=number: sum(row["clientsWaiting"] for row in sidecar.json("pools")) == n, 10,
                     f"{number} clients wait")
    times = [wire.row(body)[0] for waiter in waiters for kind, body in waiter.until_ready() if kind == "D"]
    assert len(times) == 8 and times == sorted(times)


def test_borrow_timeout(bed):
    bed.sidecar(limit=1, pool={"connectionBorrowTimeoutSeconds": 1})
    holder, waiter = bed.connect(), bed.connect()
    with holder.transaction():
        holder.execute("SELECT 1")
        begun = time.monotonic()
        with pytest.raises(psycopg.OperationalError) as caught:
            waiter.execute("SELECT 1")
        assert 0.9 <= time.monotonic() - begun <= 5
        assert "connectionBorrowTimeout" in str(caught.value) or "timed out" in str(caught.value).lower()
        assert caught.value.sqlstate in ("53300", "08006", "57014", None)
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)


def test_idle_client_timeout(bed):
    sidecar = bed.sidecar(idleClientTimeoutSeconds=1)
    idle, busy = bed.raw_session(), bed.connect()
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        busy.execute("SELECT 1")
    kind, body = idle.message()
    assert kind == "E" and b"57P05" in body
    assert idle.closed_by_peer()
    assert busy.execute("SELECT 1").fetchone() == (1,)
    assert sidecar.process.alive()


def test_idle_in_transaction_is_an_idle_client_too(bed):
    """As with RDS Proxy: it is ended, its transaction is rolled back, and its connection is good for others."""
    bed.sidecar(limit=1, idleClientTimeoutSeconds=1)
    client = bed.connect()
    client.execute("BEGIN")
    client.execute("SELECT 1")
    assert bed.connect().execute("SELECT 2").fetchone() == (2,)
    with pytest.raises(psycopg.errors.IdleSessionTimeout):
        client.execute("SELECT 3")
    assert bed.writer.sessions("app", "state LIKE 'idle in transaction%'") == 0


def test_init_query(bed):
    bed.sidecar(limit=2, pool={"initQuery": "SET statement_timeout = '31s'; SET work_mem = '7MB'"})
    for _ in range(3):
        client = bed.connect()
        assert client.execute("SHOW work_mem").fetchone() == ("7MB",)
        assert client.execute("SHOW statement_timeout").fetchone() == ("31s",)


def test_broken_init_query_is_shown_to_the_client(bed):
    bed.sidecar(pool={"initQuery": "SET no_such_setting = 1", "connectionBorrowTimeoutSeconds": 3})
    with pytest.raises(psycopg.OperationalError) as caught:
        bed.connect().execute("SELECT 1")
    assert "initQuery" in str(caught.value)
    assert "no_such_setting" in bed.writer.process.log()


def test_idle_connections_are_given_back(bed):
    """Beyond maxIdleConnectionsPercent (of max_connections, which is 100) nothing stays open
    for longer than the half minute that a burst may need it again."""
    bed.sidecar(limit=10, pool={"maxIdleConnectionsPercent": 2})
    clients = [bed.connect() for _ in range(10)]
    in_threads(10, lambda number: clients[number].execute("SELECT pg_sleep(0.3)"))
    wait_for(lambda: bed.writer.sessions("app") <= 3, 60, "at most two idle connections and the monitor's", 0.2)
    assert clients[0].execute("SELECT 1").fetchone() == (1,)


def test_cancel_reaches_the_right_statement(bed):
    bed.sidecar(limit=1)
    sleeper, bystander = bed.connect(), bed.connect()
    cancelled = []

    def sleep():
        try:
            sleeper.execute("SELECT pg_sleep(60)")
        except psycopg.errors.QueryCanceled as error:
            cancelled.append(error)
    thread = threading.Thread(target=sleep)
    thread.start()
    wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep(60)%' AND state = 'active'") == 1)
    sleeper.cancel_safe(timeout=5)
    thread.join(10)
    assert len(cancelled) == 1
    for _ in range(20):
        assert bystander.execute("SELECT 1").fetchone() == (1,)
    assert sleeper.execute("SELECT 1").fetchone() == (1,)


def test_late_cancel_does_not_hit_the_next_client(bed):
    """A cancel for a client that has nothing running must not reach whoever has the connection now."""
    bed.sidecar(limit=1)
    idle = bed.raw_session()
    idle.query("SELECT 1")
    busy = bed.connect()
    result = []
    thread = threading.Thread(target=lambda: result.append(busy.execute("SELECT pg_sleep(1.5)").fetchone()))
    thread.start()
    wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep(1.5)%' AND state = 'active'") == 1)
    for _ in range(10):
        idle.cancel()
    thread.join(10)
    assert result == [("",)]
    assert idle.query("SELECT 2") == [["2"]]


def test_cancel_of_a_waiting_client(bed):
    """A client that still waits for a connection leaves the queue with 57014."""
    sidecar = bed.sidecar(limit=1)
    holder, waiter = bed.connect(), bed.connect()
    errors = []

    def wait():
        try:
            waiter.execute("SELECT 1")
        except psycopg.Error as error:
            errors.append(error.sqlstate)
    with holder.transaction():
        holder.execute("SELECT 1")
        thread = threading.Thread(target=wait)
        thread.start()
        wait_for(lambda: sum(row["clientsWaiting"] for row in sidecar.json("pools")) == 1)
        waiter.cancel_safe(timeout=5)
        thread.join(5)
    assert errors == ["57014"]
    assert waiter.execute("SELECT 1").fetchone() == (1,)


def test_cancel_with_a_wrong_key_does_nothing(bed):
    bed.sidecar()
    client = bed.raw_session()
    key = client.key
    client.key = key[0], bytes(len(key[1]))
    client.cancel()
    client.key = key[0] + 1, key[1]
    client.cancel()
    assert client.query("SELECT 1") == [["1"]]


def test_client_killed_in_transaction(bed):
    bed.sidecar(limit=1)
    bed.writer.sql("DROP TABLE IF EXISTS killed; CREATE TABLE killed (n int); GRANT ALL ON killed TO app", "orders")
    for how in ("idle", "running"):
        victim = bed.raw_session()
        victim.query("BEGIN")
        victim.query("INSERT INTO killed VALUES (1)")
        if how == "running":
            victim.send(wire.query("SELECT pg_sleep(30)"))
            wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep(30)%' AND state = 'active'") == 1)
        victim.close()
        other = bed.connect()
        assert other.execute("SELECT count(*) FROM killed").fetchone() == (0,), "the transaction was rolled back"
        assert bed.writer.sessions("app", "state LIKE 'idle in transaction%'") == 0
        other.close()


def test_read_only_endpoint_goes_to_the_replica(bed):
    bed.sidecar(read_only=True)
    assert bed.connect().execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    reader = bed.connect(port=bed.readers)
    assert reader.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reader.execute("CREATE TABLE nope (n int)")
    assert reader.execute("SELECT 1").fetchone() == (1,)
