"""The writer goes, in every way there is, under load: it is a pause that only work in flight notices.

Replication is synchronous here, so that a commit that was acknowledged has to be there afterwards.
"""

import os
import signal
import threading
import time
from pathlib import Path

import psycopg
import pytest

from support import paths
from support.ledger import TABLE, Ledger
from support.postgres import Cluster
from support.process import run
from support.waiting import wait_for


@pytest.fixture
def pair(bed, testbed):
    """A writer and a reader that has every commit before it is acknowledged; a promoted reader needs no other."""
    with Cluster(bed.directory / "pair", version=bed.cluster.version, replicas=1, authority=testbed.authority,
                 settings={"synchronous_commit": "on"}) as cluster:
        cluster.writer.set(synchronous_standby_names="*")
        cluster.writer.sql(f"{TABLE}; GRANT ALL ON ledger TO app", "orders")
        cluster.wait_caught_up()
        yield cluster


@pytest.fixture
def sidecar(bed, pair):
    bed.manifests.for_cluster(pair, bed.port, pool={"connectionBorrowTimeoutSeconds": 60})
    sidecar = bed.sidecar(write=False)
    wait_for(lambda: roles(sidecar) == {"writer": ("READ_WRITE", "AVAILABLE"), "replica-1": ("READ_ONLY", "AVAILABLE")},
             20, "both are found")
    return sidecar


def roles(sidecar) -> dict:
    return {row["id"]: (row["role"], row["health"]) for row in sidecar.json("targets")}


def everyone(server) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [server.process.pid, *map(int, children.split())]


def signal_all(server, number):
    for pid in everyone(server):
        os.kill(pid, number)


def rows_after(server, attempted) -> int:
    """Of those that nobody had begun to write by then."""
    newer = " OR ".join(f"(writer = {writer} AND number > {number})" for writer, number in enumerate(attempted))
    return int(server.sql(f"SELECT count(*) FROM ledger WHERE {newer}", "orders"))


def test_the_writer_is_killed(bed, pair, sidecar):
    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        pair.writer.kill()
        pair.replicas[0].promote()
        ledger.goes_on()
    ledger.check(pair.replicas[0])
    assert sidecar.metrics().sum("dbproxy_target_suspicions_total") > 0
    assert roles(sidecar)["replica-1"] == ("READ_WRITE", "AVAILABLE")


def test_the_writer_freezes_and_wakes_up_as_one_too_many(bed, pair, sidecar):
    old, new = pair.writer, pair.replicas[0]
    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        signal_all(old, signal.SIGSTOP)
        try:
            new.promote()
            ledger.goes_on()
            began = list(ledger.attempted)
        finally:
            signal_all(old, signal.SIGCONT)
        # It answers again, and as a writer.
        wait_for(lambda: any(row["id"] == "writer" and row["reason"] == "INVALID_REPLICATION_STATE"
                             for row in sidecar.json("targets")), 20, "the one that slept is not trusted")
        ledger.goes_on()
        assert old.sql("SELECT pg_is_in_recovery()") == "f"
        assert rows_after(old, began) == 0
    ledger.check(new)


def test_two_writers_at_once(bed, pair, sidecar):
    """Somebody promotes, and the writer of before is well and knows of nothing."""
    old, new = pair.writer, pair.replicas[0]
    old.set(synchronous_standby_names="")  # it would wait for ever with what it is asked
    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        new.promote()
        wait_for(lambda: roles(sidecar)["replica-1"] == ("READ_WRITE", "AVAILABLE"), 20, "the new one is the writer")
        began = list(ledger.attempted)
        ledger.goes_on()
        assert rows_after(old, began) == 0, "a demoted writer gets no write"
        assert ledger.unexpected == [] and ledger.lost == 0
        wait_for(lambda: old.sessions(where="datname = 'orders'") == 0, 10, "nobody is left there")


def test_the_writer_is_demoted_in_place(bed, pair, sidecar):
    old, new = pair.writer, pair.replicas[0]
    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        old.stop()
        new.promote()
        ledger.goes_on()
        pair._write(old.data / "standby.signal", "")
        old.start()
        old.set(primary_conninfo=f"host={new.host} port={new.port} user=replicator password=replicator-secret")
        wait_for(lambda: roles(sidecar) == {"writer": ("READ_ONLY", "AVAILABLE"),
                                            "replica-1": ("READ_WRITE", "AVAILABLE")}, 20, "they have changed places")
        ledger.goes_on()
    ledger.check(new)


