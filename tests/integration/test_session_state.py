"""What one client sets is there for that client, on whatever connection, and for nobody else. Never a leak."""

import psycopg
import pytest

from support import wire
from support.waiting import wait_for


def show(connection, name) -> str:
    return connection.execute(f"SHOW {name}").fetchone()[0]


def test_reported_settings_follow_their_client(bed):
    """A pool of one, clients interleaved: application_name, TimeZone, DateStyle and the like, each its own."""
    sidecar = bed.sidecar(limit=1)
    zones = ["Asia/Tokyo", "Europe/Berlin", "America/New_York", "UTC"]
    clients = [bed.connect(application_name=f"client-{number}") for number in range(4)]
    for number, client in enumerate(clients):
        client.execute(f"SET TimeZone = '{zones[number]}'")
    clients[1].execute("SET DateStyle = 'German'")
    clients[2].execute("SET IntervalStyle = 'iso_8601'")
    clients[3].execute("SET client_encoding = 'LATIN1'")
    for _ in range(5):
        for number, client in enumerate(clients):
            assert show(client, "TimeZone") == zones[number]
            assert show(client, "application_name") == f"client-{number}"
            assert client.info.parameter_status("TimeZone") == zones[number]
    assert show(clients[1], "DateStyle").startswith("German")
    assert not show(clients[0], "DateStyle").startswith("German")
    assert show(clients[2], "IntervalStyle") == "iso_8601" and show(clients[0], "IntervalStyle") == "postgres"
    assert show(clients[3], "client_encoding") == "LATIN1" and show(clients[0], "client_encoding") == "UTF8"
    assert sum(row["serversPinned"] for row in sidecar.json("pools")) == 0


def test_reset_goes_back_to_the_clients_own_start(bed):
    bed.sidecar(limit=1)
    client, other = bed.connect(options="-c TimeZone=Asia/Tokyo"), bed.connect()
    client.execute("SET TimeZone = 'Europe/Berlin'")
    other.execute("SELECT 1")
    client.execute("RESET TimeZone")
    other.execute("SELECT 1")
    assert show(client, "TimeZone") == "Asia/Tokyo"
    assert show(other, "TimeZone") == bed.writer.sql("SHOW TimeZone")


def test_set_is_undone_by_rollback(bed):
    bed.sidecar(limit=1)
    client, other = bed.connect(), bed.connect()
    client.execute("SET TimeZone = 'Asia/Tokyo'")
    client.execute("BEGIN")
    client.execute("SET TimeZone = 'Europe/Berlin'")
    client.execute("ROLLBACK")
    other.execute("SELECT 1")
    assert show(client, "TimeZone") == "Asia/Tokyo"
    client.execute("BEGIN")
    client.execute("SET LOCAL TimeZone = 'Europe/Berlin'")
    client.execute("COMMIT")
    other.execute("SELECT 1")
    assert show(client, "TimeZone") == "Asia/Tokyo"


def test_start_settings_do_not_part_the_pool(bed):
    """Clients that start with other settings share a server connection, and each has its own."""
    bed.sidecar(limit=1)
    clients = [bed.connect(options=f"-c work_mem={number + 1}MB -c search_path=s{number}", application_name=f"c{number}")
               for number in range(3)]
    pids = set()
    for _ in range(3):
        for number, client in enumerate(clients):
            assert show(client, "work_mem") == f"{number + 1}MB" and show(client, "search_path") == f"s{number}"
            pids.add(client.execute("SELECT pg_backend_pid()").fetchone()[0])
            client.execute("SET work_mem = '13MB'")
            client.execute("RESET work_mem")
    assert len(pids) == 1
    # What only a start can set has a pool of its own; what cannot be set at all is refused in the server's words.
    other = bed.connect(options="-c work_mem=5MB -c ignore_system_indexes=off")
    assert show(other, "work_mem") == "5MB"
    with pytest.raises(psycopg.OperationalError, match='invalid value for parameter "work_mem": "much"'):
        bed.connect(options="-c work_mem=much")


def test_default_application_name_tells_the_pod(bed):
    bed.write()
    bed.sidecar_of(bed.operator())
    client = bed.connect()
    assert client.info.parameter_status("application_name") == "dbproxy/shop/orders-1"
    assert show(client, "application_name") == "dbproxy/shop/orders-1"
    client.execute("SET application_name = 'mine'")
    client.execute("RESET application_name")
    assert show(client, "application_name") == "dbproxy/shop/orders-1"
    assert show(bed.connect(application_name="own"), "application_name") == "own"
    assert show(bed.connect(options="-c application_name=too"), "application_name") == "too"


