"""Who writes, who reads, who joins and who leaves: as the cluster itself tells it."""

import psycopg
import pytest

from support.aurora import AuroraCluster
from support.waiting import wait_for


@pytest.fixture
def aurora(bed, testbed):
    with AuroraCluster(bed.directory / "aurora", version=bed.cluster.version, authority=testbed.authority) as cluster:
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
