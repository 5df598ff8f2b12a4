"""One client of a script on one server, packet by packet: what came back, in a form that can be compared.

What is left out because it differs between any two sessions: the statement's number, the database's name (each side has
one of its own), the flag that session state follows, and what follows.
"""

import contextlib
import struct

import pymysql
from pymysql.constants import CLIENT, COMMAND

MORE, STATE_CHANGED, CURSOR, LAST_ROW = 0x8, 0x4000, 0x40, 0x80
DEPRECATE_EOF, SESSION_TRACK = 1 << 24, 1 << 23
UNKNOWN_STATEMENT = 1243
RESET, SET_OPTION, STMT_RESET = 0x1F, 0x1B, 0x1A


class Client:
    """`modern`: with DEPRECATE_EOF, as newer drivers have it."""

    def __init__(self, port: int, user: str, password: str, schema: str, modern: bool = False):
        self._options = {"host": "127.0.0.1", "port": port, "user": user, "password": password, "database": schema,
                         "autocommit": None, "client_flag": CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS,
                         "ssl_disabled": True, "connect_timeout": 20, "read_timeout": 20}
        self._schema, self._modern = schema, modern
        self._connection = None
        self._statements: dict[str, tuple[int, int]] = {}
        self._types_sent: set[str] = set()

    def close(self):
        if self._connection:
            with contextlib.suppress(Exception):
                self._connection._force_close()
        self._connection = None

    def play(self, step) -> list:
        try:
            if self._connection is None:
                self._connection = pymysql.connect(**self._options)
            return self._play(step)
        except pymysql.err.OperationalError as error:
            if error.args[0] in (2006, 2013, 0):
                self.close()
                return [("closed",)]
            return [("error", *error.args)]

    def _play(self, step) -> list:
        if step.kind == ":":
            self._send(COMMAND.COM_QUERY, step.text.encode("utf8"))
            return self._results()
        if step.kind == "?":
            return self._once(*step.text.split(" | "))
        if step.kind == "+":
            name, text = step.text.split(": ", 1)
            return self._prepare(name, text)
        if step.kind == "*":
            head, *values = step.text.split(" | ")
            return self._execute(head, values)
        if step.kind == "-":
            if step.text in self._statements:
                self._send(COMMAND.COM_STMT_CLOSE, struct.pack("<I", self._statements.pop(step.text)[0]))
            return []
        if step.kind == "$":
            self._send(COMMAND.COM_QUIT, b"")
            self.close()
            return []
        if step.kind == "!":
            if step.text:
                self._send(COMMAND.COM_QUERY, step.text.encode())
            self.close()
            return []
        return self._command(*step.text.split(" ", 1))

    def _command(self, word: str, rest: str = "") -> list:
        if word == "reset":
            self._statements.clear()
            self._send(RESET, b"")
        elif word == "db":
            name = self._schema if rest == "own" else rest
            self._send(COMMAND.COM_INIT_DB, name.encode())
            answer = self._packet(self._read())  # MySQL counts warnings of the statement before, or not
            return [answer[:4] if answer[0] == "ok" else answer]
        elif word == "ping":
            self._send(COMMAND.COM_PING, b"")
        elif word == "option":
            self._send(SET_OPTION, struct.pack("<H", int(rest)))
            return [self._packet(self._read())[:1]]
        else:
            raise ValueError(f"unknown command {word!r}")
        return [self._packet(self._read())]

    def _once(self, text: str, *values) -> list:
        out = self._prepare("", text)
        if "" in self._statements:
            out += self._execute("", list(values))
            self._send(COMMAND.COM_STMT_CLOSE, struct.pack("<I", self._statements.pop("")[0]))
        return out

    def _prepare(self, name: str, text: str) -> list:
        if name in self._statements:
            self._send(COMMAND.COM_STMT_CLOSE, struct.pack("<I", self._statements.pop(name)[0]))
        self._types_sent.discard(name)
        self._send(COMMAND.COM_STMT_PREPARE, text.encode())
        first = self._read()
        if first[0] == 0xFF:
            return [self._packet(first)]
        number, columns, parameters = struct.unpack("<IHH", first[1:9])
        out = [("prepared", columns, parameters, first[9:])]
        for count in (parameters, columns):
            out += [self._raw(self._read()) for _ in range(count)]
            if count:
                out.append(self._packet(self._read())[:1])
        self._statements[name] = (number, parameters)
        return out

    def _execute(self, name: str, values: list[str]) -> list:
        if name not in self._statements:
            return []  # an error that is the proxy's own, in words that each server has others for
        number, parameters = self._statements[name]
        values = (values + [r"\N"] * parameters)[:parameters]
        body = struct.pack("<IBI", number, 0, 1)
        if parameters:
            nulls = bytearray((parameters + 7) // 8)
            for at, value in enumerate(values):
                if value == r"\N":
                    nulls[at // 8] |= 1 << (at % 8)
            body += bytes(nulls)
            # The second time a driver leaves the types out.
            fresh = name not in self._types_sent
            self._types_sent.add(name)
            body += b"\1" + b"\xfd\0" * parameters if fresh else b"\0"
            body += b"".join(bytes([len(value)]) + value.encode() for value in values if value != r"\N")
        self._send(COMMAND.COM_STMT_EXECUTE, body)
        return self._results()

    def _results(self) -> list:
        out, more = [], True
        while more:
            first = self._read()
            kind = first[0]
            if kind in (0x00, 0xFF):
                out.append(self._packet(first))
                more = kind == 0x00 and out[-1][3] & MORE
                continue
            out.append(("columns", kind))
            out += [self._raw(self._read()) for _ in range(kind)]
            # Its flags and warnings are those of the statement's end, which nobody knows yet who is not the server.
            end = self._packet(self._read())
            out.append(("columns end", end[0]))
            while True:
                row = self._read()
                if row[0] == 0xFF or (row[0] == 0xFE and len(row) < 9):
                    out.append(self._packet(row))
                    break
                out.append(self._raw(row))
            more = out[-1][0] == "eof" and out[-1][2] & MORE
        return out

    def _send(self, command: int, body: bytes):
        connection = self._connection
        connection._next_seq_id = 0
        connection.write_packet(bytes([command]) + body)

    def _read(self) -> bytes:
        return self._fetch()

    def _fetch(self) -> bytes:
        connection, data = self._connection, b""
        while True:
            low, high, number = struct.unpack("<HBB", connection._read_bytes(4))
            size = low + (high << 16)
            if number != connection._next_seq_id:
                raise ValueError(f"the packet has the number {number}, expected {connection._next_seq_id}")
            connection._next_seq_id = (connection._next_seq_id + 1) % 256
            data += connection._read_bytes(size)
            if size < 0xFFFFFF:
                return data

    def _raw(self, payload: bytes):
        for name in (b"ROW_COUNT()", b"FOUND_ROWS()", b"warning_count", b"error_count"):
            if payload.startswith(b"\3def\0\0\0") and name in payload:
                return name  # what stands in their place is of another length
        name = self._schema.encode()
        return payload.replace(bytes([len(name)]) + name, b"\4HERE").replace(name, b"HERE")

    def _packet(self, payload: bytes) -> tuple:
        if payload[0] == 0xFF:
            code = struct.unpack("<H", payload[1:3])[0]
            # Of a statement that is not there servers name the function of theirs that noticed.
            return ("error", code, self._raw(payload[3:]) if code != UNKNOWN_STATEMENT else b"")
        if payload[0] == 0xFE and len(payload) < 9:
            warnings, status = struct.unpack("<HH", payload[1:5])
            return ("eof", warnings, status & ~STATE_CHANGED)
        affected, at = _lenenc(payload, 1)
        last, at = _lenenc(payload, at)
        status, warnings = struct.unpack("<HH", payload[at:at + 4])
        return ("ok", affected, last, status & ~STATE_CHANGED, warnings, self._raw(payload[at + 4:]))


def _lenenc(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    for mark, size in ((0xFC, 2), (0xFD, 3), (0xFE, 8)):
        if first == mark:
            return int.from_bytes(data[at + 1:at + 1 + size], "little"), at + 1 + size
    return first, at + 1