def test_a_restart_as_a_reader_gets_no_write_before_anybody_has_been_told(bed, pair, sidecar):
    """The writer comes back as a reader, nobody is promoted yet: what is to be written waits, and does not fail."""
    old, new = pair.writer, pair.replicas[0]
    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        old.stop()
        pair._write(old.data / "standby.signal", "")
        old.start()
        wait_for(lambda: roles(sidecar)["writer"] == ("READ_WRITE", "UNAVAILABLE"), 20, "it is a reader now")
        acknowledged = sum(map(len, ledger.acknowledged))
        assert ledger.failed + len(ledger.unknown) <= len(ledger.attempted), "only what was in flight has failed"
        new.promote()
        ledger.goes_on()
        assert sum(map(len, ledger.acknowledged)) > acknowledged
    ledger.check(new)


def test_a_refused_write_is_looked_into_once(bed, sidecar):
    """A client's own transaction that only reads is no sign of trouble."""
    client = bed.connect()
    for _ in range(3):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), client.transaction():
            client.execute("SET TRANSACTION READ ONLY")
            client.execute("INSERT INTO ledger VALUES (0, 0)")
    assert sidecar.metrics().sum("dbproxy_target_suspicions_total") == 0


def ctl(sidecar, *words):
    run([paths.binary("dbproxyctl"), *words, "--sidecar", sidecar.admin])


def open_connections(sidecar) -> int:
    return sum(row["servers"] for row in sidecar.json("targets"))


def test_a_planned_switchover_is_a_pause_that_nobody_notices(bed, pair, sidecar):
    old, new = pair.writer, pair.replicas[0]
    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        ctl(sidecar, "pause", "orders")
        wait_for(lambda: open_connections(sidecar) == 0, 20, "running transactions have ended")
        assert sidecar.json("dbproxies")[0]["paused"] is True
        pair.wait_caught_up()
        old.stop()
        new.promote()
        wait_for(lambda: roles(sidecar)["replica-1"] == ("READ_WRITE", "AVAILABLE"), 20, "the other is the writer")
        assert open_connections(sidecar) == 0
        ctl(sidecar, "resume", "orders")
        ledger.goes_on()
        assert (ledger.failed, ledger.unknown) == (0, []), "no client has seen an error"
    ledger.check(new)


def test_a_pause_for_a_switchover_ends_when_the_new_writer_is_there(bed, pair, sidecar):
    old, new = pair.writer, pair.replicas[0]
    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        ctl(sidecar, "pause", "orders", "--hand-over")
        wait_for(lambda: open_connections(sidecar) == 0, 20, "running transactions have ended")
        pair.wait_caught_up()
        old.stop()
        new.promote()
        ledger.goes_on()
        wait_for(lambda: not sidecar.json("dbproxies")[0]["paused"], 20, "it is over")
        assert (ledger.failed, ledger.unknown) == (0, []), "no client has seen an error"
    ledger.check(new)


def test_a_blue_green_deployment_changes_over_in_a_pause(bed, pair):
    """Green has what blue has, and does not exist for the DBProxy until its endpoint is changed."""
    blue, green = pair.writer, pair.replicas[0]
    bed.manifests.for_cluster(pair, bed.port, pool={"connectionBorrowTimeoutSeconds": 60},
                              db_cluster={"endpoint": blue.host, "port": blue.port})
    operator = bed.operator()
    sidecar = bed.sidecar_of(operator)
    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        run([paths.binary("dbproxyctl"), "pause", "orders", "--hand-over", "--operator", operator.http])
        wait_for(lambda: sidecar.json("dbproxies")[0]["paused"] and open_connections(sidecar) == 0, 20,
                 "running transactions have ended")
        pair.wait_caught_up()
        green.promote()
        began = list(ledger.attempted)
        assert operator.json("dbproxies")[0]["paused"], "blue is still there, and the writer"
        bed.manifests.edit("orders.yaml", lambda document: document["spec"]["targetGroups"][0]["dbCluster"].update(
            endpoint=green.host, port=green.port))
        ledger.goes_on()
        wait_for(lambda: not operator.json("dbproxies")[0]["paused"], 20, "it is over")
        assert (ledger.failed, ledger.unknown) == (0, []), "no client has seen an error"
        assert rows_after(blue, began) == 0
    ledger.check(green)


def test_where_no_writer_is_known_clients_wait_for_one(bed, pair):
    """The list of instances lacks the writer, and the reader that it has is promoted later."""
    reader = pair.replicas[0]
    bed.manifests.for_cluster(pair, bed.port, pool={"connectionBorrowTimeoutSeconds": 1}, db_cluster={
        "endpoint": reader.host, "port": reader.port,
        "instances": [{"id": reader.name, "endpoint": reader.host, "port": reader.port}]})
    sidecar = bed.sidecar(write=False)
    wait_for(lambda: roles(sidecar) == {"replica-1": ("READ_ONLY", "AVAILABLE")}, 20, "it is seen as what it is")
    with pytest.raises(psycopg.OperationalError, match="timed out after 1 s waiting for a database connection"):
        psycopg.connect(bed.dsn())
    bed.manifests.set_pool(connectionBorrowTimeoutSeconds=60)
    wait_for(lambda: sidecar.json("dbproxies")[0]["version"] > 1, 20, "clients wait for longer")
    answers = []

    def ask():
        with psycopg.connect(bed.dsn(connect_timeout=60), autocommit=True) as client:
            answers.append(client.execute("SELECT pg_is_in_recovery()").fetchone())
    waiting = threading.Thread(target=ask)
    waiting.start()
    wait_for(lambda: sidecar.json("dbproxies")[0]["clients"]["waiting"] == 1, 20, "it waits")
    reader.promote()
    waiting.join(30)
    assert answers == [(False,)]


