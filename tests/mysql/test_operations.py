"""What becomes of MySQL's clients when something changes or ends: secrets, limits, servers, the sidecar; and what is shown."""

import json
import select
import threading
import time

import pymysql
import pytest

from support import paths
from support.pages import request
from support.process import run
from support.waiting import wait_for

from bed import rows, value


def error_of(work) -> int:
    with pytest.raises(pymysql.err.MySQLError) as error:
        work()
    return error.value.args[0]


def test_with_an_operator(bed):
    operator, sidecar = bed.operator(read_only=True, limit=10)
    assert value(bed.connect(), "SELECT @@read_only") == 0
    assert value(bed.connect(port=bed.readers), "SELECT @@read_only") == 1
    target = next(row for row in sidecar.json("targets") if row["role"] == "READ_WRITE")
    assert (target["id"], target["maxConnections"], target["limit"]) == ("writer", 60, 6)
    client = bed.connect()
    bed.manifests.set_pool(maxConnectionsPercent=20)
    wait_for(lambda: max(row["limit"] for row in sidecar.json("targets")) == 12, 10, "the new limit is in force")
    assert value(client, "SELECT 1") == 1
    seen = run([paths.binary("dbproxyctl"), "get", "--operator", operator.http]).stdout
    assert "shop/orders" in seen or "orders" in seen


