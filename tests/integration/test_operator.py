"""Manifests → operator → gRPC → sidecar: pushes, edits, refusals, and life while the operator is away."""

import concurrent.futures
import json
import signal
import socket
import ssl
import time

import psycopg
import pytest

from support import paths
from support.manifests import endpoint
from support.pages import request
from support.process import run
from support.waiting import wait_for


def limit(sidecar) -> int:
    return max((row["limit"] for row in sidecar.json("targets")), default=0)


def ctl(*arguments, check=True):
    return run([paths.binary("dbproxyctl"), *arguments], check=check)


@pytest.fixture
def pair(bed):
    """An operator and a sidecar, with the readers' endpoint."""
    bed.write(read_only=True, pool={"maxConnectionsPercent": 5})
    operator = bed.operator()
    return operator, bed.sidecar_of(operator)


def test_end_to_end(bed, pair):
    assert bed.connect().execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    assert bed.connect(port=bed.readers).execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    assert limit(pair[1]) == 5


def test_edit_is_in_force_within_a_second(bed, pair):
    _, sidecar = pair
    clients = [bed.connect() for _ in range(10)]
    in_transaction = bed.connect()
    in_transaction.execute("BEGIN")
    pid = in_transaction.execute("SELECT pg_backend_pid()").fetchone()
    edited = time.monotonic()
    bed.manifests.set_pool(maxConnectionsPercent=9)
    wait_for(lambda: limit(sidecar) == 9, 5, "the new limit is in force", interval=0.005)
    assert time.monotonic() - edited < (1.0 if "dev" not in str(paths.binary("")) else 2.0)
    assert in_transaction.execute("SELECT pg_backend_pid()").fetchone() == pid
    in_transaction.execute("COMMIT")
    assert all(client.execute("SELECT 1").fetchone() == (1,) for client in clients), "no client was lost"


def test_shrinking_the_limit_loses_nobody(bed, pair):
    _, sidecar = pair
    clients = [bed.connect() for _ in range(5)]
    for client in clients:
        client.execute("BEGIN")
        client.execute("SELECT 1")
    bed.manifests.set_pool(maxConnectionsPercent=2)
    wait_for(lambda: limit(sidecar) == 2, 5, "the new limit is in force")
    for client in clients:
        assert client.execute("SELECT 2").fetchone() == (2,)
        client.execute("COMMIT")
    wait_for(lambda: bed.writer.sessions("app") <= 2 + 2, 10, "connections above the limit are closed", 0.1)
    assert all(client.execute("SELECT 1").fetchone() == (1,) for client in clients)


def test_endpoints_come_and_go(bed, pair):
    bed.manifests.remove("readers.yaml")

    def refused() -> bool:
        try:
            psycopg.connect(bed.dsn(port=bed.readers)).close()
        except psycopg.OperationalError as error:
            return "refused" in str(error)
        return False
    wait_for(refused, 5, "the endpoint is gone")
    bed.manifests.write("readers.yaml", endpoint("orders-readers", "orders", bed.readers))
    wait_for(lambda: bed.connect(port=bed.readers), 5, "the endpoint is back")


def test_queries_go_on_while_the_operator_is_away(bed, pair):
    operator, sidecar = pair
    client = bed.connect()
    operator.kill()
    for _ in range(50):
        assert client.execute("SELECT 1").fetchone() == (1,)
    assert bed.connect(database="billing").execute("SELECT 1").fetchone() == (1,)
    bed.manifests.set_pool(maxConnectionsPercent=8)
    operator.start()
    wait_for(lambda: limit(sidecar) == 8, 15, "the sidecar found the operator again")
    assert client.execute("SELECT 1").fetchone() == (1,)


