"""Log-in: TLS and plain, both password methods, Unix socket, start-up parameters, and every refusal."""

import psycopg
import pytest

from support import paths, wire
from support.process import run
from support.waiting import wait_for


def refused(bed, *args, **options) -> wire.ServerError:
    with pytest.raises(wire.ServerError) as caught:
        bed.raw().login(*args, **options)
    return caught.value


def test_psql(bed):
    bed.sidecar()
    output = run([paths.DEBIAN_POSTGRES / "psql", "-XAt", bed.dsn(), "-c", "SELECT current_user, current_database()",
                  "-c", "SELECT 6 * 7"]).stdout
    assert output == "app|orders\n42\n"


@pytest.mark.parametrize("database_tls", [True, False], ids=["database-tls", "database-plain"])
@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_tls_on_either_hop(bed, sslmode, database_tls):
    """The server hop is never less encrypted than the client's: where it is plain, clients are not offered TLS."""
    bed.sidecar(tls=database_tls)
    if sslmode == "require" and not database_tls:
        with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
            bed.connect(sslmode=sslmode)
        sslmode = "prefer"
    connection = bed.connect(sslmode=sslmode)
    assert connection.pgconn.ssl_in_use == (sslmode == "require")
    row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert row[0] is database_tls


def test_require_tls(bed):
    bed.sidecar(requireTLS=True)
    error = refused(bed, "app", "app-secret", "orders")
    assert error.sqlstate == "28000"
    assert "TLS" in error.message
    assert bed.connect(sslmode="require").execute("SELECT 1").fetchone() == (1,)


def test_unix_socket_satisfies_require_tls(bed):
    sidecar = bed.sidecar(requireTLS=True)
    connection = bed.connect(host=str(sidecar.socket_dir))
    assert connection.execute("SELECT current_user").fetchone() == ("app",)


def test_direct_and_scram_and_md5(bed):
    bed.sidecar(users=("app", "legacy"), auth={"legacy": {"clientPasswordAuthType": "POSTGRES_MD5"}})
    for user in ("app", "legacy"):
        assert bed.connect(user).execute("SELECT current_user").fetchone() == (user,)


def test_what_the_log_says_of_log_ins(bed):
    """Who, from which pod and of which service account, and how; with `client=debug` of those that are let in, too."""
    bed.write(("app", "legacy"), auth={"legacy": {"clientPasswordAuthType": "POSTGRES_MD5"}})
    sidecar = bed.sidecar(write=False, env={"DBPROXY_SERVICE_ACCOUNT": "orders"},
                          extra=("--identity", "shop/web-1", "--log-level", "info,client=debug"))
    bed.connect()
    bed.connect(sslmode="require")
    bed.connect("legacy")
    refused(bed, "app", "wrong", "orders")
    refused(bed, "nobody", "wrong", "orders")
    lines = [line for line in sidecar.log().splitlines() if " client: log" in line]

    def said(event, user, method):
        return any(all(part in line for part in (f"client: {event} ", f" user={user} ", f" method={method} ",
                                                 " pod=shop/web-1 service_account=orders ")) for line in lines)
    for user, method in (("app", "scram-sha-256"), ("app", "scram-sha-256-plus"), ("legacy", "md5")):
        assert said("logged in", user, method), lines
    assert said("log-in refused", "app", "scram-sha-256") and said("log-in refused", "nobody", "scram-sha-256"), lines


def test_wrong_password(bed):
    sidecar = bed.sidecar(users=("app", "legacy"), auth={"legacy": {"clientPasswordAuthType": "POSTGRES_MD5"}})
    for user in ("app", "legacy"):
        error = refused(bed, user, "wrong", "orders")
        assert error.sqlstate == "28P01"
        assert error.message == f'password authentication failed for user "{user}"'
        assert error.fields["S"] == "FATAL"
    assert bed.writer.sessions("legacy") == 0
    bed.connect()
    assert sidecar.process.alive()


def test_unknown_user_looks_like_a_wrong_password(bed):
    bed.sidecar()
    error = refused(bed, "nobody-here", "x", "orders")
    assert error.sqlstate == "28P01"
    assert error.message == 'password authentication failed for user "nobody-here"'


def test_unknown_database(bed):
    bed.sidecar()
    with pytest.raises(psycopg.OperationalError) as caught:
        bed.connect(database="no-such-database").execute("SELECT 1")
    assert 'database "no-such-database" does not exist' in str(caught.value)
    bed.connect().execute("SELECT 1")


def test_any_database(bed):
    bed.sidecar()
    for database in ("orders", "billing", "orders"):
        assert bed.connect(database=database).execute("SELECT current_database()").fetchone() == (database,)


def test_database_defaults_to_the_user(bed):
    bed.sidecar()
    bed.writer.sql("CREATE DATABASE app")
    try:
        client = bed.raw()
        client.send(wire.startup({"user": "app"}))
        client.authenticate("app", "app-secret")
        assert client.query("SELECT current_database()") == [["app"]]
        client.close()
    finally:
        bed.writer.sql("DROP DATABASE app WITH (FORCE)")


