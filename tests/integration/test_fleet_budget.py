"""One connection budget for several sidecars: the server never has more than it, whatever happens to them."""

import threading
import time

import psycopg
import pytest

from support.waiting import wait_for

LIMIT = 6  # of the 100 connections that the server allows
WATCHED = ("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND backend_type = 'client backend'"
           " AND application_name <> 'dbproxy-monitor'")


class Watch:
    """Samples the sessions of the proxy's user every 10 ms, as a superuser."""

    def __init__(self, server):
        self.most, self.samples = 0, 0
        self._stopping = threading.Event()
        self._server = server
        self._error = None
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        with psycopg.connect(host=str(self._server.directory), port=self._server.port, user="postgres",
                             dbname="postgres", autocommit=True) as connection:
            while not self._stopping.wait(0.01):
                self.most = max(self.most, connection.execute(WATCHED).fetchone()[0])
                self.samples += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join(30)


class Load:
    """Clients on one port that each do one short transaction after the other; what fails is counted."""

    def __init__(self, bed, host: str, clients: int, hold: float = 0.005, databases=("orders",)):
        self.done, self.failed = [0] * clients, 0
        self._bed, self._host, self._hold, self._databases = bed, host, hold, databases
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def _run(self, number: int):
        database = self._databases[number % len(self._databases)]
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._bed.dsn(host=self._host, database=database), autocommit=True) as client:
                    while not self._stopping.is_set():
                        client.execute(f"SELECT pg_sleep({self._hold})")
                        self.done[number] += 1
            except psycopg.Error:
                self.failed += 1
                self._stopping.wait(0.02)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def goes_on(self, queries: int = 3, timeout: float = 30):
        before = list(self.done)
        wait_for(lambda: all(now >= was + queries for now, was in zip(self.done, before, strict=True)), timeout,
                 f"each client has done {queries} more queries")


class Fleet:
    """Several sidecars with an endpoint each, and one operator."""

    def __init__(self, bed, count: int, state: bool = False, **pool):
        self.bed, self.state = bed, state
        bed.write(pool={"maxConnectionsPercent": LIMIT, "connectionBorrowTimeoutSeconds": 60, **pool})
        self.names = [f"shop/orders-{number}" for number in range(count)]
        # All serve the same port of the same DBProxy, each on an address of its own.
        self.hosts = [f"127.0.0.{number + 2}" for number in range(count)]
        self.operator = bed.operator(sidecars=self.names)
        self.sidecars = [bed.sidecar_of(self.operator, identity=name, bind=host,
                                        state_dir=bed.directory / f"state-{host}" if state else None)
                         for name, host in zip(self.names, self.hosts, strict=True)]

    def granted(self) -> int:
        return int(self.operator.metrics().sum("dbproxy_operator_slots_granted"))

    def client(self, number: int, **options) -> psycopg.Connection:
        return self.bed.connect(host=self.hosts[number], **options)


@pytest.fixture
def pair(bed):
    return Fleet(bed, 2)


def busy(clients: list[psycopg.Connection]):
    for client in clients:
        client.execute("BEGIN")
        client.execute("SELECT 1")


