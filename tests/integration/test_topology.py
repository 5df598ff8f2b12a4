"""Who writes, who reads, who joins and who leaves: as the cluster itself tells it."""

import psycopg
import pytest

from support.aurora import AuroraCluster
from support.ledger import TABLE, Ledger
from support.waiting import wait_for


@pytest.fixture
def aurora(bed, testbed):
    with AuroraCluster(bed.directory / "aurora", version=bed.cluster.version, authority=testbed.authority,
                       settings={"synchronous_commit": "on"}) as cluster:
        yield cluster


def roles(sidecar) -> dict:
    return {row["id"]: (row["role"], row["health"]) for row in sidecar.json("targets")}


def address_of(bed, port=None) -> str:
    """Of the server that a new client is brought to."""
    with psycopg.connect(bed.dsn(port=port or bed.port), autocommit=True) as connection:
        return connection.execute("SELECT host(inet_server_addr())").fetchone()[0]


WELL = {"1": ("READ_WRITE", "AVAILABLE"), "2": ("READ_ONLY", "AVAILABLE"), "3": ("READ_ONLY", "AVAILABLE")}


def test_members_are_found_join_and_leave(bed, aurora):
    bed.manifests.for_cluster(aurora, bed.port, db_cluster=aurora.spec())
    sidecar = bed.sidecar(write=False)
    wait_for(lambda: roles(sidecar) == WELL, 20, "the three members are found")
    assert address_of(bed) == aurora.writer.host
    fourth = aurora.add("4")
    wait_for(lambda: roles(sidecar) == {**WELL, "4": ("READ_ONLY", "AVAILABLE")}, 20, "the fourth is found")
    aurora.remove(fourth)
    wait_for(lambda: roles(sidecar) == WELL, 30, "the fourth is gone")


def test_the_writer_dies_and_another_is_promoted(bed, aurora):
    bed.manifests.for_cluster(aurora, bed.port, db_cluster=aurora.spec())
    sidecar = bed.sidecar(write=False)
    wait_for(lambda: roles(sidecar) == WELL, 20, "the three members are found")
    client = bed.connect()
    client.execute("CREATE TABLE kept (a int)")
    first, second = aurora.writer, aurora.replicas[0]
    aurora.wait_caught_up()
    first.kill()
    aurora.fail_over(second)
    client.execute("INSERT INTO kept VALUES (1)")  # it waits
    assert client.execute("SELECT host(inet_server_addr())").fetchone()[0] == second.host
    wait_for(lambda: roles(sidecar) == {"1": ("READ_ONLY", "UNAVAILABLE"), "2": ("READ_WRITE", "AVAILABLE"),
                                        "3": ("READ_ONLY", "AVAILABLE")}, 20, "the second is the writer")
    # It comes back as it was: it thinks that it is the writer, and gets nobody.
    first.start()
    wait_for(lambda: any(row["id"] == "1" and row["reason"] == "INVALID_REPLICATION_STATE"
                         for row in sidecar.json("targets")), 20, "the first is not trusted")
    assert address_of(bed) == second.host


def test_planned_work_and_readers_under_load(bed, aurora):
    """The writer changes places with a reader, and back; a reader is lost and back; all are lost and back; a member is
    added and removed."""
    aurora.writer.sql(f"{TABLE}; GRANT ALL ON ledger TO app", "orders")
    aurora.wait_caught_up()
    bed.manifests.for_cluster(aurora, bed.port, db_cluster=aurora.spec(), pool={"connectionBorrowTimeoutSeconds": 60})
    sidecar = bed.sidecar(write=False)
    wait_for(lambda: roles(sidecar) == WELL, 20, "the three members are found")
    first, second, third = aurora.members

    def change_places(old, new):
        aurora.wait_caught_up()
        old.stop()  # what it has acknowledged is with the others by then
        aurora.fail_over(new)
        ledger.goes_on()
        aurora.demote_in_place(old, new)
        wait_for(lambda: roles(sidecar) == {**WELL, old.id: ("READ_ONLY", "AVAILABLE"), new.id: ("READ_WRITE", "AVAILABLE")},
                 30, "they have changed places")

    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        change_places(first, second)
        change_places(second, first)
        third.kill()
        wait_for(lambda: roles(sidecar)["3"] == ("READ_ONLY", "UNAVAILABLE"), 30, "the reader is missed")
        ledger.goes_on()
        third.start()
        wait_for(lambda: roles(sidecar) == WELL, 30, "it is back")
        first.kill()
        for server in (second, third):
            server.stop()
        for server in (first, second, third):
            server.start()
        ledger.goes_on()
        fourth = aurora.add("4")
        wait_for(lambda: roles(sidecar).get("4") == ("READ_ONLY", "AVAILABLE"), 30, "the fourth is found")
        aurora.remove(fourth)
        wait_for(lambda: "4" not in roles(sidecar), 30, "the fourth is gone")
        ledger.goes_on()
        assert ledger.failed + len(ledger.unknown) <= 3 * len(ledger.attempted), "only what was in flight, three times"
    ledger.check(first)