def test_a_new_statement_knows_what_others_did_to_the_schema(bed):
    """Behind the sidecar's back, outside and inside of a transaction, on the connection where it stands already."""
    bed.sidecar(limit=1)
    bed.writer.sql("DROP TABLE IF EXISTS widening; CREATE TABLE widening (a int); "
                   "GRANT SELECT ON widening TO app; INSERT INTO widening VALUES (1)", "orders")
    select = "SELECT * FROM widening"
    old = bed.connect()
    assert old.execute(select, prepare=True).fetchone() == (1,)
    for columns in (2, 3):
        bed.writer.sql(f"ALTER TABLE widening ADD COLUMN c{columns} int DEFAULT {columns}", "orders")
        new = bed.connect(autocommit=columns == 2)
        for _ in range(2):
            assert len(new.execute(select, prepare=True).fetchone()) == columns
        new.close()
    bed.writer.sql("DROP TABLE widening", "orders")


LEAKS = {
    "set": ("SET work_mem = '13MB'", "SHOW work_mem", "13MB"),
    "set_config": ("SELECT set_config('work_mem', '13MB', false)", "SHOW work_mem", "13MB"),
    "set in several statements": ("SELECT 1; SET work_mem = '13MB'", "SHOW work_mem", "13MB"),
    "search_path": ("SET search_path = pg_catalog", "SHOW search_path", "pg_catalog"),
    "set in a DO block": ("DO $$ BEGIN PERFORM set_config('work_mem', '13MB', false); END $$", "SHOW work_mem",
                          "13MB"),
    "temporary table": ("CREATE TEMP TABLE leak (n int)", "SELECT to_regclass('pg_temp.leak')::text", "leak"),
    "select into temp": ("SELECT 1 AS n INTO TEMP leak", "SELECT to_regclass('pg_temp.leak')::text", "leak"),
    "advisory lock": ("SELECT pg_advisory_lock(42)",
                      "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
                      "1"),
    "listen": ("LISTEN orders_changed", "SELECT pg_listening_channels()", "orders_changed"),
    "cursor with hold": ("DECLARE leak CURSOR WITH HOLD FOR SELECT 1", "SELECT name FROM pg_cursors", "leak"),
    "prepare": ("PREPARE leak AS SELECT 1", "SELECT name FROM pg_prepared_statements WHERE from_sql", "leak"),
    "session characteristics": ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                                "SHOW default_transaction_read_only", "on"),
    "custom setting": ("SET app.tenant = '13'", "SELECT current_setting('app.tenant', true)", "13"),
    "comment before": ("/* a */ -- b\n  set work_mem to '13MB'", "SHOW work_mem", "13MB"),
}


@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_nothing_leaks(bed, name, protocol):
    """State made by one client stays with it for as long as it lives and is never seen by another."""
    make, look, value = LEAKS[name]
    if protocol == "extended" and make.startswith("SELECT 1;"):
        pytest.skip("one statement per Parse")
    bed.sidecar(limit=2)
    owner, other = bed.connect(), bed.connect()
    owner.execute(make, prepare=True if protocol == "extended" else None)

    def seen(connection):
        row = connection.execute(look).fetchone()
        return row[0] if row else None
    for _ in range(3):
        assert seen(owner) == value
        assert seen(other) != value
    owner.close()
    for _ in range(3):
        fresh = bed.connect()
        assert seen(fresh) != value
        assert seen(other) != value
        fresh.close()


def test_prepared_statement_of_sql(bed):
    bed.sidecar(limit=2)
    owner, other = bed.connect(), bed.connect()
    owner.execute("PREPARE q (int) AS SELECT $1 + 1")
    other.execute("PREPARE q (int) AS SELECT $1 + 2")
    for _ in range(3):
        assert owner.execute("EXECUTE q (1)").fetchone() == (2,)
        assert other.execute("EXECUTE q (1)").fetchone() == (3,)
    owner.execute("DEALLOCATE q")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        owner.execute("EXECUTE q (1)")
    assert other.execute("EXECUTE q (1)").fetchone() == (3,)


def test_prepare_in_sql_needs_no_pin(bed):
    """One server connection for three clients, each with statements of its own under the same names."""
    sidecar = bed.sidecar(limit=1)
    clients = [bed.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        client.execute(f"PREPARE q (int) AS SELECT $1 + {number}", prepare=False)
        client.execute(f"PREPARE other AS SELECT 'of {number}'")
    for _ in range(3):
        for number, client in enumerate(clients):
            assert client.execute("EXECUTE q (10)").fetchone() == (10 + number,)
            assert client.execute("SELECT 1; EXECUTE other").nextset()
    with clients[0].transaction():
        clients[0].execute("DEALLOCATE q")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName, match='"q" does not exist'):
        clients[0].execute("EXECUTE q (1)")
    with pytest.raises(psycopg.errors.DuplicatePreparedStatement, match='"q" already exists'):
        clients[1].execute("PREPARE q AS SELECT 1")
    with pytest.raises(psycopg.errors.UndefinedColumn) as error:
        clients[2].execute("EXECUTE q (nonsense)")
    assert error.value.diag.statement_position == "12"
    assert sidecar.metrics().sum("dbproxy_pins_total") == 0 and not sidecar.json("pins")
    # Who leaves at once leaves no name to the next.
    raw = bed.raw_session()
    raw.send(wire.query("PREPARE left_behind AS SELECT 1") + wire.TERMINATE)
    raw.closed_by_peer()
    assert clients[1].execute("SELECT count(*) FROM pg_prepared_statements WHERE name = 'left_behind'").fetchone() == (0,)
    assert clients[1].execute("SELECT name FROM pg_prepared_statements WHERE name !~ '^dbproxy' ORDER BY 1").fetchall() == [
        ("other",), ("q",)]


