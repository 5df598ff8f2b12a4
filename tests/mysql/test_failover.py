"""The writer goes, under load, in a cluster of Aurora's shape: a pause that only work in flight notices.

MariaDB's commits are acknowledged when the first replica has them (semi-synchronous), so that all of them have to be
there afterwards. MySQL's server here has no plugin for that: what is promoted may lack the last of them.
"""

import collections
import os
import signal
import threading
import time

import pymysql
import pytest
from support import mysql, paths
from support.manifests import endpoint
from support.mysql_aurora import AuroraCluster
from support.process import run
from support.waiting import wait_for

from bed import Bed, rows, value
from ledger import TABLE, Ledger


@pytest.fixture
def ring(request, cluster, testbed):
    with AuroraCluster(testbed.subdirectory(f"{request.node.name.split('[')[0][-20:]}-{cluster.version}"),
                       version=cluster.version, authority=testbed.authority, schema=TABLE) as made:
        if cluster.version == mysql.MARIADB:
            first = made.replicas[0]  # nobody else's word counts, so that it has all
            first.set(rpl_semi_sync_slave_enabled="ON")
            first.sql("STOP SLAVE IO_THREAD; START SLAVE IO_THREAD")
            made.writer.set(rpl_semi_sync_master_wait_point="'AFTER_SYNC'", rpl_semi_sync_master_timeout=60000,
                            rpl_semi_sync_master_enabled="ON")
        yield made


@pytest.fixture
def ring_bed(request, testbed, ring):
    bed = Bed(ring, testbed.subdirectory(f"f{len(list(testbed.directory.iterdir()))}"))
    yield bed
    bed.close(getattr(request.node, "failed", True))


@pytest.fixture
def sidecar(ring_bed, ring):
    sidecar = ring_bed.sidecar(tls=False, db_cluster=ring.spec(), read_only=True,
                               pool={"connectionBorrowTimeoutSeconds": 60})
    wait_for(lambda: roles(sidecar) == WELL, 30, "the three are found")
    return sidecar


def roles(sidecar) -> dict:
    return {row["id"]: (row["role"], row["health"]) for row in sidecar.json("targets")}


WELL = {"1": ("READ_WRITE", "AVAILABLE"), "2": ("READ_ONLY", "AVAILABLE"), "3": ("READ_ONLY", "AVAILABLE")}


def not_trusted(sidecar, server) -> bool:
    return any(row["id"] == server.id and row["reason"] == "INVALID_REPLICATION_STATE" for row in sidecar.json("targets"))


def rows_after(server, attempted) -> int:
    newer = " OR ".join(f"(writer = {writer} AND number > {number})" for writer, number in enumerate(attempted))
    return int(server.sql(f"SELECT count(*) FROM ledger WHERE {newer}", "orders"))


def change_places(ring, old, new):
    """Without a loss: the one of before takes no more writes, and the other has all of them when it is promoted."""
    old.set(read_only="ON")
    ring.wait_caught_up()
    if ring.version == mysql.MARIADB:
        old.set(rpl_semi_sync_master_enabled="OFF")  # it would wait for an acknowledgement of what it gets as a reader
    ring.fail_over(new)


def all_there(ring) -> bool:
    return ring.version == mysql.MARIADB


def test_the_writer_is_killed_and_comes_back_as_one_too_many(ring_bed, ring, sidecar):
    old, new = ring.writer, ring.replicas[0]
    with Ledger(ring_bed) as ledger:
        ledger.goes_on()
        old.kill()
        ring.fail_over(new)
        ledger.goes_on()
        began = list(ledger.attempted)
        old.start()
        wait_for(lambda: not_trusted(sidecar, old), 30, "the one of before is not trusted")
        ledger.goes_on()
        assert old.sql("SELECT @@GLOBAL.read_only") == "0"
        assert rows_after(old, began) == 0, "a demoted writer gets no write"
    ledger.check(new, all_there(ring))
    assert sidecar.metrics().sum("dbproxy_target_suspicions_total") > 0


def test_the_writer_freezes_and_wakes_up(ring_bed, ring, sidecar):
    old, new = ring.writer, ring.replicas[0]
    with Ledger(ring_bed) as ledger:
        ledger.goes_on()
        os.kill(old.process.pid, signal.SIGSTOP)
        try:
            new.promote()
            new.sql(f"UPDATE stand_in_of_aurora.members SET writer = server_id = '{new.id}'")
            ring.follow(ring.replicas[1], new)
            ledger.goes_on()
            began = list(ledger.attempted)
        finally:
            os.kill(old.process.pid, signal.SIGCONT)
        wait_for(lambda: not_trusted(sidecar, old), 30, "the one that slept is not trusted")
        ledger.goes_on()
        assert rows_after(old, began) == 0
    ledger.check(new, all_there(ring))


