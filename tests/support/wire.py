"""PostgreSQL's protocol 3 by hand, for what no driver would ever send. Blocking, one socket, no policy."""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct

PROTOCOL_3_0 = 196608
SSL_REQUEST, CANCEL_REQUEST, GSSENC_REQUEST = 80877103, 80877102, 80877104


class ServerError(Exception):
    """An ErrorResponse: its fields by their one-letter codes."""

    def __init__(self, fields: dict):
        super().__init__(f"{fields.get('S')} {fields.get('C')}: {fields.get('M')}")
        self.fields = fields
        self.sqlstate, self.message = fields.get("C", ""), fields.get("M", "")


class Closed(Exception):
    """The other side closed the connection."""


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def cstring(text) -> bytes:
    return (text.encode() if isinstance(text, str) else text) + b"\0"


def startup(parameters: dict, version: int = PROTOCOL_3_0) -> bytes:
    body = struct.pack("!i", version) + b"".join(cstring(k) + cstring(v) for k, v in parameters.items()) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def query(text: str) -> bytes:
    return message(b"Q", cstring(text))


def parse(name: str, text: str, types=()) -> bytes:
    return message(b"P", cstring(name) + cstring(text) + struct.pack("!h", len(types)) +
                   b"".join(struct.pack("!I", oid) for oid in types))


def bind(portal: str, statement: str, values=()) -> bytes:
    body = cstring(portal) + cstring(statement) + struct.pack("!hh", 0, len(values))
    for value in values:
        data = None if value is None else str(value).encode()
        body += struct.pack("!i", -1) if data is None else struct.pack("!i", len(data)) + data
    return message(b"B", body + struct.pack("!h", 0))


def describe(kind: str, name: str = "") -> bytes:
    return message(b"D", kind.encode() + cstring(name))


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message(b"E", cstring(portal) + struct.pack("!i", rows))


def close(kind: str, name: str = "") -> bytes:
    return message(b"C", kind.encode() + cstring(name))


SYNC, FLUSH, TERMINATE = message(b"S"), message(b"H"), message(b"X")


def fields(body: bytes) -> dict:
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def row(body: bytes) -> list:
    count, at, values = struct.unpack("!h", body[:2])[0], 2, []
    for _ in range(count):
        size = struct.unpack("!i", body[at:at + 4])[0]
        at += 4
        values.append(None if size < 0 else body[at:at + size].decode())
        at += max(size, 0)
    return values


class Client:
    """A raw client. Nothing is sent before login() or send()."""

    def __init__(self, host: str, port: int, timeout: float = 10, receive_buffer: int | None = None):
        if host.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
        else:
            self.socket = socket.socket()
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port))
        self.host, self.port = host, port
        self.parameters: dict[str, str] = {}
        self.key: tuple[int, bytes] | None = None
        self.status = ""
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def close(self):
        self.socket.close()

    def send(self, data: bytes):
        self.socket.sendall(data)

    def receive(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self.socket.recv(65536)
            if not data:
                raise Closed(f"closed with {len(self._buffer)} of {size} bytes")
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def message(self) -> tuple[str, bytes]:
        head = self.receive(5)
        return head[:1].decode(), self.receive(struct.unpack("!i", head[1:])[0] - 4)

    def replay(self, kind: str, body: bytes):
        """Puts a message back, to be read again."""
        self._buffer = message(kind.encode(), body) + self._buffer

    def closed_by_peer(self) -> bool:
        """Waits for the end of the stream, whatever comes before it."""
        try:
            while self.socket.recv(65536):
                pass
            return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def tls(self, context: ssl.SSLContext | None = None) -> "Client":
        self.send(struct.pack("!ii", 8, SSL_REQUEST))
        answer = self.receive(1)
        if answer != b"S":
            raise ServerError({"S": "FATAL", "C": "", "M": f"SSLRequest answered with {answer!r}"})
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        return self

    def login(self, user: str, password: str, database: str, **parameters) -> "Client":
        self.send(startup({"user": user, "database": database, **parameters}))
        return self.authenticate(user, password)

    def authenticate(self, user: str, password: str) -> "Client":
        exchange = None
        while True:
            kind, body = self.message()
            if kind == "E":
                raise ServerError(fields(body))
            if kind == "R":
                code = struct.unpack("!i", body[:4])[0]
                if code == 5:
                    inner = hashlib.md5(password.encode() + user.encode()).hexdigest()
                    digest = hashlib.md5(inner.encode() + body[4:8]).hexdigest()
                    self.send(message(b"p", cstring("md5" + digest)))
                elif code == 3:
                    self.send(message(b"p", cstring(password)))
                elif code == 10:
                    exchange = Scram(password)
                    first = exchange.first()
                    self.send(message(b"p", cstring("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first))
                elif code == 11:
                    self.send(message(b"p", exchange.final(body[4:])))
                elif code == 12:
                    exchange.verify(body[4:])
            elif kind == "S":
                name, value, _ = body.split(b"\0")
                self.parameters[name.decode()] = value.decode()
            elif kind == "K":
                self.key = struct.unpack("!i", body[:4])[0], body[4:]
            elif kind == "Z":
                self.status = body.decode()
                return self

    def until_ready(self, raising: bool = True) -> list[tuple[str, bytes]]:
        """All messages up to and without ReadyForQuery."""
        seen, error = [], None
        while True:
            kind, body = self.message()
            if kind == "Z":
                self.status = body.decode()
                if error and raising:
                    raise error
                return seen
            if kind == "S":
                name, value, _ = body.split(b"\0")
                self.parameters[name.decode()] = value.decode()
            if kind == "E":
                error = error or ServerError(fields(body))
            seen.append((kind, body))

    def query(self, text: str) -> list[list]:
        """Rows of a simple query, all as text."""
        self.send(query(text))
        return [row(body) for kind, body in self.until_ready() if kind == "D"]

    def cancel(self):
        """As libpq: over a connection of its own, without TLS."""
        with Client(self.host, self.port) as other:
            other.send(struct.pack("!iii", 12 + len(self.key[1]), CANCEL_REQUEST, self.key[0]) + self.key[1])
            other.closed_by_peer()


class Scram:
    """The client's half of SCRAM-SHA-256 (RFC 5802), without channel binding."""

    def __init__(self, password: str):
        self._password = password.encode()
        self._first_bare = b"n=,r=" + base64.b64encode(os.urandom(18))
        self._verifier = b""

    def first(self) -> bytes:
        return b"n,," + self._first_bare

    def final(self, server_first: bytes) -> bytes:
        given = dict(part.split(b"=", 1) for part in server_first.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self._password, base64.b64decode(given[b"s"]), int(given[b"i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = b"c=biws,r=" + given[b"r"]
        text = self._first_bare + b"," + server_first + b"," + without_proof
        signature = hmac.digest(hashlib.sha256(client_key).digest(), text, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self._verifier = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), text, "sha256")
        return without_proof + b",p=" + base64.b64encode(proof)

    def verify(self, server_final: bytes):
        if base64.b64decode(server_final[2:]) != self._verifier:
            raise AssertionError("the server's signature is wrong")