def test_two_sidecars_share_what_one_could_have(bed, pair):
    with Watch(bed.writer) as watch:
        first = [pair.client(0) for _ in range(LIMIT)]
        busy(first[:LIMIT - 1])  # the other one keeps its floor
        for client in first[:LIMIT - 1]:
            client.execute("COMMIT")
        second = [pair.client(1) for _ in range(LIMIT // 2)]
        busy(second)  # from what is idle at the first
        for client in second:
            client.execute("COMMIT")
    assert watch.samples > 0 and watch.most <= LIMIT
    rows = [row for sidecar in pair.sidecars for row in sidecar.json("targets") if row["role"] == "READ_WRITE"]
    assert [row["limit"] for row in rows] == [LIMIT, LIMIT]
    assert pair.granted() <= LIMIT


def test_what_is_released_goes_to_who_waits(bed, pair):
    with Watch(bed.writer) as watch, Load(bed, pair.hosts[0], 2 * LIMIT) as first:
        first.goes_on()
        with Load(bed, pair.hosts[1], 2 * LIMIT) as second:
            second.goes_on()
            first.goes_on()
        first.goes_on()
    assert watch.most <= LIMIT
    assert first.failed == second.failed == 0


def test_connections_of_different_databases_take_turns_within_the_limit(bed, pair):
    databases = ("orders", "billing", "postgres")
    with Watch(bed.writer) as watch, Load(bed, pair.hosts[0], 9, databases=databases) as first, \
            Load(bed, pair.hosts[1], 9, databases=databases) as second:
        first.goes_on()
        second.goes_on()
    assert watch.most <= LIMIT
    assert first.failed == second.failed == 0


def test_a_killed_sidecar_is_charged_until_its_sessions_are_gone(bed, pair):
    with Watch(bed.writer) as watch, Load(bed, pair.hosts[0], 4, hold=0.3):
        wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep%'") >= 3, 30, "the first one is busy")
        pair.sidecars[0].kill()
        with Load(bed, pair.hosts[1], LIMIT) as second:
            second.goes_on()
            pair.sidecars[0].start()
            with Load(bed, pair.hosts[0], LIMIT) as first:
                first.goes_on()
                second.goes_on()
    assert watch.most <= LIMIT


def test_queries_do_not_notice_that_the_operator_restarts(bed, pair):
    with Watch(bed.writer) as watch, Load(bed, pair.hosts[0], 8) as first, Load(bed, pair.hosts[1], 8) as second:
        first.goes_on()
        second.goes_on()
        for stop in (pair.operator.kill, pair.operator.stop):
            stop()
            first.goes_on()
            second.goes_on()
            pair.operator.start()
            wait_for(lambda: pair.granted() >= LIMIT, 30, "the operator knows who has what")
        first.goes_on()
        second.goes_on()
    assert watch.most <= LIMIT
    assert first.failed == second.failed == 0


def test_a_new_limit_is_kept_at_once_and_reached_as_transactions_end(bed, pair):
    with Watch(bed.writer) as before, Load(bed, pair.hosts[0], 8) as first, Load(bed, pair.hosts[1], 8) as second:
        first.goes_on()
        bed.manifests.set_pool(maxConnectionsPercent=LIMIT // 2)
        wait_for(lambda: pair.granted() <= LIMIT // 2 + 1, 30, "the limit has shrunk")
        wait_for(lambda: bed.writer.sessions("app", WATCHED.split("'app' AND ")[1]) <= LIMIT // 2, 30, "it is kept")
        with Watch(bed.writer) as after:
            first.goes_on()
            second.goes_on()
    assert before.most <= LIMIT and after.most <= LIMIT // 2
    assert first.failed == second.failed == 0


def test_a_sidecar_that_leaves_gives_everything_back(bed, pair):
    busy([pair.client(0) for _ in range(LIMIT - 1)])
    bed.close_clients()
    pair.sidecars[0].stop()
    wait_for(lambda: pair.granted() <= 1, 10, "all but the other one's floor is free")
    busy([pair.client(1) for _ in range(LIMIT)])


def test_it_comes_up_with_what_it_kept_while_the_operator_is_away(bed):
    fleet = Fleet(bed, 2, state=True)
    fleet.client(0).execute("SELECT 1")
    bed.close_clients()
    fleet.sidecars[0].stop()
    fleet.operator.kill()
    fleet.sidecars[0].start()
    assert fleet.client(0).execute("SELECT 1").fetchone() == (1,)


def test_a_lone_sidecar_has_all_of_it_at_once(bed):
    fleet = Fleet(bed, 1)
    started = time.monotonic()
    busy([fleet.client(0) for _ in range(LIMIT)])
    assert time.monotonic() - started < 10
    assert bed.writer.sessions("app", WATCHED.split("'app' AND ")[1]) == LIMIT
