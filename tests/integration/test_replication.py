"""Replication connections: PostgreSQL's own programs, a standby and a subscription, through the proxy."""

import contextlib

import psycopg2
import psycopg2.extras
import pytest

from support import paths, postgres, wire
from support.postgres import PASSWORDS, Postgres
from support.process import Process, run
from support.waiting import wait_for

PASSWORDS.setdefault("replicator", "replicator-secret")


@pytest.fixture(scope="module", params=[15, 18], ids=["pg15", "pg18"])
def cluster(request, testbed):
    """In place of the shared one: with wal_level logical, and nobody else's replica in the way."""
    if not postgres.available(request.param):
        pytest.skip(f"PostgreSQL {request.param} is not installed: run cmake/setup.sh test")
    made = testbed.cluster(version=request.param, settings={"wal_level": "logical", "max_wal_senders": "4"})
    made.writer.sql("CREATE TABLE t (a int PRIMARY KEY); GRANT ALL ON t TO app, replicator;", "orders")
    made.writer.sql("CREATE TABLE t (a int PRIMARY KEY)", "billing")
    yield made
    made.stop()


@pytest.fixture
def through(bed):
    """A sidecar for two users, one of which has REPLICATION."""
    bed.sidecar(users=("app", "replicator"), limit=4, pool={"connectionBorrowTimeoutSeconds": 2})
    return bed


def conninfo(bed, **options) -> str:
    options = {"host": bed.host, "port": bed.port, "user": "replicator", "password": "replicator-secret",
               "sslmode": "disable", **options}
    return " ".join(f"{name}={value}" for name, value in options.items())


def client(name, bed, *argv, **options):
    """One of PostgreSQL's programs, as the user who may write where it writes."""
    return [paths.DEBIAN_POSTGRES / name, "-d", conninfo(bed, **options), *argv]


def gone(bed):
    bed.close_clients()
    wait_for(lambda: bed.writer.sessions("replicator") == 0, what="no replication is left at the server")


def streaming(bed, name) -> bool:
    return bed.writer.sql(f"SELECT count(*) FROM pg_stat_replication WHERE application_name = '{name}' "
                          "AND state = 'streaming'") == "1"


def insert(bed, value):
    bed.writer.sql(f"INSERT INTO t VALUES ({value}) ON CONFLICT DO NOTHING", "orders")


@pytest.mark.parametrize("tls", ["disable", "require"])
def test_base_backup_becomes_a_standby_that_follows(through, tls):
    bed = through
    if bed.cluster.version > 15:  # whose pg_basebackup Debian 12 does not have: what it would ask for, then
        session = replication_session(bed, kind="true")
        session.send(wire.query("BASE_BACKUP (CHECKPOINT 'fast', MANIFEST 'no')"))
        assert sum(len(body) for kind, body in session.until_ready() if kind == "d") > 10 << 20
        return
    standby = Postgres(bed.cluster, f"standby-{tls}", "READ_ONLY")
    bed.cluster._private_directory(standby.directory)
    bed.cluster._as_server(client("pg_basebackup", bed, "-D", standby.data, "-c", "fast", "-X", "stream", "-R",
                                  sslmode=tls, application_name="copy"))
    gone(bed)
    config = standby.data / "postgresql.auto.conf"
    assert str(bed.port) in config.read_text()
    try:
        standby.start()
        wait_for(lambda: streaming(bed, "copy") or streaming(bed, "walreceiver"), what="the standby streams")
        insert(bed, 1000)
        wait_for(lambda: standby.sql("SELECT count(*) FROM t WHERE a = 1000", "orders") == "1", what="it follows")
    finally:
        standby.stop()
    gone(bed)