def test_listen_delivers(bed):
    bed.sidecar(limit=3)
    listener, speaker = bed.connect(), bed.connect()
    listener.execute("LISTEN news")
    speaker.execute("NOTIFY news, 'hello'")
    note = next(listener.notifies(timeout=10))
    assert (note.channel, note.payload) == ("news", "hello")


def test_pins_are_shown_and_end_with_their_client(bed):
    sidecar = bed.sidecar(limit=3)
    client = bed.connect(application_name="pinner")
    client.execute("CREATE TEMP TABLE pinned (n int)")
    rows = wait_for(lambda: sidecar.json("pins"), what="a pin is shown")
    assert len(rows) == 1
    assert rows[0]["applicationName"] == "pinner" and rows[0]["user"] == "app" and rows[0]["reasons"]
    assert sidecar.metrics().sum("dbproxy_pins_total") >= 1
    client.close()
    wait_for(lambda: not sidecar.json("pins"), what="the pin is gone")
    assert bed.connect().execute("SELECT to_regclass('pg_temp.pinned')").fetchone() == (None,)


def test_the_pinning_filter_of_mysql_changes_nothing_here(bed):
    """EXCLUDE_VARIABLE_SETS is for MySQL, as with AWS: on PostgreSQL no variable pins or leaks, with it or without."""
    sidecar = bed.sidecar(limit=2, pool={"sessionPinningFilters": ["EXCLUDE_VARIABLE_SETS"]})
    first, second = bed.connect(), bed.connect()
    first.execute("SET work_mem = '13MB'")
    assert second.execute("SHOW work_mem").fetchone()[0] != "13MB"
    assert first.execute("SHOW work_mem").fetchone()[0] == "13MB"
    assert sidecar.json("pins") == []


def test_advisory_lock_of_a_killed_client_is_freed(bed):
    bed.sidecar(limit=2)
    victim = bed.raw_session()
    victim.query("SELECT pg_advisory_lock(77)")
    victim.close()
    other = bed.connect()
    wait_for(lambda: other.execute("SELECT pg_try_advisory_lock(77)").fetchone()[0], 10, "the lock is free", 0.1)


def test_sequences_pin_only_where_that_is_asked_for(bed):
    """As poolers do by default, as RDS Proxy does with sequencePinning."""
    sidecar = bed.sidecar(limit=2)
    client = bed.connect()
    client.execute("DROP SEQUENCE IF EXISTS numbers; CREATE SEQUENCE numbers")
    client.execute("SELECT nextval('numbers')", prepare=True)
    assert sidecar.json("pins") == []
    bed.manifests.set_spec(sequencePinning="On")

    def pinned():
        with bed.connect() as other:
            other.execute("SELECT nextval('numbers')")
            row = [pin for pin in sidecar.json("pins") if pin["reasons"] == ["sequence"]]
            return row and row[0]["pinnedSeconds"] >= 0 and "nextval" in row[0]["statementDigest"]
    wait_for(pinned, 10, "nextval pins", 0.1)
    number, = client.execute("SELECT nextval('numbers')", prepare=True).fetchone()
    assert client.execute("SELECT currval('numbers'), lastval()").fetchone() == (number, number)
    assert [pin["reasons"] for pin in sidecar.json("pins")] == [["sequence"]]


def test_defaults_that_are_altered_are_in_force_for_who_comes_later(bed):
    """Those of the database and those of the role, reported or not; who is there keeps what it was told."""
    bed.writer.sql("CREATE DATABASE altered OWNER app; GRANT CREATE ON SCHEMA public TO app")
    bed.sidecar(limit=3)
    try:
        here = bed.connect(dbname="altered")
        others = [bed.connect(dbname="altered") for _ in range(2)]
        for other in others:
            other.execute("BEGIN")  # so that there are three server connections
            other.execute("SELECT 1")
        before = here.execute("SELECT current_setting('TimeZone'), current_setting('lock_timeout')").fetchone()
        for other in others:
            other.execute("COMMIT")
        here.execute("ALTER DATABASE altered SET lock_timeout = '71s'")
        here.execute("BEGIN")
        here.execute("ALTER DATABASE altered SET TimeZone = 'Asia/Tokyo'")
        here.execute("COMMIT")
        for _ in range(4):
            later = bed.connect(dbname="altered")
            assert later.info.parameter_status("TimeZone") == "Asia/Tokyo"
            assert later.execute("SELECT current_setting('TimeZone'), current_setting('lock_timeout')").fetchone() == \
                ("Asia/Tokyo", "71s")
        assert here.execute("SELECT current_setting('TimeZone')").fetchone() == before[:1]
    finally:
        bed.writer.sql("DROP DATABASE altered WITH (FORCE)")
