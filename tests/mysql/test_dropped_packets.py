"""A writer that is there and cannot be heard: its packets vanish, and nobody says so. The sidecar stands in a network
namespace of its own, whose only link the servers are behind."""

import time

import pytest
from support import mysql, namespace
from support.waiting import wait_for

from bed import Bed
from ledger import TABLE, Ledger


@pytest.fixture
def network():
    namespace.require()
    with namespace.Namespace() as made:
        yield made


@pytest.fixture
def pair(request, cluster, testbed, network):
    with mysql.Cluster(testbed.subdirectory(f"dropped-{cluster.version}"), version=cluster.version, replicas=1,
                       authority=testbed.authority, schema=TABLE, address=network.outside) as made:
        yield made


@pytest.fixture
def pair_bed(request, testbed, pair):
    bed = Bed(pair, testbed.subdirectory(f"d{len(list(testbed.directory.iterdir()))}"))
    yield bed
    bed.close(getattr(request.node, "failed", True))


def rows_after(server, attempted) -> int:
    newer = " OR ".join(f"(writer = {writer} AND number > {number})" for writer, number in enumerate(attempted))
    return int(server.sql(f"SELECT count(*) FROM ledger WHERE {newer}", "orders"))


def test_the_writer_falls_silent_and_another_is_promoted(pair_bed, pair, network):
    # The servers' certificate is for loopback addresses.
    sidecar = pair_bed.sidecar(inside=network, tls=False, pool={"connectionBorrowTimeoutSeconds": 60})
    old, new = pair.writer, pair.replicas[0]
    with Ledger(pair_bed, clients=4) as ledger:
        ledger.goes_on()
        network.drop(old.port)
        dropped = time.monotonic()
        wait_for(lambda: "target unavailable" in sidecar.log(), 30, "it is seen")
        assert time.monotonic() - dropped < 10, "3 s where nothing else keeps the machine busy"
        pair.wait_caught_up()
        new.promote()  # and the other knows of nothing
        ledger.goes_on()
        began = list(ledger.attempted)
        network.heal()
        wait_for(lambda: "became the writer after it" in sidecar.log(), 30, "it is heard again, and not trusted")
        ledger.goes_on()
        assert rows_after(old, began) == 0, "a demoted writer gets no write"
        assert len(ledger.unknown) + ledger.failed <= len(ledger.attempted), "only what was in flight"
    ledger.check(new)
