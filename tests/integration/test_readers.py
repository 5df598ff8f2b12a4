"""READ_ONLY endpoints: which reader a client is brought to, how long it stays there, and what becomes of it after."""

import collections
import threading
import time

import psycopg
import pytest

from support.manifests import endpoint
from support.waiting import wait_for


@pytest.fixture(scope="module")
def trio(cluster, testbed):
    """A writer and two readers. Tests may stop readers, and start them again."""
    made = testbed.cluster(version=cluster.version, replicas=2)
    yield made
    made.stop()


@pytest.fixture
def serve(bed, trio):
    """The sidecar, once every member has the health that is expected."""
    def start(members=None, fallback=False, pool=None, **db_cluster):
        members = trio.members if members is None else members
        bed.manifests.for_cluster(trio, bed.port, pool={"connectionBorrowTimeoutSeconds": 30, **(pool or {})}, db_cluster={
            "endpoint": trio.writer.host, "port": trio.writer.port, "instances": instances(members), **db_cluster})
        bed.manifests.write("readers.yaml", endpoint("orders-readers", "orders", bed.readers, fallbackToWriter=fallback))
        sidecar = bed.sidecar(write=False)
        await_health(sidecar, {server.name: ("READ_WRITE" if server is trio.writer else "READ_ONLY", "AVAILABLE")
                               for server in members})
        return sidecar
    yield start
    for server in trio.members:
        if not server.process.alive():
            server.start()


def instances(members) -> list[dict]:
    return [{"id": server.name, "endpoint": server.host, "port": server.port} for server in members]


def set_members(bed, members):
    bed.manifests.edit("orders.yaml", lambda document: document["spec"]["targetGroups"][0]["dbCluster"].update(
        instances=instances(members)))


def await_health(sidecar, expected):
    wait_for(lambda: {row["id"]: (row["role"], row["health"]) for row in sidecar.json("targets")} == expected, 30,
             f"targets are {expected}")


def where(client) -> int:
    return client.execute("SELECT inet_server_port()").fetchone()[0]


def readers(bed, count=1) -> list[psycopg.Connection]:
    return [bed.connect(port=bed.readers) for _ in range(count)]


def spread(clients) -> dict[int, int]:
    return collections.Counter(where(client) for client in clients)


def even(counts, ports, most_apart=4) -> bool:
    """As the proxy takes it: a client or two more than its share is nothing to move anybody for."""
    found = [counts.get(port, 0) for port in ports]
    return max(found) - min(found) <= most_apart


class Load:
    """Threads that read all the time, each over a connection of its own that it never gives up."""

    def __init__(self, bed, count=8):
        self._stopping, self.clients = threading.Event(), readers(bed, count)
        self.done, self.errors = [0] * count, []
        self._threads = [threading.Thread(target=self._read, args=(number,)) for number in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a reader waits for ever"

    def _read(self, number):
        client = self.clients[number]
        while not self._stopping.is_set():
            try:
                if number % 2:
                    client.execute("SELECT 1").fetchone()
                else:
                    with client.transaction():
                        client.execute("SELECT 1")
                        client.execute("SELECT 2")
                self.done[number] += 1
            except psycopg.Error as error:
                self.errors.append(error.sqlstate)
                if client.closed:
                    return
            time.sleep(0.002)

    def goes_on(self, rounds=5):
        before = list(self.done)
        wait_for(lambda: all(now >= was + rounds for now, was in zip(self.done, before, strict=True)), 30,
                 "every client goes on reading")


def test_clients_are_spread_and_stay(bed, trio, serve):
    serve()
    clients = readers(bed, 12)
    homes = [where(client) for client in clients]
    assert collections.Counter(homes) == {server.port: 6 for server in trio.replicas}
    for _ in range(5):
        assert [where(client) for client in clients] == homes


def test_settings_and_statements_go_along(bed, trio, serve):
    serve()
    client, = readers(bed)
    client.execute("SET TimeZone = 'Asia/Tokyo'")
    client.execute("SET work_mem = '5MB'")
    client.execute("PREPARE twice (int) AS SELECT $1 * 2")
    ask = ("SELECT current_setting('TimeZone'), current_setting('work_mem'), %s::int + 1", (1,))
    assert client.execute(*ask, prepare=True).fetchone() == ("Asia/Tokyo", "5MB", 2)
    home = where(client)
    first = next(server for server in trio.replicas if server.port == home)
    first.stop()
    assert client.execute(*ask, prepare=True).fetchone() == ("Asia/Tokyo", "5MB", 2)
    assert client.execute("EXECUTE twice (4)").fetchone() == (8,)
    assert where(client) not in (home, trio.writer.port)


def test_a_reader_is_lost_under_load_and_comes_back(bed, trio, serve):
    sidecar = serve()
    first, second = trio.replicas
    with Load(bed) as load:
        first.kill()
        load.goes_on()
        assert set(load.errors) <= {"40001"}, "nothing was lost, and it can be read again"
        assert len(load.errors) <= len(load.clients), "only what was in flight"
        seen = len(load.errors)
        first.start()
        await_health(sidecar, {"writer": ("READ_WRITE", "AVAILABLE"), "replica-1": ("READ_ONLY", "AVAILABLE"),
                               "replica-2": ("READ_ONLY", "AVAILABLE")})
        wait_for(lambda: first.sessions() > 0 and sidecar.metrics().sum("dbproxy_clients_moved_total") > 0, 30,
                 "it has clients again")
        load.goes_on()
        assert len(load.errors) == seen
    assert not any(client.closed for client in load.clients)


def test_a_reader_that_lags_is_left_until_it_has_caught_up(bed, trio, serve):
    sidecar = serve(maxReplicaLagSeconds=2)
    slow = trio.replicas[0]
    clients = readers(bed, 6)
    assert slow.port in spread(clients)
    slow.sql("SELECT pg_wal_replay_pause()")
    try:
        def lags():
            trio.writer.sql("CREATE TEMP TABLE t (); SELECT txid_current()", "orders")
            return any(row["id"] == slow.name and row["reason"] == "INVALID_REPLICATION_STATE"
                       for row in sidecar.json("targets"))
        wait_for(lags, 30, "it lags too much")
        assert slow.port not in spread(clients)
    finally:
        slow.sql("SELECT pg_wal_replay_resume()")
    wait_for(lambda: slow.port in spread(clients), 30, "it has clients again")


def test_without_a_reader_it_is_an_error_at_once_and_the_session_goes_on(bed, trio, serve):
    serve(members=[trio.writer])
    begun = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="has no reader to go to"):
        psycopg.connect(bed.dsn(port=bed.readers))
    assert time.monotonic() - begun < 5
    set_members(bed, trio.members)
    wait_for(lambda: connects(bed), 20, "there are readers")
    client, = readers(bed)
    home = where(client)
    set_members(bed, [trio.writer])
    wait_for(lambda: refuses(client), 20, "there is no reader")
    assert not client.closed
    set_members(bed, trio.members)
    wait_for(lambda: not refuses(client), 20, "there are readers again")
    assert where(client) in {server.port for server in trio.replicas}
    assert home != trio.writer.port