def test_sidecar_restarts_while_the_operator_is_away(bed):
    bed.write()
    operator = bed.operator()
    state = bed.directory / "sidecar-state"
    sidecar = bed.sidecar_of(operator, state_dir=state)
    bed.connect().execute("SELECT 1")
    bed.close_clients()
    sidecar.stop()
    operator.kill()
    for path in state.rglob("*"):
        if path.is_file():
            assert b"app-secret" not in path.read_bytes(), f"{path} holds a plain secret"
            assert path.stat().st_mode & 0o077 == 0, f"{path} is readable for others"
    sidecar.start()
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)


def test_broken_manifest_is_refused_in_words(bed, pair):
    operator, sidecar = pair
    good = bed.manifests.directory.joinpath("orders.yaml").read_text()
    bed.manifests.write_text("orders.yaml", good.replace("maxConnectionsPercent: 5", "maxConnectionsPercent: 101"))
    shown = wait_for(lambda: (found := ctl("get", "--operator", operator.http, check=False)) and
                     "maxConnectionsPercent" in found.stdout + found.stderr and found, 5, "dbproxyctl get shows it")
    assert "101" in shown.stdout + shown.stderr
    assert "maxConnectionsPercent" in operator.log()
    assert limit(sidecar) == 5
    assert operator.metrics().sum("dbproxy_operator_manifest_errors_total") >= 1
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    bed.manifests.write_text("orders.yaml", good.replace("maxConnectionsPercent: 5", "maxConnectionsPercent: 6"))
    wait_for(lambda: limit(sidecar) == 6, 5, "the repaired manifest is in force")


def test_nack_keeps_what_is_in_force(bed, pair):
    """A snapshot that this sidecar cannot put in force (its port is taken) is refused with the sidecar's words."""
    operator, sidecar = pair
    taken = socket.create_server(("127.0.0.1", 0))
    try:
        bed.manifests.set_spec(port=taken.getsockname()[1])
        wait_for(lambda: operator.metrics().sum("dbproxy_operator_config_nacks_total") >= 1 or
                 any(row["error"] for row in operator.json("sidecars")), 5, "the operator learns of it")
        assert bed.connect().execute("SELECT 1").fetchone() == (1,)
        row = operator.json("sidecars")[0]
        assert str(taken.getsockname()[1]) in row["error"] and not row["updated"]
    finally:
        taken.close()
    bed.manifests.set_spec(port=bed.port)
    wait_for(lambda: operator.json("sidecars")[0]["updated"], 10, "it is content again")


def test_certificates_are_renewed_while_it_runs(bed):
    bed.write()
    operator = bed.operator(extra=["--certificate-seconds", "10"])
    bed.sidecar_of(operator)
    before = (operator.state / "server.pem").read_text()
    pushed = operator.metrics().sum("dbproxy_operator_config_pushes_total")
    authority = ssl.create_default_context(cafile=operator.authority)
    authority.set_alpn_protocols(["h2"])
    host, port = operator.address.split(":")

    def shown() -> str:
        with socket.create_connection((host, int(port)), timeout=10) as plain:
            with authority.wrap_socket(plain, server_hostname="localhost") as tls:
                return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))
    wait_for(lambda: shown() not in before, 30, "another certificate is shown", interval=0.2)
    assert shown() in (operator.state / "server.pem").read_text()
    wait_for(lambda: operator.metrics().sum("dbproxy_operator_config_pushes_total") > pushed, 30,
             "the sidecar was given another one for its listeners")
    assert operator.log().count("sidecar connected") == 1 and bed.connect().execute("SELECT 1").fetchone() == (1,)


def test_without_a_token_nothing_is_served(bed):
    bed.write()
    operator = bed.operator()
    stolen = bed.directory / "made-up-token"
    stolen.write_text("x" * 43)
    stolen.chmod(0o600)
    real = operator.token("shop/orders-1")
    assert real.stat().st_mode & 0o077 == 0
    sidecar = bed.sidecar_of(operator, wait=False)
    sidecar.process.kill()
    sidecar.argv[sidecar.argv.index(real)] = stolen
    sidecar.start(wait=False)
    wait_for(lambda: "token" in sidecar.log().lower() or "unauthenticated" in sidecar.log().lower(), 10,
             "the refusal is logged")
    assert not operator.json("sidecars")
    sidecar.kill()
    bed.sidecars.remove(sidecar)


