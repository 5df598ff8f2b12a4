"""A pin ends when what it was for is gone, and no sooner. Pools of one: whoever is not let go blocks everybody else."""

import threading

import pytest

from support import wire
from support.waiting import wait_for

FUNCTIONS = """
CREATE OR REPLACE FUNCTION unpin_scoped(tenant text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('app.tenant', tenant, true); RETURN current_setting('app.tenant'); END $$;
CREATE OR REPLACE FUNCTION unpin_locked(keep boolean) RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_advisory_lock(31); IF NOT keep THEN PERFORM pg_advisory_unlock(31); END IF; RETURN 1; END $$;
CREATE OR REPLACE FUNCTION unpin_scratch(keep boolean) RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN CREATE TEMP TABLE unpin_s (n int); IF NOT keep THEN DROP TABLE unpin_s; END IF; RETURN 1; END $$;
CREATE OR REPLACE FUNCTION unpin_unlock(n int) RETURNS boolean LANGUAGE sql AS 'SELECT pg_advisory_unlock(n)';
CREATE OR REPLACE FUNCTION unpin_become(t text) RETURNS text LANGUAGE sql AS 'SELECT set_config(''app.tenant'', t, false)';
CREATE OR REPLACE FUNCTION unpin_computed(t text) RETURNS text LANGUAGE sql AS
  'SELECT set_config(''app.'' || ''tenant'', t, false)';
CREATE OR REPLACE PROCEDURE unpin_work() LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; COMMIT; PERFORM 2; END $$;
CREATE OR REPLACE PROCEDURE unpin_become_all() LANGUAGE plpgsql AS $$ BEGIN PERFORM unpin_become('acme'); END $$;
"""


@pytest.fixture(scope="module")
def functions(cluster):
    cluster.writer.sql(FUNCTIONS, "orders")


def pins(sidecar):
    return sorted(reason for row in sidecar.json("pins") for reason in row["reasons"])


def unpinned(sidecar):
    wait_for(lambda: not pins(sidecar), 10, "nothing is pinned", 0.02)


