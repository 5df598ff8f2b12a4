"""What pins a client to its server connection, why, and what ends it: the table behind docs/reference.md#pins. All that
RDS Proxy pins on and that is not in it is in FREE."""

import struct

import pytest

from support import wire
from support.waiting import wait_for

# Statement, reason, what ends it before DISCARD ALL does.
PINS = [
    ("SET temp_buffers = '1600kB'", "set_variable", None),  # refused where temporary tables have been used
    ("CREATE TEMP TABLE pt (n int)", "temporary_object", "DROP TABLE pt"),
    ("SELECT 1 AS n INTO TEMP pt", "temporary_object", "DROP TABLE pt"),
    ("SELECT pg_advisory_lock(77)", "advisory_lock", "SELECT pg_advisory_unlock(77)"),
    ("DECLARE pt CURSOR WITH HOLD FOR SELECT 1", "holdable_cursor", "CLOSE pt"),
    # What nobody can ask a server for.
    ("SET seed = 0.5", "set_variable", None),
    ("SELECT setseed(0.5)", "opaque", None),
    ("SELECT set_config(n, '3MB', false) FROM (VALUES ('work_mem')) v(n)", "set_variable", None),
    ("DO $$ BEGIN EXECUTE 'SELECT 1'; END $$", "opaque", None),
]
# What is created under a search path that no text shows may be temporary: asked for once.
SETTLES = [
    "UPDATE pg_settings SET setting = '3MB' WHERE name = 'work_mem'", "DO $$ BEGIN SET search_path = public; END $$",
]
FREE = [
    "LOAD 'nosuchlibrary'", "DO $$ BEGIN SET work_mem = '3MB'; PERFORM set_config('app.tenant', 'a', false); END $$",
    "SET work_mem = '3MB'", "SET TimeZone = 'Asia/Tokyo'", "SET search_path = public", "SET app.tenant = 'a'",
    "SET ROLE NONE", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "RESET ALL",
    "SELECT set_config('work_mem', '4MB', false)", "SELECT pg_catalog.set_config('search_path', '', false)",
    "PREPARE pt AS SELECT 1", "EXECUTE pt", "DEALLOCATE pt", "LISTEN pt", "NOTIFY pt", "UNLISTEN pt",
    "SELECT pg_try_advisory_xact_lock(78)", "BEGIN", "DECLARE pt CURSOR FOR SELECT 1", "FETCH 1 FROM pt", "COMMIT",
    "SELECT '" + "x" * 70000 + "'", "DO $$ BEGIN PERFORM 1; END $$", "DISCARD PLANS", "DISCARD TEMP",
    "SELECT * FROM pg_prepared_statements", "EXPLAIN SELECT 1", "COPY (SELECT 1) TO STDOUT",
]
# By object ids that never change; what drivers call by FunctionCall.
LO_CREAT, LO_OPEN, LO_WRITE, LO_CLOSE, LO_UNLINK, ADVISORY_LOCK = 957, 952, 955, 953, 964, 2880
LARGE_OBJECTS = [715, 764, 765, 767, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172, 3457, 3458, 3459, 3460]


def pins(sidecar):
    return sorted(reason for row in sidecar.json("pins") for reason in row["reasons"])


def rested(sidecar):
    wait_for(lambda: not pins(sidecar), 30, "nothing is pinned", 0.02)


def say(client, sql):
    client.send(wire.query(sql))
    while (message := client.message())[0] != "Z":
        assert message[0] != "E" or sql.startswith("LOAD"), (sql, wire.fields(message[1]))


def test_what_pins_and_what_ends_it(bed):
    sidecar = bed.sidecar(limit=2)
    with bed.raw_session() as client:
        for sql, reason, end in PINS:
            say(client, sql)
            wait_for(lambda: pins(sidecar) == [reason], 30, f"{reason} by {sql}", 0.02)
            if end:
                say(client, end)
                rested(sidecar)
            else:
                say(client, "SELECT 1")
                assert pins(sidecar) == [reason], sql
            say(client, "DISCARD ALL")
            rested(sidecar)


def test_what_does_not_pin(bed):
    sidecar = bed.sidecar(limit=3)
    with bed.raw_session() as client:
        for sql in FREE:
            say(client, sql)
            assert pins(sidecar) == [], sql[:60]


def test_what_is_asked_for_once(bed):
    sidecar = bed.sidecar(limit=2)
    with bed.raw_session() as client:
        for sql in SETTLES:
            say(client, sql)
            rested(sidecar)


def call(oid, *arguments):
    """FunctionCall, all in binary."""
    body = struct.pack("!Ihhh", oid, 1, 1, len(arguments))
    for argument in arguments:
        body += struct.pack("!i", len(argument)) + argument
    return wire.message(b"F", body + struct.pack("!h", 1))


def result(client):
    kind, value = client.message()
    assert kind == "V", (kind, wire.fields(value) if kind == "E" else value)
    assert client.message()[0] == "Z"
    return value[4:]


@pytest.mark.parametrize("split", [False, True], ids=["whole", "byte by byte"])
def test_large_objects_by_function_call_do_not_pin(bed, split):
    sidecar = bed.sidecar(limit=1)
    known = ",".join(map(str, LARGE_OBJECTS))
    named = bed.writer.sql(f"SELECT count(*) FROM pg_proc WHERE oid IN ({known}) AND proname ~ '^lo(read|write|_)'")
    assert named == str(len(LARGE_OBJECTS))
    with bed.raw_session() as client:
        def ask(oid, *arguments):
            data = call(oid, *arguments)
            for piece in ([data[i:i + 1] for i in range(len(data))] if split else [data]):
                client.send(piece)
            return result(client)
        say(client, "BEGIN")
        number = ask(LO_CREAT, struct.pack("!i", 0x60000))
        handle = ask(LO_OPEN, number, struct.pack("!i", 0x20000))
        assert ask(LO_WRITE, handle, b"some bytes") == struct.pack("!i", 10)
        ask(LO_CLOSE, handle)
        say(client, "COMMIT")
        assert pins(sidecar) == []
        stored = bed.connect().execute("SELECT lo_get(%s)", [struct.unpack("!I", number)[0]]).fetchone()
        assert bytes(stored[0]) == b"some bytes"
        ask(LO_UNLINK, number)
        # Any other function may leave anything.
        ask(ADVISORY_LOCK, struct.pack("!q", 79))
        wait_for(lambda: pins(sidecar) == ["protocol"], 30, "pinned", 0.02)
