"""The database is asked to notice by itself when a sidecar's node is gone."""

SHOWN = "SELECT string_agg(current_setting('tcp_keepalives_' || word), ' ' ORDER BY word) FROM unnest(%s::text[]) word"
WORDS = ["idle", "interval", "count"]


def test_server_connections_ask_for_short_keepalives(bed):
    bed.sidecar()
    client = bed.connect()
    assert client.execute(SHOWN, (WORDS,)).fetchone() == ("3 15 5",)
    client.execute("DISCARD ALL")
    assert client.execute(SHOWN, (WORDS,)).fetchone() == ("3 15 5",), "RESET leads to the same"
    other = bed.connect(options="-c tcp_keepalives_idle=77")
    assert other.execute(SHOWN, (WORDS,)).fetchone() == ("3 77 5",), "what a client asks for is its own"
    assert client.execute(SHOWN, (WORDS,)).fetchone() == ("3 15 5",)
