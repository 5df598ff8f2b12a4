"""What a broken, wrong or hostile peer sends: refused with words where there is somebody to read them, and survived."""

import os
import socket
import struct
import time

import psycopg
import pytest

from support import wire
from support.pages import request
from support.waiting import wait_for


@pytest.fixture
def served(bed):
    """A sidecar, and the certainty at the end that it still serves and did not grow."""
    sidecar = bed.sidecar(limit=3)
    bed.connect().execute("SELECT 1")
    before = sidecar.resident_bytes()
    yield bed
    assert sidecar.process.alive(), sidecar.log()[-3000:]
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    assert sidecar.resident_bytes() - before < 40_000_000


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "tls without SSLRequest": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),
    "negative length": struct.pack("!ii", -1, wire.PROTOCOL_3_0),
    "length below the header": struct.pack("!ii", 4, wire.PROTOCOL_3_0),
    "huge start-up packet": struct.pack("!ii", 2**31 - 1, wire.PROTOCOL_3_0) + b"x" * 100_000,
    "start-up packet of 1 MB": struct.pack("!ii", 1_000_000, wire.PROTOCOL_3_0) + b"x" * 1_000_000,
    "protocol 2": struct.pack("!ii", 296, 0x20000) + bytes(288),
    "protocol 4": struct.pack("!ii", 9, 0x40000) + b"\0",
    "no terminator": struct.pack("!ii", 20, wire.PROTOCOL_3_0) + b"user\0app\0xyz",
    "no user": wire.startup({"database": "orders"}),
    "empty user": wire.startup({"user": "", "database": "orders"}),
    "name of 10 KB": wire.startup({"user": "a" * 10_000}),
    "short cancel": struct.pack("!ii", 8, wire.CANCEL_REQUEST),
    "long cancel": struct.pack("!ii", 5000, wire.CANCEL_REQUEST) + bytes(4992),
    "random": os.urandom(4096),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_before_log_in(served, name):
    client = served.raw(timeout=8)
    try:
        client.send(GARBAGE[name])
        client.socket.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert client.closed_by_peer(), "the connection has to be closed"


def test_unknown_protocol_and_no_user_get_words(served):
    for name, states in (("protocol 4", ("0A000", "08P01")), ("no user", ("28000",))):
        client = served.raw()
        client.send(GARBAGE[name])
        kind, body = client.message()
        assert kind == "E" and wire.fields(body)["C"] in states, wire.fields(body)


def test_http_on_the_database_port_gets_words(served):
    client = served.raw()
    client.send(GARBAGE["http"])
    data = b""
    try:
        while chunk := client.socket.recv(4096):
            data += chunk
    except ConnectionResetError:
        pass
    assert b"HTTP" in data or b"PostgreSQL" in data


def test_plain_bytes_after_ssl_request(served):
    """CVE-2021-23214's kind: what was sent before the handshake must never be read as if it came through TLS."""
    client = served.raw()
    client.send(struct.pack("!ii", 8, wire.SSL_REQUEST) + wire.startup({"user": "app", "database": "orders"}))
    assert client.closed_by_peer()


def test_second_ssl_request_inside_tls(served):
    client = served.raw().tls()
    client.send(struct.pack("!ii", 8, wire.SSL_REQUEST))
    answer = b""
    try:
        answer = client.socket.recv(100)
    except (ConnectionResetError, OSError):
        pass
    assert answer != b"S"


def test_second_startup_packet_during_scram(served):
    """Logging in as anyone by sending another start-up packet in the middle of the exchange."""
    client = served.raw()
    client.send(wire.startup({"user": "app", "database": "orders"}))
    assert client.message()[0] == "R"
    client.send(wire.startup({"user": "postgres", "database": "orders"}))
    assert client.closed_by_peer()


@pytest.mark.parametrize("final", [
    b"", b"c=biws", b"c=biws,r=,p=", b"c=biws,r=wrong,p=AAAA", b"x" * 100_000, b"c=biws,r=" + b"n" * 3000 + b",p=AAAA",
    b"\0\0\0\0"], ids=["empty", "no nonce", "empty nonce", "wrong nonce", "100 KB", "long nonce", "zeros"])
