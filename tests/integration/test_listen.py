"""LISTEN without a pin: one server connection listens for all clients of its pool, and each hears what it would alone."""

import psycopg
import pytest

from support import wire
from support.waiting import wait_for


def heard(connection, count=1):
    """So many notifications that came or come, as (channel, payload, process id)."""
    notes = list(connection.notifies(timeout=10, stop_after=count))
    return [(note.channel, note.payload, note.pid) for note in notes]


def heard_by_now(connection):
    """Those that a statement brings along: as directly, it tells what was committed before it."""
    return [(note.channel, note.payload) for note in connection.notifies(timeout=0)]


def server_connections(bed):
    return int(bed.writer.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = 'orders'"))


def pins(sidecar):
    return sorted(reason for row in sidecar.json("pins") for reason in row["reasons"])


def test_many_listen_over_one_connection(bed):
    sidecar = bed.sidecar(limit=2)
    clients = [bed.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        client.execute(f"LISTEN own_{number}")
        client.execute("LISTEN everybody")
    assert not pins(sidecar)
    speaker = bed.connect()
    speaker.execute("NOTIFY everybody, 'hello'")
    speaker.execute("SELECT pg_notify('own_7', 'only you')")
    own = speaker.info.backend_pid
    for number, client in enumerate(clients):
        expected = [("everybody", "hello", own)] + ([("own_7", "only you", own)] if number == 7 else [])
        assert heard(client, len(expected)) == expected
    assert server_connections(bed) == 2
    assert sidecar.metrics().sum("dbproxy_pins_total", reason="listen") == 0


def test_ones_own_come_with_the_answer(bed):
    bed.sidecar(limit=2)
    client, other = bed.connect(), bed.connect()
    client.execute("LISTEN a")
    for turn in range(30):
        other.execute("SELECT 1")  # the same server connection, now somebody else's
        wanted = [("a", str(turn), client.info.backend_pid)]
        client.execute(f"NOTIFY a, '{turn}'")
        assert heard(client, 1) == wanted
        other.execute(f"NOTIFY a, 'of other {turn}'")
        assert heard(client, 1) == [("a", f"of other {turn}", other.info.backend_pid)]


def test_a_transaction_hears_nothing_until_it_ends(bed):
    bed.sidecar(limit=3)
    client, speaker = bed.connect(), bed.connect()
    client.execute("LISTEN a")
    with client.transaction():
        client.execute("SELECT 1")
        speaker.execute("NOTIFY a, 'early'")
        client.execute("SELECT 2")
        assert heard_by_now(client) == []
        client.execute("NOTIFY a, 'own'")
    assert [(c, p) for c, p, _ in heard(client, 2)] == [("a", "early"), ("a", "own")]


ENDS = {
    "committed": (["BEGIN", "LISTEN b", "COMMIT"], "ab"),
    "rolled back": (["BEGIN", "LISTEN b", "ROLLBACK"], "a"),
    "savepoint rolled back": (["BEGIN", "SAVEPOINT s", "LISTEN b", "ROLLBACK TO s", "COMMIT"], "a"),
    "failed": (["BEGIN", "LISTEN b", "!SELECT 1/0", "COMMIT"], "a"),
    "unlistened": (["UNLISTEN a"], ""),
    "unlistened all": (["LISTEN b", "UNLISTEN *"], ""),
    "unlistened in a transaction": (["BEGIN", "UNLISTEN a", "COMMIT"], ""),
    "unlistened in a transaction that failed": (["BEGIN", "UNLISTEN a", "ROLLBACK"], "a"),
    "unlistened behind a savepoint": (["BEGIN", "SELECT 1", "SAVEPOINT s", "UNLISTEN *", "ROLLBACK TO s", "COMMIT"], "a"),
    "unlistened and listened again": (["BEGIN", "UNLISTEN *", "LISTEN a", "LISTEN b", "COMMIT"], "ab"),
    "in one text": (["SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;"], ""),
    "in one text that fails": (["!UNLISTEN *; SELECT 1/0"], "a"),
    "discarded": (["DISCARD ALL"], ""),
    "discarded while attached": (["SELECT 1; SELECT 2", "DISCARD ALL "], ""),
    "by a block": (["DO $$ BEGIN LISTEN b; END $$"], "ab"),
    "prepared": (["PREPARE p AS SELECT 1", "DEALLOCATE p"], "a"),
    "folded and quoted": (["UNLISTEN A", 'LISTEN "b"'], "b"),
}


def several(texts):
    return any(";" in text and "$$" not in text for text in texts)


@pytest.mark.parametrize("name, extended", [(name, extended) for name, (texts, _) in ENDS.items()
                                            for extended in (False, True) if not (extended and several(texts))])
def test_what_is_listened_to_is_what_the_server_says(bed, name, extended):
    texts, expected = ENDS[name]
    bed.sidecar(limit=3)
    client, speaker = bed.connect(), bed.connect()
    client.execute("LISTEN a")
    for text in texts:
        fails = text.startswith("!")
        try:
            client.execute(text.lstrip("!"), () if extended else None, prepare=None if not extended else False,
                           binary=extended)
            assert not fails
        except psycopg.Error:
            assert fails, text
    for channel in "abz":
        speaker.execute(f"NOTIFY {channel}")
    client.execute("SELECT 'what was committed before this is told with it'")
    # What a block listens to comes by the client's own connection, in no order with the rest.
    assert "".join(sorted(channel for channel, _ in heard_by_now(client))) == expected
    listed = client.execute("SELECT string_agg(c, '' ORDER BY c) FROM pg_listening_channels() AS c").fetchone()[0]
    assert (listed or "") == expected


def test_a_loss_of_the_listening_connection_ends_who_listens(bed):
    bed.sidecar(limit=3)
    listening, other = bed.raw_session(), bed.connect()
    listening.send(wire.query("LISTEN a"))
    listening.until_ready()
    other.execute("SELECT 1")
    found = wait_for(lambda: bed.writer.sql(
        "SELECT string_agg(pid::text, ',') FROM pg_stat_activity WHERE usename = 'app'"
        " AND query ~ '^(LISTEN|SELECT pg_catalog.set_config)'"),
        what="it listens")
    bed.writer.sql(f"SELECT pg_terminate_backend(p::int) FROM unnest(string_to_array('{found}', ',')) AS p")
    while (ended := listening.message())[0] != "E":
        pass
    assert wire.fields(ended[1])["C"] == "57P01" and "notifications may have been missed" in wire.fields(ended[1])["M"]
    assert listening.closed_by_peer()
    assert other.execute("SELECT 2").fetchone() == (2,)
    again = bed.connect()
    again.execute("LISTEN a")
    other.execute("NOTIFY a, 'again'")
    assert heard(again) == [("a", "again", other.info.backend_pid)]


def test_a_connection_that_nobody_needs_for_it_goes(bed):
    sidecar = bed.sidecar(limit=2)
    for _ in range(5):
        with bed.connect() as client:
            client.execute("LISTEN a")
    wait_for(lambda: server_connections(bed) <= 1, 10, "it has gone")
    assert bed.connect().execute("SELECT pg_listening_channels()").fetchall() == []
    assert not pins(sidecar)


def test_one_connection_alone_is_pinned_instead(bed):
    sidecar = bed.sidecar(limit=1)
    client = bed.connect()
    client.execute("LISTEN a")
    wait_for(lambda: pins(sidecar) == ["listen"], 10, "it is pinned", 0.02)
    client.execute("NOTIFY a, 'x'")
    assert heard(client) == [("a", "x", client.info.backend_pid)]
    client.execute("UNLISTEN a")
    wait_for(lambda: not pins(sidecar), 10, "it is released", 0.02)


def test_clients_that_vanish_leave_nothing(bed):
    bed.sidecar(limit=2)
    for number in range(30):
        client = bed.raw_session()
        client.send(wire.query(f"LISTEN v{number % 3}"))
        client.close()
    with bed.connect() as client:
        wait_for(lambda: client.execute("SELECT pg_listening_channels()").fetchall() == [], 10, "nothing is listened to")
    wait_for(lambda: server_connections(bed) <= 2, 10, "gone")


def test_replicas_refuse_it_as_they_do(bed):
    bed.sidecar(limit=3, read_only=True)
    reader = bed.connect(port=bed.readers)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reader.execute("LISTEN a")
    reader.execute("UNLISTEN *")
    assert reader.execute("SELECT 1").fetchone() == (1,)