def test_two_writers_at_once(ring_bed, ring, sidecar):
    """Somebody promotes, and the writer of before is well and knows of nothing."""
    old, new = ring.writer, ring.replicas[0]
    if all_there(ring):
        old.set(rpl_semi_sync_master_enabled="OFF")  # it would wait for ever with what it is asked
    with Ledger(ring_bed) as ledger:
        ledger.goes_on()
        new.promote()
        new.sql(f"UPDATE stand_in_of_aurora.members SET writer = server_id = '{new.id}'")
        ring.follow(ring.replicas[1], new)
        wait_for(lambda: roles(sidecar)[new.id] == ("READ_WRITE", "AVAILABLE"), 30, "the new one is the writer")
        began = list(ledger.attempted)
        ledger.goes_on()
        assert rows_after(old, began) == 0, "a demoted writer gets no write"
    ledger.check(new, complete=False)


def test_a_writer_that_becomes_a_reader_gets_no_write_before_anybody_is_promoted(ring_bed, ring, sidecar):
    """It goes on, and so do all connections to it: each may hear of it once, and then waits for a writer."""
    old, new = ring.writer, ring.replicas[0]
    resting, answers = ring_bed.connect(read_timeout=120), []
    value(resting, "SELECT 1 / 0")
    with Ledger(ring_bed) as ledger:
        ledger.goes_on()
        old.set(read_only="ON")
        wait_for(lambda: roles(sidecar)["1"] == ("READ_WRITE", "UNAVAILABLE"), 30, "it is a reader now")
        # It has kept its connection for as long as nobody needs that, in case it asks for the warning.
        waiting = threading.Thread(target=lambda: answers.append(rows(resting, "INSERT INTO ledger VALUES (-1, 1)")))
        waiting.start()
        wait_for(lambda: sum(row["clientsWaiting"] for row in sidecar.json("pools")) == len(ledger.attempted) + 1, 30,
                 "everybody waits")
        assert ledger.failed <= len(ledger.attempted), f"only what was in flight has failed: {ledger.refused}"
        ring.wait_caught_up()
        if all_there(ring):
            old.set(rpl_semi_sync_master_enabled="OFF")
        ring.fail_over(new)
        ledger.goes_on()
        waiting.join(60)
        assert len(answers) == 1, "it has been written, without an error"
        assert (ledger.unknown, ledger.failed <= len(ledger.attempted)) == ([], True)
    ledger.check(new)


def test_who_is_alone_hears_of_it_once(ring_bed, ring, sidecar):
    """Nobody waits for its connection, and still it does not keep that for what an INSERT has left to ask for."""
    client, answers = ring_bed.connect(read_timeout=120), []
    rows(client, "INSERT INTO ledger VALUES (-1, 1)")
    ring.writer.set(read_only="ON")
    with pytest.raises(pymysql.err.MySQLError, match="1290"):
        rows(client, "INSERT INTO ledger VALUES (-1, 2)")
    waiting = threading.Thread(target=lambda: answers.append(rows(client, "INSERT INTO ledger VALUES (-1, 3)")))
    waiting.start()
    wait_for(lambda: roles(sidecar)["1"] == ("READ_WRITE", "UNAVAILABLE"), 30, "it is a reader now")
    ring.wait_caught_up()
    if all_there(ring):
        ring.writer.set(rpl_semi_sync_master_enabled="OFF")
    ring.fail_over(ring.replicas[0])
    waiting.join(60)
    assert len(answers) == 1, "it has been written, without an error"


def test_planned_work_and_readers(ring_bed, ring, sidecar):
    """Demoted in place and another promoted, and back; a reader lost and back; all lost and back; a member added and
    removed."""
    first, second, third = ring.members
    reading = ring_bed.connect(port=ring_bed.readers)
    with Ledger(ring_bed) as ledger:
        ledger.goes_on()
        change_places(ring, first, second)
        ledger.goes_on()
        wait_for(lambda: roles(sidecar) == {**WELL, "1": ("READ_ONLY", "AVAILABLE"), "2": ("READ_WRITE", "AVAILABLE")},
                 30, "they have changed places")
        change_places(ring, second, first)
        ledger.goes_on()
        wait_for(lambda: roles(sidecar) == WELL, 30, "they have changed places again")
        assert len(ledger.unknown) <= len(ledger.attempted), "only what was in flight"
        third.kill()
        wait_for(lambda: roles(sidecar)["3"] == ("READ_ONLY", "UNAVAILABLE"), 30, "the reader is missed")
        assert value(reading, "SELECT @@GLOBAL.read_only") == 1
        third.start()
        wait_for(lambda: roles(sidecar)["3"] == ("READ_ONLY", "AVAILABLE"), 30, "it is back")
        ledger.goes_on()
        for server in (first, second, third):
            server.kill()
        for server in (first, second, third):
            server.start()
        ledger.goes_on()
        fourth = ring.add()
        wait_for(lambda: roles(sidecar).get("4") == ("READ_ONLY", "AVAILABLE"), 30, "the fourth is found")
        ring.remove(fourth)
        wait_for(lambda: "4" not in roles(sidecar), 30, "the fourth is gone")
        ledger.goes_on()
    ledger.check(first)


