"""A stand-in for a database that takes IAM tokens: TLS in front of a real server, and a log-in that checks a signature.

What passes is logged in to the real server over its Unix socket and passed through from then on; everything else is
refused as the real thing does it. The signature is computed here, independently of the program under test.
"""

import contextlib
import datetime
import hashlib
import hmac
import socket
import ssl
import struct
import threading
import urllib.parse

from .sigv4 import signature_of

_FORWARDED = {80877102}  # CancelRequest
_SSL_REQUEST = 80877103
_CLIENT_SSL, _CONNECT_WITH_DB, _PLUGIN_AUTH_LENENC = 0x800, 0x8, 0x200000
_CLEAR = b"mysql_clear_password"


class Gate:
    """Context manager. `real` is the path of the real server's socket; `secret_key` may be exchanged at any time."""

    def __init__(self, authority, real, secret_key: str, region: str, key_id: str):
        certificate, key = authority.issue("token-gate", key="rsa:2048")
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate, key)
        self.real, self.secret_key, self.region, self.key_id = str(real), secret_key, region, key_id
        self.tokens: list[str] = []
        self.refusals: list[str] = []
        self._ends: list[socket.socket] = []

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.host, self.port = "127.0.0.1", self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Nobody answers any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self):
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def wrong(self, token: str, user: str) -> str:
        """Why a token does not let this user in; "" where it does."""
        try:
            values = dict(urllib.parse.parse_qsl(token.split("/?", 1)[1], strict_parsing=True))
            made = datetime.datetime.strptime(values["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
            age = (datetime.datetime.now(datetime.UTC) - made).total_seconds()
            checks = {
                "host": token.startswith(f"{self.host}:{self.port}/?"), "action": values["Action"] == "connect",
                "user": values["DBUser"] == user, "age": -300 < age < int(values["X-Amz-Expires"]) <= 900,
                "key": values["X-Amz-Credential"].split("/")[0] == self.key_id,
                "region": values["X-Amz-Credential"].split("/")[2:4] == [self.region, "rds-db"],
                "signature": hmac.compare_digest(values["X-Amz-Signature"], signature_of(
                    self.secret_key, token.split("/?", 1)[1], {"host": token.split("/?", 1)[0]}))}
        except (KeyError, IndexError, ValueError) as error:
            return f"no token: {error!r}"
        return next((name for name, good in checks.items() if not good), "")

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._ends.append(near)
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        with contextlib.suppress(OSError, EOFError, struct.error, ssl.SSLError):
            with socket.socket(socket.AF_UNIX) as far:
                far.connect(self.real)
                near = self._log_in(near, far)
                if near:
                    self._ends += [near, far]
                    self._pass_on(near, far)
        if near:
            with contextlib.suppress(OSError):
                near.close()

    def _check(self, token: str, user: str) -> bool:
        why = self.wrong(token, user)
        (self.refusals if why else self.tokens).append(why or token)
        return not why

    def _pass_on(self, near, far):
        def copy(source, sink):
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        other = threading.Thread(target=copy, args=(far, near), daemon=True)
        other.start()
        copy(near, far)
        other.join()


class PostgresGate(Gate):
    def _log_in(self, near, far):
        packet = _startup(near)
        if struct.unpack("!I", packet[4:8])[0] == _SSL_REQUEST:
            near.sendall(b"S")
            near = self._tls.wrap_socket(near, server_side=True)
            packet = _startup(near)
        if struct.unpack("!I", packet[4:8])[0] in _FORWARDED:
            far.sendall(packet)
            return near
        words = packet[8:].split(b"\0")
        user = dict(zip(words[::2], words[1::2]))[b"user"].decode()
        near.sendall(b"R" + struct.pack("!II", 8, 3))
        kind, size = struct.unpack("!cI", _exactly(near, 5))
        token = _exactly(near, size - 4).rstrip(b"\0").decode()
        if kind != b"p" or not isinstance(near, ssl.SSLSocket) or not self._check(token, user):
            text = f'SFATAL\0VFATAL\0C28000\0MPAM authentication failed for user "{user}"\0\0'.encode()
            near.sendall(b"E" + struct.pack("!I", 4 + len(text)) + text)
            near.close()
            return None
        far.sendall(packet)
        return near


class MysqlGate(Gate):
    """The real server's user has mysql_native_password and `password`."""

    password = ""

    def _log_in(self, near, far):
        _, greeting = _packet(far)
        _send(near, 0, greeting)
        number, response = _packet(near)
        if len(response) == 32:
            near = self._tls.wrap_socket(near, server_side=True)
            number, response = _packet(near)
        user = response[32:response.index(b"\0", 32)]
        _send(near, number + 1, b"\xfe" + _CLEAR + b"\0")
        number, token = _packet(near)
        if not isinstance(near, ssl.SSLSocket) or not self._check(token.rstrip(b"\0").decode(), user.decode()):
            _send(near, number + 1, b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied for user")
            near.close()
            return None
        nonce_at = greeting.index(b"\0", 1) + 5
        nonce = greeting[nonce_at:nonce_at + 8] + greeting[nonce_at + 27:nonce_at + 39]
        _send(far, 1, self._own_response(response, user, nonce))
        far_number, answer = _packet(far)
        if answer[:1] == b"\xfe":
            _send(far, far_number + 1, _native(self.password, answer.split(b"\0", 2)[1][:20]))
            _, answer = _packet(far)
        _send(near, number + 1, answer)
        return near

    def _own_response(self, response, user, nonce):
        flags = struct.unpack("<I", response[:4])[0] & ~_CLIENT_SSL
        rest = response[32 + len(user) + 1:]
        rest = rest[1 + rest[0]:]
        schema, attributes = b"", b""
        if flags & _CONNECT_WITH_DB:
            schema, rest = rest[:rest.index(b"\0") + 1], rest[rest.index(b"\0") + 1:]
        plugin_end = rest.index(b"\0") + 1
        attributes = rest[plugin_end:]
        proof = _native(self.password, nonce)
        return (struct.pack("<I", flags) + response[4:32] + user + b"\0" + bytes([len(proof)]) + proof + schema
                + b"mysql_native_password\0" + attributes)


def _native(password: str, nonce: bytes) -> bytes:
    first = hashlib.sha1(password.encode()).digest()
    mask = hashlib.sha1(nonce + hashlib.sha1(first).digest()).digest()
    return bytes(a ^ b for a, b in zip(first, mask))


def _exactly(end, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = end.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _startup(end) -> bytes:
    head = _exactly(end, 4)
    return head + _exactly(end, struct.unpack("!I", head)[0] - 4)


def _packet(end) -> tuple[int, bytes]:
    low, high, number = struct.unpack("<HBB", _exactly(end, 4))
    return number, _exactly(end, low + (high << 16))


def _send(end, number: int, payload: bytes):
    end.sendall(struct.pack("<I", len(payload))[:3] + bytes([number & 255]) + payload)
