"""A server that is there and cannot be heard: its packets vanish, and nobody says so.

The sidecar stands in a network namespace of its own, whose only link the servers are behind.
"""

import time

import psycopg
import pytest

from support import namespace
from support.ledger import TABLE, Ledger
from support.postgres import Cluster
from support.waiting import wait_for


@pytest.fixture
def network():
    namespace.require()
    with namespace.Namespace() as made:
        yield made


@pytest.fixture
def pair(bed, testbed, network):
    with Cluster(bed.directory / "pair", version=bed.cluster.version, replicas=1, authority=testbed.authority,
                 settings={"synchronous_commit": "on"}, address=network.outside) as cluster:
        cluster.writer.set(synchronous_standby_names="*")
        cluster.writer.sql(f"{TABLE}; GRANT ALL ON ledger TO app", "orders")
        cluster.wait_caught_up()
        yield cluster


@pytest.fixture
def serve(bed, pair, network):
    def start(**pool):
        # The servers' certificate is for loopback addresses.
        bed.manifests.for_cluster(pair, bed.port, tls=False, pool=pool)
        sidecar = bed.sidecar(write=False, wait=False, inside=network)
        bed.host = network.inside
        return sidecar.wait_ready()
    yield start
    bed.close_clients()  # while their good-bye can be heard


def rows_after(server, attempted) -> int:
    newer = " OR ".join(f"(writer = {writer} AND number > {number})" for writer, number in enumerate(attempted))
    return int(server.sql(f"SELECT count(*) FROM ledger WHERE {newer}", "orders"))


def test_the_writer_falls_silent_and_another_is_promoted(bed, pair, network, serve):
    sidecar, (old, new) = serve(connectionBorrowTimeoutSeconds=60), (pair.writer, pair.replicas[0])
    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        network.drop(old.port)
        dropped = time.monotonic()
        wait_for(lambda: "target unavailable" in sidecar.log(), 30, "it is seen")
        assert time.monotonic() - dropped < 10, "3 s where nothing else keeps the machine busy"
        old.set(synchronous_standby_names="")  # it goes on and knows of nothing
        new.promote()
        ledger.goes_on()
        began = list(ledger.attempted)
        network.heal()
        wait_for(lambda: "became the writer after it" in sidecar.log(), 30, "it is heard again, and not trusted")
        ledger.goes_on()
        assert rows_after(old, began) == 0
    ledger.check(new)


@pytest.mark.parametrize("how", ["drop", "drop_at_once"])
def test_nobody_waits_for_longer_than_the_borrow_time_out(bed, pair, network, serve, how):
    serve(connectionBorrowTimeoutSeconds=3)
    client, idle = bed.connect(), bed.connect()
    for each in (client, idle):
        each.execute("INSERT INTO ledger VALUES (1, 1)")
    getattr(network, how)(pair.writer.port)
    begun = time.monotonic()
    # The first goes over a connection that nobody knows yet to lead nowhere.
    with pytest.raises(psycopg.OperationalError) as lost:
        client.execute("INSERT INTO ledger VALUES (1, 2)")
    assert lost.value.sqlstate == "08007"
    with pytest.raises(psycopg.OperationalError) as waited:
        client.execute("INSERT INTO ledger VALUES (1, 3)")
    assert waited.value.sqlstate == "57P03"
    assert time.monotonic() - begun < 60, "some seconds for each of the two"
    network.heal()
    for each in (client, idle):
        wait_for(lambda c=each: works(c), 30, "they go on with what they are connected to")
        assert not each.closed


def works(client) -> bool:
    try:
        return client.execute("SELECT 1").fetchone() == (1,)
    except psycopg.errors.CannotConnectNow:
        return False
