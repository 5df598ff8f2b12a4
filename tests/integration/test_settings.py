"""Settings that the server does not report follow their client without a pin: a pool of one, clients interleaved."""

import psycopg
import pytest

from support import wire
from support.waiting import wait_for


def one(connection, sql, *parameters):
    row = connection.execute(sql, *parameters).fetchone()
    return row[0] if row else None


WAYS = {
    "set": ["SET work_mem = '13MB'"],
    "set session": ["SET SESSION work_mem TO '13MB'"],
    "an old name": ["SET sort_mem = '13MB'"],
    "quoted": ['SET "Work_Mem" = \'13MB\''],
    "set_config": ["SELECT set_config('work_mem', '13MB', false)"],
    "behind another": ["SELECT 1; SET work_mem = '13MB'"],
    "in a transaction": ["BEGIN", "SET work_mem = '13MB'", "COMMIT"],
    "in a savepoint": ["BEGIN", "SET work_mem = '13MB'", "SAVEPOINT s", "SET work_mem = '14MB'", "ROLLBACK TO s",
                       "COMMIT"],
    "local after it": ["BEGIN", "SET work_mem = '13MB'", "SET LOCAL work_mem = '14MB'", "COMMIT"],
    "set again, rolled back": ["SET work_mem = '13MB'", "BEGIN", "SET work_mem = '14MB'", "ROLLBACK"],
    "reset, rolled back": ["SET work_mem = '13MB'", "BEGIN", "RESET ALL", "ROLLBACK"],
    "reset all, straight away": ["SET work_mem = '14MB'", "RESET ALL", "SET work_mem = '13MB'"],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_setting_follows_its_client(bed, way):
    sidecar = bed.sidecar(limit=1)
    owner, other = bed.connect(), bed.connect()
    usual = one(other, "SHOW work_mem")
    for statement in WAYS[way]:
        owner.execute(statement)
    for _ in range(3):
        assert one(other, "SHOW work_mem") == usual
        assert one(owner, "SHOW work_mem") == "13MB"
    assert sidecar.json("pins") == []
    owner.execute("RESET work_mem")
    assert one(other, "SHOW work_mem") == usual
    assert one(owner, "SHOW work_mem") == usual


def test_what_is_undone_is_not_carried_on(bed):
    sidecar = bed.sidecar(limit=1)
    client, other = bed.connect(), bed.connect()
    usual = one(client, "SHOW work_mem")
    for statements in (["BEGIN", "SET work_mem = '13MB'", "ROLLBACK"], ["SET work_mem = '13MB'; SELECT 1/0"],
                       ["SET work_mem = '13MB'", "RESET ALL"], ["SET work_mem = '13MB'", "DISCARD ALL"],
                       ["SET work_mem = '13MB'", "SET work_mem TO DEFAULT"], ["SET LOCAL work_mem = '13MB'"],
                       ["SELECT set_config('work_mem', '13MB', true)"], ["SET work_mem = 'no number'"]):
        for statement in statements:
            try:
                client.execute(statement)
            except psycopg.Error:
                pass
        assert one(other, "SHOW work_mem") == usual, statements
        assert one(client, "SHOW work_mem") == usual, statements
    assert sidecar.json("pins") == []


def test_values_are_kept_exactly(bed):
    """Lists, quotes, backslashes, characters beyond ASCII, whatever the encodings of the two clients."""
    sidecar = bed.sidecar(limit=1)
    clients = [bed.connect(), bed.connect(), bed.connect()]
    values = ["it's \\ \"so\"", "é€ 東京", ""]
    clients[2].execute("SET client_encoding = 'SQL_ASCII'")
    clients[1].execute("SET standard_conforming_strings = off")
    for client, value in zip(clients, values):
        client.execute("SELECT set_config('app.tenant', %s, false)", [value])
    clients[0].execute("""SET search_path = "a b", 'C,d', pg_catalog""")
    path = one(clients[0], "SHOW search_path")
    for _ in range(3):
        for client, value in zip(clients, values):
            assert one(client, "SELECT current_setting('app.tenant')") in (value, value.encode())
        assert one(clients[0], "SHOW search_path") == path
        assert one(clients[1], "SHOW search_path") != path
    assert sidecar.json("pins") == []


def test_characteristics_and_isolation(bed):
    sidecar = bed.sidecar(limit=1)
    client, other = bed.connect(), bed.connect()
    client.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE")
    for _ in range(2):
        assert one(other, "SHOW transaction_isolation") == "read committed"
        assert one(other, "SHOW transaction_read_only") == "off"
        assert one(client, "SHOW transaction_isolation") == "serializable"
        assert one(client, "SHOW transaction_read_only") == "on"
    assert sidecar.json("pins") == []


def test_role_follows_its_client(bed):
    bed.writer.sql("DO $$ BEGIN CREATE ROLE settings_low; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    bed.writer.sql("GRANT settings_low TO app")
    sidecar = bed.sidecar(limit=1)
    client, other = bed.connect(), bed.connect()
    client.execute("SET work_mem = '13MB'")
    client.execute("SET ROLE settings_low")
    for _ in range(3):
        assert one(other, "SELECT current_user") == "app"
        assert one(client, "SELECT current_user || ' ' || session_user") == "settings_low app"
    other.execute("SET ROLE settings_low")
    assert one(client, "SHOW work_mem") == "13MB"
    assert one(other, "SELECT current_user") == "settings_low"
    client.execute("RESET ROLE")
    assert one(other, "SELECT current_user") == "settings_low"
    assert one(client, "SELECT current_user") == "app"
    client.execute("BEGIN")
    client.execute("SET ROLE settings_low")
    client.execute("ROLLBACK")
    assert one(other, "SELECT current_user") == "settings_low"
    assert one(client, "SELECT current_user") == "app"
    assert sidecar.json("pins") == []


def test_a_client_that_vanishes_leaves_nothing(bed):
    bed.sidecar(limit=1)
    usual = one(bed.connect(), "SHOW work_mem")
    for statement in ("SET work_mem = '13MB'", "BEGIN; SET work_mem = '13MB'",
                      "SET work_mem = '13MB'; SELECT pg_sleep(60)"):
        victim = bed.raw_session()
        if "sleep" in statement:
            victim.send(wire.query(statement))
            wait_for(lambda: bed.writer.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 10, "sleep")
        else:
            victim.query(statement)
        victim.close()
        assert wait_for(lambda: one(bed.connect(), "SHOW work_mem"), 20, "the connection is free") == usual


def test_the_same_settings_send_no_sql(bed):
    sidecar = bed.sidecar(limit=1)
    first, second = bed.connect(), bed.connect()
    for client in (first, second):
        client.execute("SET work_mem = '13MB'")
    one(first, "SHOW work_mem")
    before = sidecar.metrics().sum("dbproxy_settings_replayed_total")
    for _ in range(5):
        assert one(first, "SHOW work_mem") == one(second, "SHOW work_mem") == "13MB"
    assert sidecar.metrics().sum("dbproxy_settings_replayed_total") == before


def test_an_unknown_name_pins(bed):
    sidecar = bed.sidecar(limit=2)
    client, other = bed.connect(), bed.connect()
    client.execute("SELECT set_config(lower(%s), %s, false)", ["app.tenant", "a"])
    assert one(other, "SELECT current_setting('app.tenant', true)") != "a"
    assert one(client, "SELECT current_setting('app.tenant', true)") == "a"
    assert [pin["reasons"] for pin in sidecar.json("pins")] == [["set_variable"]]


def test_init_query_is_what_reset_leads_to(bed):
    bed.sidecar(limit=1, pool={"initQuery": "SET work_mem = '9MB'; SET app.tenant = 'nobody'"})
    client, other = bed.connect(), bed.connect()
    for reset in ("RESET work_mem", "RESET ALL", "DISCARD ALL"):
        client.execute("SET work_mem = '13MB'")
        client.execute("SET app.tenant = 'a'")
        assert one(other, "SHOW work_mem") == "9MB"
        assert one(other, "SELECT current_setting('app.tenant')") == "nobody"
        assert one(client, "SHOW work_mem") == "13MB"
        assert one(client, "SELECT current_setting('app.tenant')") == "a"
        client.execute(reset)
        assert one(other, "SHOW work_mem") == "9MB"
        assert one(client, "SHOW work_mem") == "9MB"


def test_a_statement_is_read_as_its_own_client_reads_it(bed):
    """A constant goes through its type's input function when it is prepared: under the TimeZone of whoever does."""
    bed.sidecar(limit=1)
    clients = {zone: bed.connect() for zone in ("UTC", "Asia/Tokyo", "America/New_York")}
    sql = "SELECT extract(epoch FROM '2020-01-01 00:00'::timestamptz)::int + %s"
    expected = {}
    for zone, client in clients.items():
        client.execute(f"SET TimeZone = '{zone}'")
        expected[zone] = int(bed.writer.sql(
            f"SELECT extract(epoch FROM timezone('{zone}', '2020-01-01 00:00'::timestamp))::int"))
    assert len(set(expected.values())) == 3
    for _ in range(3):
        for zone, client in clients.items():
            assert client.execute(sql, [0], prepare=True).fetchone()[0] == expected[zone], zone


def test_settings_named_by_parameters_need_no_pin(bed):
    sidecar = bed.sidecar(limit=1)
    first, second = bed.connect(), bed.connect()
    for number in range(3):
        for client, value in ((first, f"first {number}"), (second, f"second {number}")):
            client.execute("SELECT set_config(%s, %s, false)", ["app.tenant", value])
        assert one(first, "SHOW app.tenant") == f"first {number}"
        assert one(second, "SHOW app.tenant") == f"second {number}"
    assert sidecar.metrics().sum("dbproxy_pins_total") == 0


def test_what_sql_prepares_is_its_clients_until_it_is_deallocated(bed):
    sidecar = bed.sidecar(limit=1)
    first, second = bed.connect(), bed.connect()
    for end in ("DEALLOCATE mine", "DEALLOCATE ALL", "DISCARD ALL"):
        first.execute("PREPARE mine AS SELECT 1")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            second.execute("EXECUTE mine")
        assert not sidecar.json("pins")
        first.execute("BEGIN")
        first.execute("ROLLBACK")
        assert one(first, "EXECUTE mine") == 1
        first.execute(end)
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            second.execute("EXECUTE mine")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            first.execute("EXECUTE mine")
    assert sidecar.json("pins") == []


def test_execute_of_a_protocol_statement_is_each_clients_own(bed):
    sidecar = bed.sidecar(limit=1)
    sessions = []
    for number in (1, 2):
        session = bed.raw_session()
        session.send(wire.parse("mine", f"SELECT {number}") + wire.message(b"S"))
        session.until_ready()
        sessions.append(session)
    for _ in range(2):
        for number, session in enumerate(sessions, 1):
            assert session.query("EXECUTE mine") == [[str(number)]]
            session.query("DEALLOCATE mine")
            session.send(wire.parse("mine", f"SELECT {number}") + wire.message(b"S"))
            session.until_ready()
    wait_for(lambda: sidecar.json("pins") == [], 10, "nobody is pinned")