def test_greeting_is_complete(bed):
    """A client learns of the same parameters as from the database itself, and gets a key of its own."""
    bed.sidecar()
    direct = bed.raw(port=bed.writer.port).login("app", "app-secret", "orders", application_name="x")
    first, second = bed.raw_session(application_name="x"), bed.raw_session(application_name="x")
    assert first.parameters == direct.parameters
    assert second.parameters == direct.parameters
    assert first.key and second.key and first.key != second.key
    assert first.status == "I"


def test_log_in_needs_no_server_connection(bed):
    """Once the greeting is known, clients that do not ask anything cost the database nothing."""
    bed.sidecar(limit=3)
    bed.connect().execute("SELECT 1")
    sessions = bed.writer.sessions("app")
    clients = [bed.connect() for _ in range(20)]
    assert all(client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE for client in clients)
    assert bed.writer.sessions("app") <= max(sessions, 3)


def test_startup_parameters(bed):
    bed.sidecar(limit=1)
    plain = bed.connect()
    special = bed.connect(application_name="orders-web", options="-c TimeZone=Asia/Tokyo -c work_mem=8MB",
                          client_encoding="LATIN1")
    for _ in range(2):
        assert special.execute("SELECT current_setting('work_mem')").fetchone() == ("8MB",)
        assert special.execute("SHOW TimeZone").fetchone() == ("Asia/Tokyo",)
        assert special.execute("SHOW application_name").fetchone() == ("orders-web",)
        assert special.execute("SHOW client_encoding").fetchone() == ("LATIN1",)
        assert special.info.parameter_status("TimeZone") == "Asia/Tokyo"
        assert plain.execute("SHOW work_mem").fetchone() == (bed.writer.sql("SHOW work_mem"),)
        assert plain.execute("SHOW client_encoding").fetchone() == ("UTF8",)
        special.close()
        special = bed.connect(application_name="orders-web", options="-c TimeZone=Asia/Tokyo -c work_mem=8MB",
                              client_encoding="LATIN1")


@pytest.mark.parametrize("parameters", [
    {"extra_float_digits": "3"}, {"search_path": "pg_catalog"}, {"statement_timeout": "60000"},
    {"DateStyle": "SQL, DMY"}, {"options": "--work-mem=1MB"}, {"options": "-cgeqo=off -c geqo=on"},
    {"IntervalStyle": "iso_8601"}], ids=lambda parameters: next(iter(parameters)))
def test_startup_parameters_of_drivers(bed, parameters):
    bed.sidecar()
    direct = bed.raw(port=bed.writer.port).login("app", "app-secret", "orders", **parameters)
    through = bed.raw_session(**parameters)
    names = "work_mem, geqo, search_path, DateStyle, extra_float_digits, statement_timeout, IntervalStyle"
    for name in names.split(", "):
        assert through.query(f"SHOW {name}") == direct.query(f"SHOW {name}"), name
    assert through.parameters == direct.parameters


def test_bad_startup_parameter_is_the_databases_error(bed):
    bed.sidecar()
    error = refused(bed, "app", "app-secret", "orders", no_such_setting="1")
    assert error.sqlstate == "42704"
    assert "no_such_setting" in error.message
    bed.connect().execute("SELECT 1")


def test_newer_minor_protocol_is_negotiated(bed):
    bed.sidecar()
    client = bed.raw()
    client.send(wire.startup({"user": "app", "database": "orders", "_pq_.unknown": "1"}, version=196611))
    kind, body = client.message()
    assert kind == "v"
    assert body[:4] == (196610).to_bytes(4, "big") and b"_pq_.unknown" in body
    client.authenticate("app", "app-secret")
    assert client.query("SELECT 1") == [["1"]]


def test_gssenc_request_is_declined(bed):
    bed.sidecar()
    client = bed.raw()
    client.send((8).to_bytes(4, "big") + wire.GSSENC_REQUEST.to_bytes(4, "big"))
    assert client.receive(1) == b"N"
    client.tls().login("app", "app-secret", "orders")
    assert client.query("SELECT 1") == [["1"]]


def test_start_up_right_behind_the_handshake(bed):
    """The start-up packet may come with the last bytes of the handshake; no wake-up may be lost then."""
    bed.sidecar()
    bed.connect().execute("SELECT 1")
    for _ in range(300):
        with wire.Client(bed.host, bed.port, timeout=5) as client:
            client.tls().login("app", "app-secret", "orders")


def test_login_results_are_counted(bed):
    sidecar = bed.sidecar()
    bed.connect()
    refused(bed, "app", "wrong", "orders")
    refused(bed, "nobody-here", "wrong", "orders")
    wait_for(lambda: [sidecar.metrics().sum("dbproxy_logins_total", result=result)
                      for result in ("success", "wrong_password", "unknown_user")] == [1, 1, 1], what="log-ins counted")
