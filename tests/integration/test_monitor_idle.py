"""monitorIdleSeconds: without clients nobody is asked, so that a database which pauses when it has no sessions can."""

import time

from support.waiting import wait_for


def asks(bed) -> bool:
    """The monitor has a session: its database is not that of clients."""
    return bed.writer.sessions("app", "datname = 'postgres'") > 0


def silent(bed, seconds=3):
    """Nothing of the kind for so long, of a monitor that asks each second."""
    since = {}

    def quiet():
        now = time.monotonic()
        if asks(bed):
            since["last"] = now
        return now - since.setdefault("last", now) >= seconds
    return quiet


def test_without_clients_there_is_no_session(bed):
    """A sidecar by itself on one version of PostgreSQL, with an operator on the other: what they ask is the same."""
    writer = {"endpoint": bed.writer.host, "port": bed.writer.port}
    bed.write(db_cluster={**writer, "monitorIdleSeconds": 1})
    sidecar = bed.sidecar(write=False) if bed.cluster.version == 15 else bed.sidecar_of(bed.operator())
    wait_for(silent(bed), 30, "nobody is asked", interval=0.1)
    assert bed.writer.sessions("app") == 0, "and nothing else is there"
    assert [row["health"] for row in sidecar.json("targets")][0] == "AVAILABLE", "as it was"
    client = bed.connect()
    assert client.execute("SELECT 42").fetchone() == (42,)
    wait_for(lambda: asks(bed), 20, "a client wakes the monitor")
    client.close()
    wait_for(silent(bed), 30, "and without clients it sleeps again", interval=0.1)
