"""One client of a script on one server: plays steps and says what came back, in a form that can be compared.

What is left out of the comparison, because it differs between any two sessions: file, line and routine of errors;
process ids (a notification says `self` or `other`); object ids from 16384 on, which are numbered in the order in which
a script meets them. ParameterStatus messages are compared as the values that a step changes, not by their places.
"""

import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import wire  # noqa: E402

from script import SEPARATOR, Step  # noqa: E402

TIMEOUT = 15.0
FIRST_OBJECT_ID = 16384
NOT_COMPARED = "FLR"  # fields of errors and notices


class Names:
    """Object ids of a script, numbered as they are met."""

    def __init__(self):
        self._known: dict[int, str] = {}

    def of(self, oid: int):
        return oid if oid < FIRST_OBJECT_ID else self._known.setdefault(oid, f"oid{len(self._known)}")


class Session:
    def __init__(self, host: str, port: int, database: str, user: str, password: str):
        self._where, self._login = (host, port), (user, password, database)
        self._client: wire.Client | None = None
        self._names = Names()
        self._told: dict[str, str] = {}  # values of ParameterStatus
        self.gone = False

    def close(self):
        if self._client:
            self._client.close()
        self._client, self.gone = None, False

    def play(self, step: Step) -> list:
        """What the server answered, as comparable values."""
        try:
            return self._play(step)
        except TimeoutError:
            self.close()
            return [("no answer",)]
        except (wire.Closed, OSError):
            self.close()
            return [("closed",)]

    def _play(self, step: Step) -> list:
        if step.kind == "@":
            return self._connect(dict(part.split("=", 1) for part in step.text.split()))
        out = [] if self._client else self._connect({})
        if not self._client:
            return out
        if step.kind == "!":
            if step.text:
                self._client.send(wire.query(step.text))
            self.close()
            return out
        if step.kind == "$":
            self._client.send(wire.TERMINATE)
            self.close()
            return out
        data, ready = self._messages(step)
        self._client.send(data)
        return out + self._answers(ready)

    def _connect(self, parameters: dict) -> list:
        self.close()
        self._client = wire.Client(*self._where, timeout=TIMEOUT)
        user, password, database = self._login
        try:
            self._client.login(user, password, database, **parameters)
        except wire.ServerError as error:
            self.close()
            return [("refused", _fields(error.fields))]
        self._told = dict(self._client.parameters)
        greeting = {name: value for name, value in self._client.parameters.items()}
        return [("greeting", tuple(sorted(greeting.items())), self._client.status)]

    def _messages(self, step: Step) -> tuple[bytes, int]:
        """The bytes, and how many times ReadyForQuery answers them."""
        if step.kind == ":":
            return wire.query(step.text), 1
        head, *values = step.text.split(SEPARATOR)
        values = [None if value == r"\N" else value for value in values]
        if step.kind == "?":
            return (wire.parse("", head) + _bind("", "", values, step.binary) + wire.describe("P") + wire.execute() +
                    wire.SYNC, 1)
        if step.kind == "+":
            name, text = head.split(": ", 1)
            return wire.parse(name, text) + wire.describe("S", name) + wire.SYNC, 1
        if step.kind == "*":
            return _bind("", head, values, step.binary) + wire.describe("P") + wire.execute() + wire.SYNC, 1
        if step.kind == "-":
            return wire.close("S", head) + wire.SYNC, 1
        if step.kind == "<":
            data = wire.query(head)
            for value in values:
                if value == r"\fail":
                    return data + wire.message(b"f", wire.cstring("as asked")), 1
                data += wire.message(b"d", ((value or r"\N") + "\n").encode())
            return data + wire.message(b"c"), 1
        return _pipeline(step.text)

    def _answers(self, ready: int) -> list:
        out, settings = [], {}
        while ready:
            kind, body = self._client.message()
            if kind == "S":
                name, value, _ = body.split(b"\0")
                settings[name.decode()] = value.decode(errors="replace")
            elif kind == "A":
                process = struct.unpack("!i", body[:4])[0]
                out.append(("A", "self" if process == self._client.key[0] else "other", body[4:]))
            elif kind in "EN":
                fields = wire.fields(body)
                out.append((kind, _fields(fields)))
                if fields.get("V") in ("FATAL", "PANIC"):
                    self.close()
                    return out
            elif kind == "T":
                out.append(("T", self._columns(body)))
            elif kind == "t":
                count = struct.unpack("!h", body[:2])[0]
                out.append(("t", tuple(self._names.of(oid) for oid in struct.unpack(f"!{count}I", body[2:]))))
            else:
                out.append((kind, body))
            ready -= kind == "Z"
        changed = {name: value for name, value in settings.items() if self._told.get(name) != value}
        self._told.update(changed)
        if changed:
            out.append(("S", tuple(sorted(changed.items()))))
        return out

    def _columns(self, body: bytes) -> tuple:
        count, at, columns = struct.unpack("!h", body[:2])[0], 2, []
        for _ in range(count):
            end = body.index(b"\0", at)
            table, number, kind, size, modifier, form = struct.unpack("!IhIhih", body[end + 1:end + 19])
            columns.append((body[at:end].decode(errors="replace"), self._names.of(table), number,
                            self._names.of(kind), size, modifier, form))
            at = end + 19
        return tuple(columns)


def _fields(fields: dict) -> tuple:
    return tuple(sorted((key, value) for key, value in fields.items() if key not in NOT_COMPARED))


def _bind(portal: str, statement: str, values, binary: bool) -> bytes:
    data = wire.bind(portal, statement, values)
    if not binary:
        return data
    body = data[5:-2] + struct.pack("!hh", 1, 1)
    return wire.message(b"B", body)


def _pipeline(text: str) -> tuple[bytes, int]:
    data, ready, open_sequence = b"", 0, False
    for part in text.split(" ;; "):
        word, _, rest = part.strip().partition(" ")
        open_sequence = word not in ("sync", "query")
        ready += word in ("sync", "query")
        if word == "sync":
            data += wire.SYNC
        elif word == "flush":
            data += wire.FLUSH
        elif word == "query":
            data += wire.query(rest)
        elif word == "parse":
            name, _, sql = rest.partition(" ")
            data += wire.parse("" if name == "_" else name, sql)
        elif word == "bind":
            portal, statement, *values = rest.split(" ")
            data += wire.bind("" if portal == "_" else portal, "" if statement == "_" else statement, values)
        elif word == "execute":
            portal, _, rows = rest.partition(" ")
            data += wire.execute("" if portal == "_" else portal, int(rows or 0))
        elif word in ("describe", "close"):
            kind, _, name = rest.partition(" ")
            name = "" if name in ("", "_") else name
            data += wire.describe(kind, name) if word == "describe" else wire.close(kind, name)
        else:
            raise ValueError(f"unknown message in a pipeline: {part!r}")
    if open_sequence:
        data, ready = data + wire.SYNC, ready + 1
    return data, ready