def test_malformed_scram(served, final):
    client = served.raw()
    client.send(wire.startup({"user": "app", "database": "orders"}))
    client.message()
    first = wire.Scram("app-secret").first()
    client.send(wire.message(b"p", wire.cstring("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first))
    client.message()
    try:
        client.send(wire.message(b"p", final))
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert client.closed_by_peer()


@pytest.mark.parametrize("data", [
    b"Q\x7f\xff\xff\xff" + b"x" * 1000, b"Q\xff\xff\xff\xff", b"Q\x00\x00\x00\x03", b"\x00\x00\x00\x00\x04",
    b"P\x00\x00\x00\x05\x00", wire.message(b"B", b"\0\0\x7f\xff"), wire.message(b"B", b"\0\0\0\0\xff\xff"),
    wire.message(b"D", b"Z\0"), wire.message(b"C", b""), wire.message(b"E", b"x"), b"p\x00\x00\x00\x08test",
    wire.message(b"P", b"s\0SELECT 1\0\x7f\xff")],
    ids=["2 GB", "negative", "short", "type 0", "no text", "bind formats", "bind values", "describe kind", "close",
         "execute", "password", "parse types"])
def test_lying_messages_after_log_in(served, data):
    """A lying length or a body that does not fit: an error or the end of this client, nobody else's business."""
    client = served.raw_session()
    client.socket.settimeout(3)
    try:
        client.send(data + wire.SYNC)
        client.socket.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert client.closed_by_peer()


def test_silent_client_is_closed(bed):
    """Who never says who they are is sent away after a minute; clients that are logged in are not touched."""
    if bed.cluster.version != 15:
        pytest.skip("no database is asked: one version is enough for a test of a minute")
    bed.sidecar()
    other = bed.connect()
    silent, half = bed.raw(timeout=75), bed.raw(timeout=75)
    half.send(b"\0\0\0\x20\0\3")
    assert silent.closed_by_peer() and half.closed_by_peer()
    assert other.execute("SELECT 1").fetchone() == (1,)


def test_too_many_clients(bed):
    bed.sidecar(limits={"maxClients": 10})
    clients = [bed.raw_session() for _ in range(10)]
    with pytest.raises(wire.ServerError) as caught, wire.Client(bed.host, bed.port) as client:
        client.login("app", "app-secret", "orders")
    assert caught.value.sqlstate == "53300"
    assert clients[0].query("SELECT 1") == [["1"]]
    clients.pop().close()

    def served() -> bool:
        with wire.Client(bed.host, bed.port) as client:
            return client.login("app", "app-secret", "orders").query("SELECT 1") == [["1"]]
    wait_for(served, what="a place is free again")


def test_log_in_flood_with_wrong_passwords(bed):
    """Queries of others go on at once, and the database hears nothing of it."""
    sidecar = bed.sidecar()
    good = bed.connect()
    good.execute("SELECT 1")
    logged = len(bed.writer.process.log())
    flood = [bed.raw() for _ in range(200)]
    for client in flood:
        client.send(wire.startup({"user": "app", "database": "orders"}))
    slowest = 0.0
    for client in flood:
        client.message()
        first = wire.Scram("wrong").first()
        client.send(wire.message(b"p", wire.cstring("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first))
    for client in flood:
        client.message()
        client.send(wire.message(b"p", b"c=biws,r=wrong,p=AAAA"))
        begun = time.monotonic()
        good.execute("SELECT 1")
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < 2
    wait_for(lambda: sidecar.metrics().sum("dbproxy_logins_total") >= 200, 20, "log-ins are counted")
    assert "password authentication failed" not in bed.writer.process.log()[logged:]


def test_client_that_goes_away_at_every_step(served):
    steps = [wire.startup({"user": "app", "database": "orders"}), wire.query("SELECT pg_sleep(0.05)"),
             wire.parse("", "SELECT 1"), wire.SYNC]
    for last in range(len(steps)):
        for linger in (True, False):
            client = served.raw()
            if last:
                client.login("app", "app-secret", "orders")
            for data in steps[1:last + 1] if last else steps[:1]:
                client.send(data)
            if linger:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    wait_for(lambda: served.writer.sessions("app", "state = 'active'") == 0, 10, "no statement is left running", 0.1)


def test_port_in_use(bed):
    """The second sidecar on a port says so and ends; the first goes on."""
    first = bed.sidecar()
    second = bed.sidecar(write=False, wait=False)
    wait_for(lambda: not second.process.alive() or str(bed.port) in second.log(), 10, "it says what is wrong")
    assert str(bed.port) in second.log() and "in use" in second.log().lower()
    second.kill()
    bed.sidecars.remove(second)
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    assert request(first.admin, "/readyz")[0] == 200


def test_certificate_that_does_not_verify(bed):
    """The database shows a certificate of another authority: no connection, and the reason in words."""
    from support.certificates import Authority
    from support.manifests import config_map, secret
    bed.write(pool={"connectionBorrowTimeoutSeconds": 2})
    other = Authority(bed.directory / "other-ca", "another CA")
    bed.manifests.write("orders-secrets.yaml", secret("orders-app", "app", "app-secret"),
                        config_map("database-ca", {"ca.pem": other.certificate.read_text()}))
    sidecar = bed.sidecar(write=False)
    with pytest.raises(psycopg.OperationalError) as caught:
        bed.connect().execute("SELECT 1")
    assert "cannot be reached" in str(caught.value) or "certificate" in str(caught.value)
    assert "certificate verification failed" in sidecar.log()
    assert {row["reason"] for row in sidecar.json("targets")} == {"CONNECTION_FAILED"}