def test_operator_of_another_authority_is_refused(bed):
    bed.write()
    operator = bed.operator()
    sidecar = bed.sidecar_of(operator, wait=False)
    sidecar.process.kill()
    sidecar.argv[sidecar.argv.index(operator.authority)] = bed.cluster.authority.certificate
    sidecar.start(wait=False)
    wait_for(lambda: "certificate" in sidecar.log().lower() or "handshake" in sidecar.log().lower() or
             "unavailable" in sidecar.log().lower(), 10, "the refusal is logged")
    assert not operator.json("sidecars")
    sidecar.kill()
    bed.sidecars.remove(sidecar)


def test_dbproxyctl(bed, pair):
    operator, sidecar = pair
    bed.connect().execute("SELECT pg_advisory_lock(5)")
    for command in ("get", "targets", "sidecars"):
        table = ctl(command, "--operator", operator.http).stdout
        assert "orders" in table and len(table.splitlines()) >= 2, table
        parsed = json.loads(ctl(command, "--operator", operator.http, "-o", "json").stdout)
        assert parsed
        assert ctl(command, "--operator", operator.http, "-o", "yaml").stdout
    assert "orders" in ctl("describe", "orders", "--operator", operator.http).stdout
    for command in ("pools", "pins"):
        assert "app" in ctl(command, "--sidecar", sidecar.admin).stdout
        assert json.loads(ctl(command, "--sidecar", sidecar.admin, "-o", "json").stdout)
    assert ctl("get", "--operator", "127.0.0.1:1", check=False).returncode != 0
    assert ctl("no-such-command", check=False).returncode != 0


def test_operator_ends_cleanly(bed, pair):
    operator, _ = pair
    bed.connect().execute("SELECT 1")  # it has been given a connection that it may open
    operator.process.send(signal.SIGTERM)
    assert operator.process.wait(10) == 0
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)


def test_two_sidecars(bed):
    bed.write()
    operator = bed.operator(sidecars=("shop/orders-1", "shop/orders-2"))
    sidecars = [bed.sidecar_of(operator, identity=f"shop/orders-{number}", bind=f"127.0.0.{number}")
                for number in (1, 2)]
    for number, sidecar in enumerate(sidecars, 1):
        assert bed.connect(host=f"127.0.0.{number}").execute("SELECT 1").fetchone() == (1,)
    wait_for(lambda: sorted(row["identity"] for row in operator.json("sidecars")) ==
             ["shop/orders-1", "shop/orders-2"], what="both are shown")


def test_clients_wait_for_a_configuration_that_is_late(bed):
    """As in a pod: the ports are known before the operator is reached, and nobody is refused meanwhile."""
    bed.write()
    operator = bed.operator()
    operator.kill()
    socket_path = bed.directory / "admin.sock"
    sidecar = bed.sidecar_of(operator, wait=False, extra=["--port", bed.port, "--admin-socket", socket_path])
    wait_for(lambda: request(sidecar.admin, "/startupz")[0] == 200, 10, "listeners are up")
    assert request(sidecar.admin, "/readyz")[0] == 503
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = [pool.submit(psycopg.connect, bed.dsn()), pool.submit(psycopg.connect, bed.dsn(host="::1")),
                   pool.submit(psycopg.connect, bed.dsn(host=str(sidecar.socket_dir)))]
        done, _ = concurrent.futures.wait(waiting, timeout=0.5)
        assert not done
        operator.start()
        for each in waiting:
            with each.result(30) as client:
                assert client.execute("SELECT 1").fetchone() == (1,)
    assert socket_path.stat().st_mode & 0o777 == 0o600
    assert "orders" in ctl("--socket", socket_path, "get").stdout