def connects(bed) -> bool:
    try:
        with psycopg.connect(bed.dsn(port=bed.readers)) as connection:
            return where(connection) > 0
    except psycopg.OperationalError as error:
        assert "has no reader" in str(error)
        return False


def refuses(client) -> bool:
    try:
        return where(client) == 0
    except psycopg.errors.CannotConnectNow as error:
        assert "has no reader" in str(error)
        return True


def test_readers_that_are_all_down_are_waited_for(bed, trio, serve):
    sidecar = serve()
    client, = readers(bed)
    where(client)
    for server in trio.replicas:
        server.stop()
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(where(client)))
    waiting.start()
    wait_for(lambda: sum(row["clientsWaiting"] for row in sidecar.json("pools")) == 1, 20, "it waits")
    trio.replicas[1].start()
    waiting.join(30)
    assert answers == [trio.replicas[1].port]


def test_the_writer_stands_in_where_that_is_allowed(bed, trio, serve):
    sidecar = serve(fallback=True)
    clients = readers(bed, 4)
    assert trio.writer.port not in spread(clients)
    for server in trio.replicas:
        server.stop()
    wait_for(lambda: set(spread(clients)) == {trio.writer.port}, 20, "the writer serves them")
    trio.replicas[0].start()
    await_health(sidecar, {"writer": ("READ_WRITE", "AVAILABLE"), "replica-1": ("READ_ONLY", "AVAILABLE"),
                           "replica-2": ("READ_ONLY", "UNAVAILABLE")})
    wait_for(lambda: set(spread(clients)) == {trio.replicas[0].port}, 20, "the reader serves them again")


def test_a_new_reader_gets_its_share_and_a_removed_one_is_left(bed, trio, serve):
    first, second = trio.replicas
    sidecar = serve(members=[trio.writer, first])
    clients = readers(bed, 16)
    assert set(spread(clients)) == {first.port}
    in_transaction = bed.connect(port=bed.readers, autocommit=False)
    assert where(in_transaction) == first.port
    set_members(bed, trio.members)
    wait_for(lambda: even(spread(clients), (first.port, second.port), 6), 30, "the new reader has its share")
    moved = sidecar.metrics().sum("dbproxy_clients_moved_total")
    assert 0 < moved < len(clients), "nobody goes to and fro"
    assert where(in_transaction) == first.port
    set_members(bed, [trio.writer, second])
    wait_for(lambda: set(spread(clients)) == {second.port}, 30, "the removed one is left")
    assert where(in_transaction) == first.port, "a transaction ends where it began"
    in_transaction.commit()
    assert where(in_transaction) == second.port
    in_transaction.commit()
    wait_for(lambda: first.sessions(where="datname = 'orders'") == 0, 30, "nobody is left there")