def test_receivewal_and_recvlogical(through):
    bed = through
    if bed.cluster.version > 15:
        return
    directory = bed.directory / "wal"
    bed.cluster._private_directory(directory)
    receiver = Process("receivewal", bed.directory / "receivewal.log")
    receiver.start(client("pg_receivewal", bed, "-D", directory, "--no-loop"), user=bed.cluster.user, cwd="/")
    wait_for(lambda: streaming(bed, "pg_receivewal"), what="WAL is received")
    bed.writer.sql("SELECT pg_switch_wal()")
    insert(bed, 1)
    bed.writer.sql("SELECT pg_switch_wal()")
    wait_for(lambda: any(len(file.name) == 24 for file in directory.iterdir()), what="a whole segment is there")
    receiver.stop()

    out = bed.directory / "changes"
    run(client("pg_recvlogical", bed, "--slot", "changes", "--create-slot", "-P", "test_decoding", dbname="orders"))
    insert(bed, 2)
    logical = Process("recvlogical", bed.directory / "recvlogical.log")
    logical.start(client("pg_recvlogical", bed, "--slot", "changes", "--start", "-f", out, "-F", "0", "--no-loop",
                         dbname="orders"))
    wait_for(lambda: out.exists() and "a[integer]:2" in out.read_text(), what="the change is decoded")
    logical.stop()
    run(client("pg_recvlogical", bed, "--slot", "changes", "--drop-slot", dbname="orders"))
    gone(bed)


def test_a_subscription_follows_through_the_proxy(through):
    bed = through
    bed.writer.sql("CREATE PUBLICATION p FOR TABLE t", "orders")
    # In one cluster CREATE SUBSCRIPTION would wait for itself: the slot comes first.
    bed.writer.sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')", "orders")
    try:
        bed.writer.sql(f"CREATE SUBSCRIPTION s CONNECTION '{conninfo(bed, dbname='orders')}' PUBLICATION p "
                       "WITH (create_slot = false, slot_name = 's', copy_data = true)", "billing")
        insert(bed, 3)
        wait_for(lambda: bed.writer.sql("SELECT count(*) FROM t WHERE a = 3", "billing") == "1", timeout=20,
                 what="the row is there")
        sidecar = bed.sidecars[0]
        pin = wait_for(lambda: [row for row in sidecar.json("pins") if row["applicationName"] == "s"], what="it is shown")
        assert pin[0]["reasons"] == ["replication"] and pin[0]["user"] == "replicator"
        wait_for(lambda: sidecar.metrics().sum("dbproxy_client_connections", state="replication") == 1, what="clients")
        wait_for(lambda: sidecar.metrics().sum("dbproxy_server_connections", state="replication") == 1, what="servers")
        assert sidecar.metrics().sum("dbproxy_pins_total", reason="replication") >= 1
    finally:
        bed.writer.sql("ALTER SUBSCRIPTION s DISABLE; ALTER SUBSCRIPTION s SET (slot_name = NONE); "
                       "DROP SUBSCRIPTION s", "billing")
        wait_for(lambda: bed.writer.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 's'") == "f",
                 what="the slot is free")
        bed.writer.sql("SELECT pg_drop_replication_slot('s')", "orders")
        bed.writer.sql("DROP PUBLICATION p", "orders")
    gone(bed)


class Consumer:
    """A logical stream as psycopg2's users read it."""

    def __init__(self, bed, slot):
        self.connection = psycopg2.connect(conninfo(bed, dbname="orders"),
                                           connection_factory=psycopg2.extras.LogicalReplicationConnection)
        self.cursor = self.connection.cursor()
        self.cursor.create_replication_slot(slot, output_plugin="test_decoding")
        self.cursor.start_replication(slot, decode=True)

    def wait(self, text):
        def seen():
            message = self.cursor.read_message()
            return message is not None and text in message.payload
        wait_for(seen, what=f"{text} comes")


@pytest.fixture
def consumer(through):
    made = Consumer(through, "consumer")
    yield made
    made.connection.close()
    with contextlib.suppress(Exception):
        wait_for(lambda: through.writer.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'consumer'") != "t",
                 what="the slot is free")
        through.writer.sql("SELECT pg_drop_replication_slot('consumer')", "orders")


def test_it_counts_and_is_used_once(through, consumer):
    """The limit is 4: three others, and then nobody; when it ends its place is free, and its connection gone."""
    bed = through
    insert(bed, 4)
    consumer.wait("a[integer]:4")
    held = [bed.connect() for _ in range(3)]
    for each in held:
        each.execute("BEGIN")
        each.execute("SELECT 1")
    with pytest.raises(Exception, match="waiting for a database connection"):
        bed.connect().execute("SELECT 1")
    consumer.connection.close()
    wait_for(lambda: bed.writer.sessions("replicator") == 0, what="the server connection is gone")
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    for each in held:
        each.execute("COMMIT")


