"""Log-in's finer points: SASLprep, channel binding, protocol 3.2, direct TLS. psycopg brings a libpq of its own, 17 or later."""

import socket
import ssl

import psycopg
import pytest

from support import wire
from support.postgres import PASSWORDS
from support.waiting import wait_for


@pytest.fixture
def role(bed, monkeypatch):
    """role(name, password): a database user for this test, known to the manifests' helpers."""
    made = []

    def make(name, password):
        monkeypatch.setitem(PASSWORDS, name, password)
        quoted = password.replace("'", "''")
        bed.writer.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}'")
        made.append(name)
    yield make
    for name in made:
        bed.writer.end_sessions(name)
        bed.writer.sql(f"DROP ROLE {name}")


@pytest.mark.parametrize(("password", "typed"), [
    ("p\u00e4ssw\u00f6rd", "pa\u0308sswo\u0308rd"), ("I\u2168", "IIX"), ("a\u00a0b", "a b"), ("x\u00ad\u200dy", "xy"),
    ("\U0001f600", "\U0001f600"), ("\U0001f130", "\U0001f130"), ("\u0627\u0031", "\u0627\u0031"),
], ids=["umlauts", "roman", "space", "nothing", "emoji", "squared", "bidi"])
def test_passwords_are_prepared_as_postgresql_does(bed, role, password, typed):
    """The database, libpq and the sidecar have to come to the same bytes, however the password was typed in each."""
    role("umlaut", password)
    bed.sidecar(users=("umlaut",))
    for given in (password, typed):
        direct = bed.connect("umlaut", port=bed.writer.port, sslmode="require", password=given)
        assert direct.execute("SELECT current_user").fetchone() == ("umlaut",)
        assert bed.connect("umlaut", password=given).execute("SELECT current_user").fetchone() == ("umlaut",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        bed.connect("umlaut", password=typed + "x")


def test_channel_binding(bed):
    bed.sidecar()
    for _ in range(2):
        connection = bed.connect(sslmode="require", channel_binding="require")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        bed.connect(sslmode="disable", channel_binding="require")


def test_channel_binding_that_somebody_removed(bed):
    """A client that says that it could have bound, over TLS, has been shown a list without PLUS by somebody else."""
    bed.sidecar()
    client = bed.raw().tls()
    client.send(wire.startup({"user": "app", "database": "orders"}))
    kind, body = client.message()
    assert kind == "R" and b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0" in body
    first = b"y" + wire.Scram("app-secret").first()[1:]
    client.send(wire.message(b"p", wire.cstring("SCRAM-SHA-256") + len(first).to_bytes(4, "big") + first))
    kind, body = client.message()
    assert kind == "E" and wire.fields(body)["C"] == "28000"
    assert "negotiation error" in wire.fields(body)["M"]


def negotiated(client, minor, **extensions):
    """(the answer to a start-up packet of version 3.`minor`, the length of the cancel key)"""
    client.send(wire.startup({"user": "app", "database": "orders", **extensions}, version=(3 << 16) | minor))
    kind, body = client.message()
    answer = None
    if kind == "v":
        answer = body
        client.authenticate("app", "app-secret")
    else:
        assert kind == "R"
        client.replay(kind, body)
        client.authenticate("app", "app-secret")
    return answer, len(client.key[1])


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 9999])
@pytest.mark.parametrize("extensions", [{}, {"_pq_.one": "1", "_pq_.two": ""}], ids=["plain", "extensions"])
def test_versions_are_negotiated_as_postgresql_18_does(bed, minor, extensions):
    bed.sidecar()
    answer = negotiated(bed.raw(), minor, **extensions)
    if bed.cluster.version >= 18:  # which brought protocol 3.2
        assert answer == negotiated(bed.raw(port=bed.writer.port), minor, **extensions)


@pytest.mark.parametrize("minor", [0, 2])
def test_cancel_with_either_key(bed, minor):
    bed.sidecar(limit=2)
    bed.connect().execute("SELECT 1")  # the server's version is known from here on
    client, other = bed.raw(), bed.raw_session()
    client.send(wire.startup({"user": "app", "database": "orders"}, version=(3 << 16) | minor))
    client.authenticate("app", "app-secret")
    assert len(client.key[1]) == (32 if minor == 2 else 4)
    for wrong in (client.key[1][:-1] + bytes([client.key[1][-1] ^ 1]), client.key[1][:4] + b"\0" * 28, other.key[1]):
        right, client.key = client.key, (client.key[0], wrong)
        client.cancel()
        client.key = right
    client.send(wire.query("SELECT pg_sleep(20)"))
    wait_for(lambda: bed.writer.sessions("app", "query LIKE '%pg_sleep(20)%' AND state = 'active'"), what="it runs")
    client.cancel()
    with pytest.raises(wire.ServerError) as caught:
        client.until_ready()
    assert caught.value.sqlstate == "57014"
    assert client.query("SELECT 1") == [["1"]]
    assert other.query("SELECT 2") == [["2"]]


@pytest.mark.parametrize("database_tls", [True, False], ids=["database-tls", "database-plain"])
def test_direct_tls(bed, database_tls):
    bed.sidecar(tls=database_tls)
    if not database_tls:  # as then no TLS is to be had at all
        with pytest.raises(psycopg.OperationalError):
            bed.connect(sslmode="require", sslnegotiation="direct")
        return
    connection = bed.connect(sslmode="require", sslnegotiation="direct", channel_binding="require")
    assert connection.pgconn.ssl_in_use
    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.cancel()


def wrap(bed, alpn):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    plain = bed.resources.enter_context(socket.create_connection((bed.host, bed.port), timeout=10))
    return context.wrap_socket(plain, server_hostname="localhost")


def test_direct_tls_needs_the_right_protocol(bed):
    sidecar = bed.sidecar()
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        wrap(bed, ["http/1.1", "h2"]).recv(1)
    without = wrap(bed, None)
    assert b"ALPN" in without.recv(1000)
    assert wrap(bed, ["h2", "postgresql"]).selected_alpn_protocol() == "postgresql"
    assert sidecar.process.alive()
    bed.connect().execute("SELECT 1")


def test_tls_with_ssl_request_needs_no_alpn_but_takes_no_other(bed):
    bed.sidecar()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError):
        bed.raw().tls(context).login("app", "app-secret", "orders")
    assert bed.raw().tls().login("app", "app-secret", "orders").query("SELECT 1") == [["1"]]


def test_an_expired_password_counts_when_a_server_connection_is_opened(bed, role):
    """As docs/reference.md says: who is connected goes on, log-ins included, until the database is asked again."""
    role("umlaut", "secret")
    bed.sidecar(limit=1, users=("umlaut",))
    assert bed.connect("umlaut").execute("SELECT 1").fetchone() == (1,)
    bed.writer.sql("ALTER ROLE umlaut VALID UNTIL '2001-01-01'")
    assert bed.connect("umlaut").execute("SELECT 2").fetchone() == (2,)
    bed.writer.end_sessions("umlaut")
    wait_for(lambda: bed.writer.sessions("umlaut") == 0, what="the pool is empty")

    def refused():
        try:
            bed.connect("umlaut").execute("SELECT 3")
            return ""
        except psycopg.OperationalError as error:
            return str(error)
    # Credentials that were good may be being exchanged: that is waited for, as long as for a connection.
    wait_for(lambda: "the database refused the credentials" in refused(), 60, "the database is asked")
    bed.writer.sql("ALTER ROLE umlaut VALID UNTIL 'infinity'")
    wait_for(lambda: refused() == "", 30, "the user is let in again")
