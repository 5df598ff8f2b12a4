"""Things that end, break or stall: databases, secrets, clients that stop reading, the sidecar itself."""

import signal
import threading
import time

import psycopg
import pytest

from support import paths, wire
from support.manifests import config_map, secret
from support.pages import request
from support.waiting import wait_for


def works(bed, **options) -> bool:
    with psycopg.connect(bed.dsn(**options), autocommit=True) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_database_restarts(bed):
    sidecar = bed.sidecar(limit=5)
    idle = bed.connect()
    idle.execute("SELECT 1")
    in_transaction = bed.connect()
    in_transaction.execute("BEGIN")
    in_transaction.execute("SELECT 1")
    bed.writer.stop()
    with pytest.raises(psycopg.OperationalError):
        in_transaction.execute("SELECT 1")
    assert request(sidecar.admin, "/readyz")[0] == 200, "readiness never depends on the database"
    bed.writer.start()
    wait_for(lambda: works(bed), 20, "new clients are served again", 0.1)
    # A client that was between transactions never noticed.
    assert idle.execute("SELECT 2").fetchone() == (2,)


def test_database_away_at_the_start(bed):
    """The sidecar comes up, says what is wrong, and serves as soon as the database is there."""
    bed.writer.stop()
    try:
        sidecar = bed.sidecar(pool={"connectionBorrowTimeoutSeconds": 1})
        assert request(sidecar.admin, "/readyz")[0] == 200
        begun = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            works(bed)
        assert time.monotonic() - begun < 10
    finally:
        bed.writer.start()
    wait_for(lambda: works(bed), 20, "clients are served", 0.1)


def test_waiting_client_survives_a_short_outage(bed):
    bed.sidecar(pool={"connectionBorrowTimeoutSeconds": 20})
    client = bed.connect()
    client.execute("SELECT 1")
    bed.writer.stop()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(client.execute("SELECT 1").fetchone()))
    try:
        thread.start()
        thread.join(1)
    finally:
        bed.writer.start()
    thread.join(20)
    assert answers == [(1,)]


def test_server_connection_killed(bed):
    bed.sidecar(limit=2)
    clients = [bed.connect() for _ in range(4)]
    for client in clients:
        client.execute("SELECT 1")
    bed.writer.end_sessions("app")
    time.sleep(0.2)  # nothing can be observed from here but the database's own goodbye, which is under way
    for client in clients:
        assert client.execute("SELECT 1").fetchone() == (1,)


def test_a_transaction_that_is_lost_ends_with_an_error_that_is_retried(bed):
    sidecar = bed.sidecar(limit=3)
    client = bed.connect()

    def end_sessions():
        """And the sidecar has seen it: a COMMIT that comes before that is of unknown outcome."""
        kept = sidecar.metrics().sum("dbproxy_clients_kept_total")
        bed.writer.end_sessions("app")
        wait_for(lambda: sidecar.metrics().sum("dbproxy_clients_kept_total") > kept, 10, "the loss is seen")
    client.execute("CREATE TABLE lost (a int)")
    client.execute("BEGIN")
    client.execute("INSERT INTO lost VALUES (1)")
    end_sessions()
    with pytest.raises(psycopg.errors.SerializationFailure) as caught:
        client.execute("INSERT INTO lost VALUES (2)")
    assert "Run the transaction again" in str(caught.value)
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        client.execute("INSERT INTO lost VALUES (3)")
    client.execute("ROLLBACK")
    # Once more, by extended protocol, as a driver's transaction.
    with pytest.raises(psycopg.errors.SerializationFailure), client.transaction():
        client.execute("INSERT INTO lost VALUES (%s)", (4,))
        end_sessions()
        client.execute("INSERT INTO lost VALUES (%s)", (5,))
    with client.transaction():
        client.execute("INSERT INTO lost VALUES (%s)", (6,))
    assert client.execute("SELECT a FROM lost").fetchall() == [(6,)]
    # A COMMIT of what is lost fails, and the transaction is over.
    client.execute("BEGIN")
    client.execute("INSERT INTO lost VALUES (7)")
    end_sessions()
    with pytest.raises(psycopg.errors.SerializationFailure):
        client.execute("COMMIT")
    assert client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert client.execute("SELECT a FROM lost").fetchall() == [(6,)]
    assert sidecar.metrics().sum("dbproxy_clients_kept_total") >= 3


def test_a_statement_that_is_lost_is_of_unknown_outcome_and_its_client_goes_on(bed):
    bed.sidecar(limit=3)
    client = bed.connect()
    client.execute("SET work_mem = '5MB'")
    errors = []

    def sleep():
        try:
            client.execute("SELECT pg_sleep(30)")
        except psycopg.Error as error:
            errors.append(error)
    thread = threading.Thread(target=sleep)
    thread.start()
    wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep%' AND state = 'active'") == 1, 10, "it sleeps")
    bed.writer.end_sessions("app")
    thread.join(10)
    assert [error.sqlstate for error in errors] == ["08007"]
    assert client.execute("SHOW work_mem").fetchone() == ("5MB",)