ENDS = {
    "temporary table dropped": (["CREATE TEMP TABLE t (n int)"], "temporary_object", ["DROP TABLE t"]),
    "temporary type and function dropped": (
        ["CREATE TYPE pg_temp.colour AS ENUM ('red')", "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"],
        "temporary_object", ["DROP FUNCTION pg_temp.f()", "DROP TYPE pg_temp.colour"]),
    "temporary tables discarded": (["CREATE TEMP TABLE t (n int)"], "temporary_object", ["DISCARD TEMP"]),
    "temporary table dropped by its commit": (
        ["BEGIN", "CREATE TEMP TABLE t (n int) ON COMMIT DROP"], "temporary_object", ["COMMIT"]),
    "temporary table rolled back": (["BEGIN", "CREATE TEMP TABLE t (n int)"], "temporary_object", ["ROLLBACK"]),
    "as many unlocks as locks": (
        ["SELECT pg_advisory_lock(7)", "SELECT pg_advisory_lock(7)", "SELECT pg_advisory_unlock(7)"], "advisory_lock",
        ["SELECT pg_advisory_unlock(7)"]),
    "all locks": (["SELECT pg_advisory_lock(8)", "SELECT pg_advisory_lock_shared(9)"], "advisory_lock",
                  ["SELECT pg_advisory_unlock_all()"]),
    "unlocked unseen": (["SELECT pg_advisory_lock(10)"], "advisory_lock", ["SELECT unpin_unlock(10)"]),
    "cursor closed": (["DECLARE c CURSOR WITH HOLD FOR SELECT 1"], "holdable_cursor", ["CLOSE c"]),
    "unlistened": (["LISTEN a", "LISTEN b", "UNLISTEN a"], "listen", ["UNLISTEN b"]),
    "unlistened all": (["LISTEN a"], "listen", ["UNLISTEN *"]),
    "listen rolled back": (["BEGIN", "LISTEN a"], "listen", ["ROLLBACK"]),
    "lock of a function": (["SELECT unpin_locked(true)"], "advisory_lock", ["SELECT pg_advisory_unlock(31)"]),
    "temporary table of a function": (["SELECT unpin_scratch(true)"], "temporary_object", ["DROP TABLE unpin_s"]),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_pin_ends_with_its_reason(bed, functions, name):
    make, reason, end = ENDS[name]
    sidecar = bed.sidecar(limit=1)
    owner = bed.connect()
    for text in make:
        owner.execute(text)
    wait_for(lambda: pins(sidecar) == [reason], 10, f"pinned by {reason}", 0.02)
    for text in end:
        owner.execute(text)
    unpinned(sidecar)
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    assert owner.execute("SELECT 2").fetchone() == (2,)
    assert sidecar.metrics().sum("dbproxy_unpins_total", reason=reason) >= 1


LEAVES_NOTHING = {
    "lock that another holds": "SELECT pg_try_advisory_lock(99)",
    "lock and unlock": "SELECT unpin_locked(false)",
    "scratch table": "SELECT unpin_scratch(false)",
    "failure": "CREATE TEMP TABLE t (n no_such_type)",
    "block": "DO $$ BEGIN PERFORM 1; CREATE TEMP TABLE t (n int); DROP TABLE t; END $$",
}
NEVER_PINS = {
    "scoped setting": "SELECT unpin_scoped('acme')",
    "procedure": "CALL unpin_work()",
    "block": "DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM pg_class; IF n = 0 THEN RAISE 'no'; END IF; END $$",
}


@pytest.mark.parametrize("name", LEAVES_NOTHING)
def test_what_has_left_nothing_does_not_stay(bed, functions, name):
    sidecar = bed.sidecar(limit=1)
    holder = bed.connect(port=bed.writer.port)
    holder.execute("SELECT pg_advisory_lock(99)")
    client = bed.raw_session()
    client.send(wire.query(LEAVES_NOTHING[name]))
    client.until_ready(raising=False)
    unpinned(sidecar)
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("name", NEVER_PINS)
def test_what_cannot_leave_anything_is_not_even_probed(bed, functions, name):
    sidecar = bed.sidecar(limit=1)
    client, other = bed.connect(), bed.connect()
    for _ in range(3):
        client.execute(NEVER_PINS[name])
        assert other.execute("SELECT current_setting('app.tenant', true)").fetchone()[0] in (None, "")
    assert sidecar.metrics().sum("dbproxy_pins_total") == 0
    assert sidecar.metrics().sum("dbproxy_pin_probes_total") == 0


FOLLOWS = {
    "function that sets": "SELECT unpin_become('acme')",
    "procedure that sets": "CALL unpin_become_all()",
    "block that sets": "DO $$ BEGIN PERFORM unpin_become('acme'); END $$",
    "block with a SET": "DO $$ BEGIN SET app.tenant = 'acme'; END $$",
}


@pytest.mark.parametrize("name", FOLLOWS)
def test_what_a_function_sets_by_name_follows_its_client(bed, functions, name):
    sidecar = bed.sidecar(limit=1)
    owner, other = bed.connect(), bed.connect()
    look = "SELECT current_setting('app.tenant', true)"
    for _ in range(3):
        owner.execute(FOLLOWS[name])
        assert other.execute(look).fetchone()[0] in (None, "")
        assert owner.execute(look).fetchone()[0] == "acme"
    assert pins(sidecar) == []
    assert sidecar.metrics().sum("dbproxy_pins_total") == 0


STAYS = {
    "computed name": "SELECT unpin_computed('acme')",
    "dynamic block": "DO $$ BEGIN EXECUTE 'SE' || 'T app.tenant = ''acme'''; END $$",
    "block in quotes": "DO 'BEGIN PERFORM unpin_become(''acme''); END'",
    "block with escapes": r"DO $$ BEGIN PERFORM E'\'' , unpin_become('acme'); END $$",
}


@pytest.mark.parametrize("name", STAYS)
def test_what_no_probe_sees_stays_pinned(bed, functions, name):
    sidecar = bed.sidecar(limit=2)
    owner, other = bed.connect(), bed.connect()
    owner.execute(STAYS[name])
    look = "SELECT current_setting('app.tenant', true)"
    for _ in range(3):
        owner.execute("SELECT pg_advisory_lock(5)")
        owner.execute("SELECT pg_advisory_unlock(5)")
        assert owner.execute(look).fetchone()[0] == "acme"
        assert other.execute(look).fetchone()[0] in (None, "")
    assert "opaque" in pins(sidecar)


def test_temporary_schema_in_the_search_path_stays_pinned(bed):
    """CREATE TABLE makes a temporary table then, and no text says so."""
    sidecar = bed.sidecar(limit=2)
    owner, other = bed.connect(), bed.connect()
    owner.execute("SET search_path = pg_temp")
    owner.execute("CREATE TABLE hidden (n int)")
    owner.execute("DROP TABLE hidden")
    owner.execute("DISCARD TEMP")
    assert other.execute("SELECT 1").fetchone() == (1,)
    owner.execute("CREATE TABLE hidden (n int)")
    assert "temporary_object" in pins(sidecar)
    assert other.execute("SELECT to_regclass('pg_temp.hidden')").fetchone()[0] is None


def test_a_pipelined_query_behind_the_probe_keeps_its_pin(bed):
    """The next lock is asked for before the probe for the last one is answered; nothing is let go in between."""
    bed.sidecar(limit=1)
    client = bed.raw_session()
    for number in range(50):
        client.send(wire.query("SELECT pg_advisory_lock(1)"))
        client.until_ready()
        client.send(wire.query("SELECT pg_advisory_unlock(1)") + wire.query(f"SELECT pg_advisory_lock({number + 2})"))
        client.until_ready()
        client.until_ready()
        mine = "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        assert client.query(mine) == [["1"]]
        client.query("SELECT pg_advisory_unlock_all()")


def test_own_operators_do_not_fool_the_probe(bed):
    sidecar = bed.sidecar(limit=2)
    owner = bed.connect()
    owner.execute("CREATE TEMP TABLE pg_locks (locktype text, pid int)")
    owner.execute("SELECT pg_advisory_lock(3)")
    owner.execute("DROP TABLE pg_temp.pg_locks")
    wait_for(lambda: pins(sidecar) == ["advisory_lock"], 10, "only the lock is left", 0.02)
    owner.execute("SELECT pg_advisory_unlock(3)")
    unpinned(sidecar)


def test_many_clients_take_turns_with_locks(bed):
    """Migration tools: each takes a lock, works, unlocks. One server connection serves them all."""
    sidecar = bed.sidecar(limit=1)
    errors = []

    def work():
        try:
            client = bed.connect()
            for _ in range(5):
                client.execute("SELECT pg_advisory_lock(4)")
                client.execute("SELECT 1")
                client.execute("SELECT pg_advisory_unlock(4)")
        except Exception as error:  # noqa: BLE001
            errors.append(error)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    unpinned(sidecar)
