"""Just enough of PostgreSQL's protocol to log thousands of clients in and leave them idle."""

import base64
import functools
import hashlib
import hmac
import os
import socket
import struct


class LoginError(Exception):
    pass


def _receive(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise LoginError("the server closed the connection")
        data += more
    return data


def _message(sock):
    head = _receive(sock, 5)
    return head[:1], _receive(sock, struct.unpack("!I", head[1:])[0] - 4)


def _send(sock, kind, body):
    sock.sendall(kind + struct.pack("!I", len(body) + 4) + body)


@functools.lru_cache(maxsize=64)
def _salted(password, salt, rounds):
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)


def _scram(sock, password):
    nonce = base64.b64encode(os.urandom(18)).decode()
    bare = f"n=,r={nonce}"
    first = ("n,," + bare).encode()
    _send(sock, b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
    kind, body = _message(sock)
    if kind != b"R" or struct.unpack("!I", body[:4])[0] != 11:
        raise LoginError(error_text(kind, body))
    server_first = body[4:].decode()
    fields = dict(part.split("=", 1) for part in server_first.split(","))
    salted = _salted(password, base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c=biws,r={fields['r']}"
    transcript = f"{bare},{server_first},{final}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), transcript, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    _send(sock, b"p", f"{final},p={base64.b64encode(proof).decode()}".encode())


def error_text(kind, body):
    if kind != b"E":
        return f"unexpected message {kind!r}"
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return f"{fields.get(b'C', '?')}: {fields.get(b'M', '')}"


def login(port, user, password, database, timeout=30.0):
    """A logged-in socket, with everything up to ReadyForQuery read. Raises LoginError or OSError."""
    sock = socket.create_connection(("127.0.0.1", port), timeout)
    try:
        parameters = f"user\0{user}\0database\0{database}\0\0".encode()
        packet = struct.pack("!I", 196608) + parameters
        sock.sendall(struct.pack("!I", len(packet) + 4) + packet)
        while True:
            kind, body = _message(sock)
            if kind == b"R":
                method = struct.unpack("!I", body[:4])[0]
                if method == 10:
                    _scram(sock, password)
                elif method == 5:
                    inner = hashlib.md5((password + user).encode()).hexdigest()
                    outer = hashlib.md5(inner.encode() + body[4:8]).hexdigest()
                    _send(sock, b"p", f"md5{outer}".encode() + b"\0")
                elif method == 3:
                    _send(sock, b"p", password.encode() + b"\0")
                elif method not in (0, 12):
                    raise LoginError(f"authentication method {method} is not known here")
            elif kind == b"Z":
                return sock
            elif kind == b"E":
                raise LoginError(error_text(kind, body))
    except BaseException:
        sock.close()
        raise


def query(sock, sql):
    """Runs one simple query and reads to ReadyForQuery; the rows are thrown away."""
    _send(sock, b"Q", sql.encode() + b"\0")
    while True:
        kind, body = _message(sock)
        if kind == b"E":
            raise LoginError(error_text(kind, body))
        if kind == b"Z":
            return