def test_a_streaming_connection_is_not_idle_and_a_resting_one_is(through, consumer):
    bed = through
    resting = replication_session(bed)
    assert resting.query("IDENTIFY_SYSTEM")
    bed.manifests.set_spec(idleClientTimeoutSeconds=1, maxClientAgeSeconds=1)
    kind, body = resting.message()
    assert kind == "E" and wire.fields(body)["C"] == "57P05"
    insert(bed, 5)
    consumer.wait("a[integer]:5")


def test_last_words_come_between_two_messages(through, consumer):
    bed = through
    insert(bed, 6)
    consumer.wait("a[integer]:6")
    bed.manifests.edit("orders.yaml", lambda document: document["spec"].update(auth=document["spec"]["auth"][:1]))

    def told():
        try:
            consumer.cursor.read_message()
            return ""
        except psycopg2.Error as error:
            return str(error)
    assert "no longer configured" in wait_for(told, timeout=20, what="it is told")


def replication_session(bed, user="replicator", kind="database"):
    return bed.raw().login(user, PASSWORDS[user], "orders", replication=kind)


def test_commands_and_their_errors(through):
    bed = through
    for kind in ("database", "true"):
        session = replication_session(bed, kind=kind)
        assert session.query("IDENTIFY_SYSTEM")[0][3] == ("orders" if kind == "database" else None)
        with pytest.raises(wire.ServerError) as caught:
            session.query("NONSENSE")
        assert caught.value.sqlstate in ("42601", "0A000")
        assert session.query("SHOW server_version_num")[0][0].startswith(str(bed.cluster.version))
        assert session.parameters["server_version"]
        session.close()
    assert replication_session(bed, kind="database").query("SELECT 1") == [["1"]]
    gone(bed)


def test_the_servers_own_refusal(through):
    bed = through
    for _ in range(2):
        with pytest.raises(wire.ServerError) as caught:
            replication_session(bed, user="app")
        assert caught.value.fields["S"] == "FATAL"
        assert caught.value.sqlstate == "42501", caught.value
    # The user is good for everything else, and the target in use.
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    assert all(not row["reason"] for row in bed.sidecars[0].json("targets"))


def test_more_than_max_wal_senders(through):
    bed = through
    bed.manifests.set_pool(maxConnectionsPercent=20)
    sessions = [replication_session(bed) for _ in range(4)]
    with pytest.raises(wire.ServerError) as caught:
        replication_session(bed)
    assert caught.value.sqlstate == "53300" and "max_wal_senders" in caught.value.message
    for session in sessions:
        session.close()
    gone(bed)


def test_cancel(through):
    bed = through
    session = replication_session(bed)
    session.send(wire.query("SELECT pg_sleep(20)"))
    wait_for(lambda: bed.writer.sessions("replicator", "query LIKE '%pg_sleep(20)%' AND state = 'active'"), what="it runs")
    session.cancel()
    with pytest.raises(wire.ServerError) as caught:
        session.until_ready()
    assert caught.value.sqlstate == "57014"
    assert session.query("SELECT 2") == [["2"]]


def test_clients_and_servers_that_vanish(through):
    bed = through
    session = replication_session(bed)
    session.send(wire.query("SELECT pg_sleep(20)"))
    runs = "query LIKE '%pg_sleep(20)%' AND state = 'active'"
    wait_for(lambda: bed.writer.sessions("replicator", runs), what="it runs")
    session.close()
    wait_for(lambda: not bed.writer.sessions("replicator", runs), what="it is cancelled")
    wait_for(lambda: bed.sidecars[0].metrics().sum("dbproxy_client_connections", state="replication") == 0, what="it is gone")
    session = replication_session(bed)
    bed.writer.end_sessions("replicator")
    with pytest.raises((wire.ServerError, wire.Closed)) as caught:
        session.query("IDENTIFY_SYSTEM")
    if caught.type is wire.ServerError:
        assert caught.value.sqlstate == "57P01"
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