def test_secret_refused_by_the_database_hurts_only_that_user(bed, request):
    """Neither the password that the Secret has now nor the one before is the database's."""
    request.addfinalizer(lambda: bed.writer.sql("ALTER ROLE reports PASSWORD 'reports-secret'"))
    bed.writer.sql("ALTER ROLE reports PASSWORD 'what nobody knows'")
    sidecar = bed.sidecar(users=("app", "reports"), pool={"connectionBorrowTimeoutSeconds": 5})
    good = bed.connect("app")
    good.execute("SELECT 1")
    documents = [secret("orders-app", "app", "app-secret"), secret("orders-reports", "reports", "not-the-password"),
                 config_map("database-ca", {"ca.pem": bed.cluster.authority.certificate.read_text()})]
    bed.manifests.write("orders-secrets.yaml", *documents)

    def refused():
        """The proxy knows the new password, and the database does not."""
        with pytest.raises(psycopg.OperationalError) as caught:
            with psycopg.connect(bed.dsn("reports", password="not-the-password"), autocommit=True) as connection:
                connection.execute("SELECT 1")
        assert "not-the-password" not in str(caught.value)
        return any(row["reason"] == "AUTH_FAILURE" for row in sidecar.json("targets")) and caught.value
    error = wait_for(refused, 20, "AUTH_FAILURE is shown")
    assert "reports" in str(error) and "secret" in str(error)
    assert good.execute("SELECT 1").fetchone() == (1,)
    assert works(bed, user="app")
    bed.writer.sql("ALTER ROLE reports PASSWORD 'reports-secret'")
    bed.manifests.write("orders-secrets.yaml", documents[0], secret("orders-reports", "reports", "reports-secret"),
                        documents[2])
    wait_for(lambda: works(bed, user="reports"), 20, "the repaired secret works", 0.1)
    assert "not-the-password" not in sidecar.log() and "reports-secret" not in sidecar.log()


def test_secret_changes_for_new_clients(bed):
    bed.sidecar(users=("app", "reports"))
    old = bed.connect("reports")
    old.execute("SELECT 1")
    bed.writer.sql("ALTER ROLE reports PASSWORD 'second-secret'")
    try:
        bed.manifests.write(
            "orders-secrets.yaml", secret("orders-app", "app", "app-secret"),
            secret("orders-reports", "reports", "second-secret"),
            config_map("database-ca", {"ca.pem": bed.cluster.authority.certificate.read_text()}))
        wait_for(lambda: works(bed, user="reports", password="second-secret"), 10, "the new secret", 0.05)
        assert old.execute("SELECT 1").fetchone() == (1,)
    finally:
        bed.writer.sql("ALTER ROLE reports PASSWORD 'reports-secret'")


def test_sigterm_drains(bed):
    """It serves on while clients are there, a transaction ends in peace, and then the process ends by itself."""
    sidecar = bed.sidecar()
    client = bed.connect()
    client.execute("BEGIN")
    client.execute("SELECT 1")
    sidecar.process.send(signal.SIGTERM)
    wait_for(lambda: "drain" in sidecar.log(), what="the drain has begun")
    assert request(sidecar.admin, "/healthz")[0] == 200
    assert client.execute("SELECT 2").fetchone() == (2,)
    client.execute("COMMIT")
    late = bed.connect()  # a native sidecar goes on accepting: the application still shuts down
    assert late.execute("SELECT 1").fetchone() == (1,)
    late.close()
    client.close()
    assert sidecar.process.wait(10) == 0
    assert bed.writer.sessions("app") == 0


def test_drain_by_request(bed):
    sidecar = bed.sidecar()
    assert request(sidecar.admin, "/drain", "POST")[0] in (200, 202)
    wait_for(lambda: "drain" in sidecar.log(), what="the drain has begun")


def test_slow_reader_is_bounded_and_alone(bed):
    """A client that stops reading a huge result costs little memory, and the others do not notice."""
    sidecar = bed.sidecar(limit=3, binary=paths.release_binary("dbproxy"))  # a sanitizer keeps what was freed
    quick = bed.connect()
    quick.execute("SELECT 1")
    before = sidecar.resident_bytes()
    slow = bed.raw(receive_buffer=4096).login("app", "app-secret", "orders")
    slow.send(wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 300000)"))
    slow.receive(100)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        assert quick.execute("SELECT 1").fetchone() == (1,)
    assert sidecar.resident_bytes() - before < 10_000_000
    slow.close()
    assert quick.execute("SELECT 1").fetchone() == (1,)
    wait_for(lambda: bed.writer.sessions("app", "state = 'active'") == 0, 20, "the statement ended", 0.1)


def test_slow_sender_of_copy_is_alone(bed):
    """A half-sent message keeps its own connection only."""
    bed.sidecar(limit=2)
    slow, quick = bed.raw_session(), bed.connect()
    slow.send(wire.query("SELECT 1")[:7])
    for _ in range(10):
        assert quick.execute("SELECT 1").fetchone() == (1,)
    slow.send(wire.query("SELECT 1")[7:])
    assert [kind for kind, _ in slow.until_ready()] == ["T", "D", "C"]


def test_reader_goes_away(bed):
    """Without a reader and without fallback, readers' clients are told; the writer's do not notice."""
    bed.sidecar(read_only=True, pool={"connectionBorrowTimeoutSeconds": 2})
    replica = bed.cluster.replicas[0]
    assert works(bed, port=bed.readers)
    replica.stop()
    try:
        with pytest.raises(psycopg.OperationalError):
            works(bed, port=bed.readers)
        assert works(bed)
    finally:
        replica.start()
    wait_for(lambda: works(bed, port=bed.readers), 30, "the reader is back", 0.1)