def test_a_pause_ends_by_itself_and_no_client_times_out_in_it(bed, pair, sidecar):
    bed.manifests.set_pool(connectionBorrowTimeoutSeconds=1)
    client = bed.connect()
    client.execute("SELECT 1")
    in_transaction = bed.connect(autocommit=False)
    in_transaction.execute("INSERT INTO ledger VALUES (1, 1)")
    ctl(sidecar, "pause", "shop/orders", "--seconds", "4")
    wait_for(lambda: open_connections(sidecar) == 1, 20, "only what runs is left")
    in_transaction.execute("INSERT INTO ledger VALUES (1, 2)")
    in_transaction.commit()
    wait_for(lambda: open_connections(sidecar) == 0, 20, "it has ended")
    begun = time.monotonic()
    assert client.execute("SELECT count(*) FROM ledger").fetchone() == (2,)
    assert time.monotonic() - begun > 1.5, "it waited for longer than the borrow time-out"


def test_reconnect_replaces_connections_between_transactions(bed, pair, sidecar):
    client = bed.connect(autocommit=False)
    first = client.execute("SELECT pg_backend_pid()").fetchone()
    ctl(sidecar, "reconnect", "orders")
    wait_for(lambda: "replaced as their transactions end" in sidecar.log(), 10, "the order is in force")
    assert client.execute("SELECT pg_backend_pid()").fetchone() == first
    client.commit()
    assert client.execute("SELECT pg_backend_pid()").fetchone() != first


def test_an_operator_pauses_its_sidecars(bed, pair):
    bed.manifests.for_cluster(pair, bed.port)
    operator = bed.operator()
    sidecar = bed.sidecar_of(operator)
    client = bed.connect()
    client.execute("SELECT 1")
    asked = run([paths.binary("dbproxyctl"), "pause", "orders", "--sidecar", sidecar.admin], check=False)
    assert asked.returncode == 1 and "what its operator says" in asked.stderr
    run([paths.binary("dbproxyctl"), "pause", "orders", "--operator", operator.http])
    wait_for(lambda: sidecar.json("dbproxies")[0]["paused"], 10, "the sidecar has been told")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(client.execute("SELECT 2").fetchone()))
    waiting.start()
    # A pool that has neither connections nor clients who wait is not shown.
    wait_for(lambda: sum(row["clientsWaiting"] for row in sidecar.json("pools")) == 1, 10, "the client waits")
    for server, command in ((operator.http, "get"), (sidecar.admin, "pools")):
        where = "--operator" if server == operator.http else "--sidecar"
        assert "shop/orders is paused" in run([paths.binary("dbproxyctl"), command, where, server]).stderr
    assert "Paused:" in run([paths.binary("dbproxyctl"), "describe", "orders", "--operator", operator.http]).stdout
    run([paths.binary("dbproxyctl"), "resume", "orders", "--operator", operator.http])
    waiting.join(20)
    assert answers == [(2,)]
    assert not operator.json("dbproxies")[0]["paused"]


def test_without_their_operator_sidecars_find_the_new_writer_themselves(bed, pair):
    old, new = pair.writer, pair.replicas[0]
    bed.manifests.for_cluster(pair, bed.port, pool={"connectionBorrowTimeoutSeconds": 60})
    operator = bed.operator()
    sidecar = bed.sidecar_of(operator)
    with Ledger(bed.dsn()) as ledger:
        ledger.goes_on()
        operator.kill()
        old.kill()
        new.promote()
        ledger.goes_on()
        began = list(ledger.attempted)
        old.start()
        wait_for(lambda: any(row["id"] == "writer" and row["reason"] == "INVALID_REPLICATION_STATE"
                             for row in sidecar.json("targets")), 60, "the one of before is not trusted")
        ledger.goes_on()
        assert sidecar.metrics().sum("dbproxy_standing_in") == 1
        # An operator that knows nothing of all this begins anew.
        operator.start()
        wait_for(lambda: sidecar.metrics().sum("dbproxy_standing_in") == 0, 20, "the operator has spoken")
        ledger.goes_on()
        assert roles(sidecar)["replica-1"] == ("READ_WRITE", "AVAILABLE")
        assert rows_after(old, began) == 0
    ledger.check(new)