def ctl(sidecar, *words):
    run([paths.binary("dbproxyctl"), *words, "--sidecar", sidecar.admin])


def open_connections(sidecar) -> int:
    return sum(row["servers"] for row in sidecar.json("targets"))


def test_a_planned_switchover_in_a_pause_is_noticed_by_nobody(ring_bed, ring, sidecar):
    """Once with resume, and back with a pause that ends itself; afterwards every connection is replaced."""
    first, second = ring.writer, ring.replicas[0]
    with Ledger(ring_bed) as ledger:
        ledger.goes_on()
        ctl(sidecar, "pause", "orders")
        wait_for(lambda: open_connections(sidecar) == 0, 30, "running transactions have ended")
        change_places(ring, first, second)
        wait_for(lambda: roles(sidecar)["2"] == ("READ_WRITE", "AVAILABLE"), 30, "the other is the writer")
        assert open_connections(sidecar) == 0
        ctl(sidecar, "resume", "orders")
        ledger.goes_on()
        ctl(sidecar, "pause", "orders", "--hand-over")
        wait_for(lambda: open_connections(sidecar) == 0, 30, "running transactions have ended again")
        change_places(ring, second, first)
        ledger.goes_on()
        wait_for(lambda: not sidecar.json("dbproxies")[0]["paused"], 30, "it is over")
        client = ring_bed.connect()
        before = value(client, "SELECT CONNECTION_ID()")
        ctl(sidecar, "reconnect", "orders")
        ledger.goes_on()
        assert value(client, "SELECT CONNECTION_ID()") == before, "the client's own number stays"
        assert (ledger.failed, ledger.unknown) == (0, []), "no client has seen an error"
    ledger.check(first)


def test_without_their_operator_sidecars_find_the_new_writer_themselves(ring_bed, ring):
    old, new = ring.writer, ring.replicas[0]
    operator, sidecar = ring_bed.operator(tls=False, db_cluster=ring.spec(), read_only=True,
                                          pool={"connectionBorrowTimeoutSeconds": 60})
    wait_for(lambda: roles(sidecar) == WELL, 30, "the three are found")
    with Ledger(ring_bed) as ledger:
        ledger.goes_on()
        operator.kill()
        old.kill()
        ring.fail_over(new)
        ledger.goes_on()
        began = list(ledger.attempted)
        old.start()
        wait_for(lambda: not_trusted(sidecar, old), 60, "the one of before is not trusted")
        ledger.goes_on()
        assert sidecar.metrics().sum("dbproxy_standing_in") == 1
        assert rows_after(old, began) == 0, "a demoted writer gets no write"
    ledger.check(new, all_there(ring))


def test_readers_are_shared_kept_and_replaced(ring_bed, ring, sidecar):
    """Clients are spread and stay; who loses its reader goes on at another with its settings; without any
    it is told at once, unless the writer may stand in."""
    _, second, third = ring.members
    clients = [ring_bed.connect(port=ring_bed.readers) for _ in range(8)]
    for number, client in enumerate(clients):
        rows(client, f"SET max_sort_length = {100 + number}")

    def where() -> list[int]:
        return [value(client, "SELECT @@server_id") for client in clients]
    first_places = where()
    assert sorted(collections.Counter(first_places).values()) == [4, 4]
    assert where() == first_places, "each stays where it is"
    third.kill()
    wait_for(lambda: roles(sidecar)["3"] == ("READ_ONLY", "UNAVAILABLE"), 30, "the reader is missed")
    survivors = {place for place in first_places if place != 3}
    assert set(where()) == survivors
    assert [value(client, "SELECT @@max_sort_length") for client in clients] == list(range(100, 108))
    third.start()
    wait_for(lambda: roles(sidecar)["3"] == ("READ_ONLY", "AVAILABLE"), 30, "it is back")
    # A client or two more than its share is nothing to move anybody for.
    wait_for(lambda: collections.Counter(where())[3] >= 2, 60, "it gets its share again")
    for server in (third, second):
        ring.remove(server)
    wait_for(lambda: set(roles(sidecar)) == {"1"}, 30, "the writer is alone")
    begun = time.monotonic()
    with pytest.raises(pymysql.err.MySQLError):
        value(clients[0], "SELECT 1")
    assert time.monotonic() - begun < 10, "and not after the borrow time-out of 60 s"
    ring_bed.manifests.write("readers.yaml", endpoint("orders-readers", "orders", ring_bed.readers, fallbackToWriter=True))
    wait_for(lambda: sidecar.json("dbproxies")[0]["version"] > 1 and serves(clients[1]), 30, "the writer stands in")
    assert value(clients[1], "SELECT @@max_sort_length") == 101


def serves(client) -> bool:
    try:
        return value(client, "SELECT @@GLOBAL.read_only") == 0
    except pymysql.err.MySQLError:
        return False