def test_preflight(bed):
    bed.write()
    done = run([paths.binary("dbproxyctl"), "preflight", "--manifests", bed.manifests.directory], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok    LOGIN  app, under TLS" in done.stdout and "ok    ROLE   writer" in done.stdout
    assert "max_connections" in done.stdout


def test_dbproxyctl_shows_pools_pins_and_targets(bed):
    sidecar = bed.sidecar(limit=4)
    client = bed.connect()
    rows(client, "PREPARE mine FROM 'SELECT ''hush'''")

    def ctl(what):
        return json.loads(run([paths.binary("dbproxyctl"), what, "--sidecar", sidecar.admin, "-o", "json"]).stdout)
    pools = ctl("pools")
    assert any(pool["user"] == "app" and pool["serversPinned"] == 1 for pool in pools["items"]), pools
    pin = ctl("pins")["items"][0]
    assert pin["reasons"] == ["sql_prepare"] and "hush" not in json.dumps(pin)
    assert {target["id"] for target in ctl("targets")["items"]} == {"writer", "replica-1"}


def test_metrics(bed):
    sidecar = bed.sidecar(limit=4)
    clients = [bed.connect() for _ in range(3)]
    for client in clients:
        rows(client, "BEGIN")
        rows(client, "SELECT 1")
        rows(client, "COMMIT")
    rows(clients[0], "BEGIN")
    wait_for(lambda: sidecar.metrics().sum("dbproxy_client_connections", state="active") == 1 and
             sidecar.metrics().sum("dbproxy_client_connections") == 3, 30, "the gauges are set")
    metrics = sidecar.metrics()
    assert metrics.sum("dbproxy_logins_total", result="success") == 3
    assert metrics.sum("dbproxy_transactions_total") >= 3
    assert metrics.sum("dbproxy_queries_total") >= 10
    assert metrics.sum("dbproxy_server_connections_opened_total") >= 1


def test_waiting_in_vain(bed):
    sidecar = bed.sidecar(limit=2, pool={"connectionBorrowTimeoutSeconds": 1})
    holder, other = bed.connect(), bed.connect()
    rows(holder, "BEGIN")
    began = time.monotonic()
    assert error_of(lambda: rows(other, "SELECT 1")) == 9501
    assert 0.9 < time.monotonic() - began < 8
    rows(holder, "COMMIT")
    assert value(other, "SELECT 1") == 1
    assert sidecar.metrics().sum("dbproxy_borrow_timeouts_total") == 1


def test_a_secret_that_the_database_refuses_is_that_users_alone(bed):
    bed.sidecar(users=("app", "native"), secrets={"native": "not-it"})
    with pytest.raises(pymysql.err.MySQLError, match="refused the credentials that are configured"):
        bed.connect("native", password="not-it")
    assert value(bed.connect(), "SELECT 1") == 1
    bed.write(users=("app", "native"))

    def healed():
        try:
            return value(bed.connect("native"), "SELECT 1") == 1
        except pymysql.err.MySQLError:
            return False
    wait_for(healed, 20, "the right secret is in force")


def test_clients_survive_the_loss_of_connections(bed):
    sidecar = bed.sidecar(limit=4)
    idle, in_transaction, asking = bed.connect(), bed.connect(), bed.connect()
    rows(in_transaction, "BEGIN")
    rows(in_transaction, "SELECT 1")
    answer = []
    thread = threading.Thread(target=lambda: answer.append(error_of(lambda: rows(asking, "SELECT SLEEP(20)"))))
    thread.start()
    wait_for(lambda: bed.writer.sessions("app", "info LIKE '%SLEEP(20)%'") == 1, 20, "it sleeps")
    bed.writer.end_sessions("app")
    thread.join(20)
    assert answer and answer[0] in (2013, 1317, 1927), answer
    assert value(idle, "SELECT 1") == 1
    assert error_of(lambda: rows(in_transaction, "SELECT 1")) in (1213, 1927)
    assert value(bed.connect(), "SELECT 1") == 1
    assert sidecar.metrics().sum("dbproxy_server_connections_lost_total") >= 2


def test_a_server_that_restarts(bed):
    bed.sidecar(limit=4)
    client = bed.connect()
    assert value(client, "SELECT 1") == 1
    bed.writer.kill()
    bed.writer.start()
    assert value(client, "SELECT 2") == 2


def test_a_client_that_vanishes_in_a_query_has_it_killed(bed):
    sidecar = bed.sidecar(limit=2)
    client = bed.connect()
    client._execute_command(pymysql.constants.COMMAND.COM_QUERY, "SELECT SLEEP(50)")
    wait_for(lambda: bed.writer.sessions("app", "info LIKE '%SLEEP(50)%'") == 1, 20, "it sleeps")
    client._force_close()
    wait_for(lambda: bed.writer.sessions("app", "info LIKE '%SLEEP(50)%'") == 0, 20, "it is killed")
    assert value(bed.connect(), "SELECT 1") == 1
    assert sidecar.metrics().sum("dbproxy_cancel_requests_total") >= 1


def test_time_limits(bed):
    bed.sidecar(limit=4, limits={"statementTimeout": "1s", "idleInTransactionSessionTimeout": "2s"})
    client = bed.connect()
    answer = None
    try:
        answer = value(client, "SELECT SLEEP(10) FROM (SELECT 1) AS one")
    except pymysql.err.MySQLError as error:
        answer = error.args[0]
    assert answer in (1, 3024), answer  # SLEEP says 1 when it is interrupted
    assert value(client, "SELECT 1") == 1
    rows(client, "BEGIN")
    wait_for(lambda: _ended(client), 15, "it is ended")


def _ended(client) -> bool:
    return bool(select.select([client._sock], [], [], 0)[0])


def test_too_many_clients(bed):
    bed.sidecar(limits={"maxClients": 2})
    bed.connect(), bed.connect()
    assert error_of(bed.connect) == 1040


def test_who_comes_after_a_deletion_is_told(bed):
    """In place of the server's greeting."""
    sidecar = bed.sidecar()
    early = bed.connect()
    bed.manifests.remove("orders.yaml")
    wait_for(lambda: "removed" in sidecar.log(), 10, "the sidecar has seen it")
    with pytest.raises(pymysql.err.MySQLError) as ended:
        early.query("SELECT 1")
        early.query("SELECT 1")
    assert ended.value.args[0] in (1053, 2006, 2013)
    with pytest.raises(pymysql.err.MySQLError) as refused:
        bed.connect()
    assert refused.value.args[0] == 1053 and "orders was deleted. Apply the DBProxy again" in refused.value.args[1]
    done = bed.command_line("SELECT 4", check=False)
    assert done.returncode != 0 and "orders was deleted" in done.stderr, done.stderr
    bed.write()
    wait_for(lambda: value(bed.connect(), "SELECT 1") == 1, 10, "it is back")


def test_a_drain_serves_until_nobody_is_left(bed):
    sidecar = bed.sidecar(limit=4)
    client = bed.connect()
    assert request(sidecar.admin, "/drain", "POST")[0] in (200, 202)
    wait_for(lambda: "drain" in sidecar.log(), what="the drain has begun")
    assert value(client, "SELECT 1") == 1
    client.close()
    wait_for(lambda: "no client is left" in sidecar.log(), 10, "the drain is over")


def test_the_password_itself_over_tls(bed):
    """mysql_clear_password, as clients with tokens send it."""
    bed.sidecar()
    done = bed.command_line("SELECT 4", extra=("--default-auth=mysql_clear_password", "--ssl"))
    assert done.stdout.strip() == "4"


def test_a_savepoint_before_any_table_is_used(bed):
    """Where autocommit is off no flag of the server's tells that a transaction has begun."""
    bed.sidecar(limit=2, pool={"connectionBorrowTimeoutSeconds": 1})
    one, other = bed.connect(autocommit=False), bed.connect()
    for end in ("COMMIT", "ROLLBACK", "ROLLBACK WORK"):
        rows(one, "SAVEPOINT first")
        assert error_of(lambda: rows(other, "SELECT 1")) == 9501
        rows(one, "ROLLBACK TO SAVEPOINT first")
        assert value(one, "SELECT 1") == 1
        assert error_of(lambda: rows(other, "SELECT 1")) == 9501
        rows(one, "ROLLBACK WORK TO first")
        rows(one, end)
        assert value(other, "SELECT 1") == 1
    rows(one, "SAVEPOINT first")
    rows(one, "SET autocommit = 1")
    assert value(other, "SELECT 1") == 1
    one.autocommit(False)
    rows(one, "SAVEPOINT first")
    one.close()
    wait_for(lambda: value(bed.connect(), "SELECT 1") == 1, 10, "the connection is free or closed")
    assert error_of(lambda: rows(other, "ROLLBACK TO SAVEPOINT first")) == 1305
