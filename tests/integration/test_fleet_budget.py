"""One connection budget for several sidecars: the server never has more than it, whatever happens to them."""

import contextlib
import time

import psycopg
import pytest

from support.budget import SESSIONS, WATCHED, Load, Watch
from support.manifests import db_proxy
from support.ports import free_port
from support.waiting import wait_for

LIMIT = 6  # of the 100 connections that the server allows
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

    def load(self, number: int, clients: int, hold: float = 0.005, databases=("orders",)) -> Load:
        return Load([self.bed.dsn(host=self.hosts[number], database=each) for each in databases], clients, hold)

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
    def shown(name: str, **labels) -> float:
        return pair.operator.metrics().sum(f"dbproxy_operator_{name}", proxy="shop/orders", **labels)

    def writing(name: str) -> float:
        return shown(name, lane="READ_WRITE")

    with Watch(bed.writer) as watch:
        first = [pair.client(0) for _ in range(LIMIT)]
        busy(first[:LIMIT - 1])  # the other one keeps its floor
        wait_for(lambda: shown("slots_used") == writing("slots_asked") == LIMIT - 1, 30, "metrics show those in use")
        assert writing("slots_limit") == writing("slots_granted") == LIMIT and writing("slots_unknown") == 0
        for client in first[:LIMIT - 1]:
            client.execute("COMMIT")
        granted, moved = writing("slot_grants_total"), writing("slots_moved_total")
        assert writing("slot_grant_seconds_count") == granted > 0
        second = [pair.client(1) for _ in range(LIMIT // 2)]
        busy(second)  # from what is idle at the first
        assert writing("slots_moved_total") >= moved + LIMIT // 2 - 1
        assert writing("slot_grant_seconds_count") == writing("slot_grants_total") > granted
        assert 0 < writing("slot_grant_seconds_sum") < 30 * writing("slot_grant_seconds_count")
        for client in second:
            client.execute("COMMIT")
    assert watch.samples > 0 and watch.most <= LIMIT
    wait_for(lambda: shown("slots_used") == 0 and 0 < shown("slots_idle") <= LIMIT, 30, "and that none is any more")
    rows = [row for sidecar in pair.sidecars for row in sidecar.json("targets") if row["role"] == "READ_WRITE"]
    assert [row["limit"] for row in rows] == [LIMIT, LIMIT]
    assert pair.granted() <= LIMIT


def test_what_is_released_goes_to_who_waits(bed, pair):
    with Watch(bed.writer) as watch, pair.load(0, 2 * LIMIT) as first:
        first.goes_on()
        with pair.load(1, 2 * LIMIT) as second:
            second.goes_on()
            first.goes_on()
        first.goes_on()
    assert watch.most <= LIMIT
    assert first.failed == second.failed == 0


def test_connections_of_different_databases_take_turns_within_the_limit(bed, pair):
    databases = ("orders", "billing", "postgres")
    with Watch(bed.writer) as watch, pair.load(0, 9, databases=databases) as first, \
            pair.load(1, 9, databases=databases) as second:
        first.goes_on()
        second.goes_on()
    assert watch.most <= LIMIT
    assert first.failed == second.failed == 0


def test_a_killed_sidecar_is_charged_until_its_sessions_are_gone(bed, pair):
    with Watch(bed.writer) as watch, pair.load(0, 4, hold=0.3):
        wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep%'") >= 3, 30, "the first one is busy")
        pair.sidecars[0].kill()
        with pair.load(1, LIMIT) as second:
            second.goes_on()
            pair.sidecars[0].start()
            with pair.load(0, LIMIT) as first:
                first.goes_on()
                second.goes_on()
    assert watch.most <= LIMIT


def test_queries_do_not_notice_that_the_operator_restarts(bed, pair):
    with Watch(bed.writer) as watch, pair.load(0, 8) as first, pair.load(1, 8) as second:
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
    with Watch(bed.writer) as before, pair.load(0, 8) as first, pair.load(1, 8) as second:
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
    wait_for(lambda: pair.granted() <= 1, 30, "all but the other one's floor is free")
    busy([pair.client(1) for _ in range(LIMIT)])


def test_it_comes_up_with_what_it_kept_while_the_operator_is_away(bed):
    fleet = Fleet(bed, 2, state=True)
    fleet.client(0).execute("SELECT 1")
    bed.close_clients()
    fleet.sidecars[0].stop()
    fleet.operator.kill()
    fleet.sidecars[0].start()
    time.sleep(1.5)  # slots without use would have gone back by now, to nobody
    assert fleet.client(0).execute("SELECT 1").fetchone() == (1,)


def test_a_killed_sidecar_comes_up_with_what_it_had_while_the_operator_is_away(bed):
    """All slots are in use, half of them by statements that run for longer than anybody waits."""
    fleet = Fleet(bed, 1, state=True)
    with Watch(bed.writer) as watch:
        clients = [fleet.client(0) for _ in range(LIMIT)]
        busy(clients)
        for client in clients[:LIMIT // 2]:
            client.pgconn.send_query(b"SELECT pg_sleep(600)")
        wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep(600)%' AND state = 'active'") == LIMIT // 2,
                 30, "statements run")
        fleet.operator.kill()
        for _ in range(2):  # and one after the other
            fleet.sidecars[0].kill()
            fleet.sidecars[0].start()
            after = [fleet.client(0) for _ in range(LIMIT)]
            busy(after)
        assert bed.writer.sessions("app", "query LIKE '%pg_sleep(600)%'") == 0
    assert watch.most == LIMIT
    assert "a process before this one has left connections" in fleet.sidecars[0].log()


def test_a_statement_that_cannot_be_cancelled_keeps_its_slot(bed):
    fleet = Fleet(bed, 1, state=True)
    stubborn = """DO $$ BEGIN FOR i IN 1..1000 LOOP
        BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$"""
    with Watch(bed.writer) as watch:
        clients = [fleet.client(0) for _ in range(LIMIT)]
        busy(clients)
        clients[0].pgconn.send_query(stubborn.encode())
        where = "query LIKE 'DO %' AND state = 'active'"
        wait_for(lambda: bed.writer.sessions("app", where) == 1, 30, "it runs")
        fleet.operator.kill()
        fleet.sidecars[0].kill()
        fleet.sidecars[0].start()
        busy([fleet.client(0) for _ in range(LIMIT - 1)])
        last = fleet.client(0)
        last.pgconn.send_query(b"SELECT 1")
        assert bed.writer.sessions("app", where) == 1
        bed.writer.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND {where}")
        wait_for(lambda: (last.pgconn.consume_input(), not last.pgconn.is_busy())[1], 30, "its slot is free")
    assert watch.most == LIMIT


def test_an_operator_that_comes_back_counts_what_a_killed_sidecar_left(bed):
    fleet = Fleet(bed, 2, state=True)
    with Watch(bed.writer) as watch, fleet.load(1, LIMIT) as other:
        busy([fleet.client(0) for _ in range(LIMIT // 2)])
        other.goes_on()
        fleet.operator.kill()
        fleet.sidecars[0].kill()
        fleet.sidecars[0].start()
        with fleet.load(0, LIMIT) as first:
            first.goes_on()
            fleet.operator.start()
            wait_for(lambda: fleet.granted() == LIMIT, 30, "the operator knows who has what")
            first.goes_on()
            other.goes_on()
    assert watch.most <= LIMIT and first.failed == other.failed == 0


def test_a_lone_sidecar_has_all_of_it_at_once(bed):
    fleet = Fleet(bed, 1)
    started = time.monotonic()
    busy([fleet.client(0) for _ in range(LIMIT)])
    assert time.monotonic() - started < 10
    assert bed.writer.sessions("app", WATCHED.split("'app' AND ")[1]) == LIMIT


def test_sessions_that_are_no_sidecars_are_counted(bed, pair):
    """Of the same user, past the sidecars; never the sidecars' own."""
    def foreign():
        return pair.operator.json("dbproxies")[0]["connections"].get("foreign")
    busy([pair.client(0), pair.client(0), pair.client(1)])
    wait_for(lambda: foreign() == 0, 30, "all sessions are sidecars'")
    with psycopg.connect(bed.dsn(host=bed.writer.host, port=bed.writer.port)):
        wait_for(lambda: foreign() == 1, 30, "the one that is not is counted")
        assert pair.operator.metrics().sum("dbproxy_operator_foreign_sessions") == 1
    wait_for(lambda: foreign() == 0, 30, "and has ended")


def direct(bed, user: str) -> psycopg.Connection:
    """Past the sidecars."""
    return psycopg.connect(bed.dsn(user, host=bed.writer.host, port=bed.writer.port))


def others(fleet) -> float:
    """Sessions of the writer that are no sidecar's."""
    return fleet.operator.metrics().sum("dbproxy_operator_other_sessions", target=fleet.bed.writer.name)


def test_grants_leave_the_servers_last_free_connections(bed):
    """Others have half of the server; eighty percent of it are more than is left."""
    fleet = Fleet(bed, 2, maxConnectionsPercent=80)
    with contextlib.ExitStack() as foreign:
        for number in range(50):
            foreign.enter_context(direct(bed, ("app", "reports")[number % 2]))
        wait_for(lambda: others(fleet) >= 50, 30, "they are counted")
        with Watch(bed.writer, SESSIONS) as watch, fleet.load(0, 40, hold=0.02) as first, \
                fleet.load(1, 40, hold=0.02) as second:
            first.goes_on()
            second.goes_on()
            wait_for(lambda: fleet.granted() >= 37, 30, "most of what is free is leased")
            wait_for(lambda: "ConnectionsTaken" in conditions(fleet), 30, "it is told")
            for _ in range(20):  # whoever else comes gets in
                direct(bed, "reports").close()
            first.goes_on()
            second.goes_on()
            assert watch.most <= 97 - 2, "a hundred, but for three that are reserved, and the last ones"
            foreign.close()
            wait_for(lambda: fleet.granted() == 80, 30, "with the others gone all of it can be had")
            wait_for(lambda: "ConnectionsTaken" not in conditions(fleet), 30, "and nothing is wrong")
    assert watch.samples > 100 and first.failed == second.failed == 0


def conditions(fleet) -> list[str]:
    return [each["reason"] for each in fleet.operator.json("dbproxies")[0]["conditions"]]


def test_dbproxies_share_a_server_that_has_two_names(bed):
    """Each may have nearly all of it by its own percentage, and calls it by a name of its own."""
    bed.write(pool={"maxConnectionsPercent": 90, "connectionBorrowTimeoutSeconds": 60})
    port = free_port("127.0.0.1", "127.0.0.2")
    bed.manifests.write("billing.yaml", db_proxy(
        bed.cluster, port, "billing", auth={"app": {"secretRef": {"name": "orders-app"}}},
        pool={"maxConnectionsPercent": 90, "connectionBorrowTimeoutSeconds": 60},
        db_cluster={"endpoint": "localhost", "port": bed.writer.port}))
    operator = bed.operator(sidecars=["shop/orders-0", "shop/billing-0"])
    for name, host in (("orders", "127.0.0.1"), ("billing", "127.0.0.2")):
        bed.sidecar_of(operator, identity=f"shop/{name}-0", bind=host, proxy=f"shop/{name}")

    def granted(name: str) -> float:
        return operator.metrics().sum("dbproxy_operator_slots_granted", proxy=f"shop/{name}", lane="READ_WRITE")

    wait_for(lambda: granted("orders") >= 1 and granted("billing") >= 1, 30, "both are served")
    one, two = (Load([bed.dsn(host=host, port=at)], 100, 0.02)
                for host, at in (("127.0.0.1", bed.port), ("127.0.0.2", port)))
    with Watch(bed.writer, SESSIONS) as watch:
        with one:
            wait_for(lambda: granted("orders") >= 85, 30, "one has nearly all of it")
            with two:
                one.goes_on()
                two.goes_on()
                wait_for(lambda: 45 <= granted("orders") <= 50 and 45 <= granted("billing") <= 50, 60, "half of it each")
        assert one.failed == two.failed == 0
    assert watch.most <= 97


def test_an_idle_transaction_gives_way_to_who_waits(bed):
    fleet = Fleet(bed, 2, giveBackTimeoutSeconds=1)
    hold = [fleet.client(0) for _ in range(LIMIT - 1)]
    busy(hold)
    with Watch(bed.writer) as watch, fleet.load(1, LIMIT) as other:
        other.goes_on()  # on its floor
        wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep%'") >= LIMIT // 2, 30, "it has its share")
    ended = 0
    for client in hold:
        try:
            client.execute("COMMIT")
        except psycopg.errors.IdleInTransactionSessionTimeout as error:
            assert "others wait for" in str(error)
            ended += 1
    assert ended == LIMIT // 2 - 1
    assert fleet.sidecars[0].metrics().sum("dbproxy_time_limits_total", limit="give_back") == ended
    assert watch.most <= LIMIT and other.failed == 0


def test_what_is_idle_goes_to_who_waits(bed, pair):
    """However much of it was in use before: demand that swings takes all with it but the floor."""
    with Watch(bed.writer) as watch:
        with pair.load(0, 2 * LIMIT, hold=0.1) as first:
            first.goes_on()
            wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep%'") == LIMIT - 1, 30, "one has it")
        with pair.load(1, 2 * LIMIT, hold=0.1) as second:
            second.goes_on()
            # Half a minute after its last use it would have gone back in any case.
            wait_for(lambda: leased(pair, 1) == LIMIT - 1, 15, "the other one has it")
    assert watch.most <= LIMIT


def leased(fleet, number: int) -> int:
    """What this sidecar may have now, as the operator shows it."""
    return next((row["granted"] for row in fleet.operator.json("sidecars") if row["identity"] == fleet.names[number]), 0)


def test_a_token_that_is_taken_away_frees_what_its_sidecar_had(bed, pair):
    """Of a sidecar that never comes back: once the database shows that its connections are closed."""
    with Watch(bed.writer) as watch, pair.load(0, 4, hold=0.3):
        wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep%'") >= 3, 30, "the first one is busy")
        pair.sidecars[0].kill()
        pair.operator.token(pair.names[0]).unlink()
        with pair.load(1, 2 * LIMIT) as second:
            wait_for(lambda: leased(pair, 1) == LIMIT, 30, "the other one has it all")
            second.goes_on()
    assert watch.most <= LIMIT and second.failed == 0
