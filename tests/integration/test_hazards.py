"""State that no statement's text shows: made by functions, and by what calls them unseen. No leak, and no idle pin."""

import contextlib

import pytest

from support.waiting import wait_for

LOOK = "SELECT current_setting('app.tenant', true)"
SCHEMA = """
CREATE TABLE plain (n int);
CREATE FUNCTION clean(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE plain SET n = 1; RETURN n; END $$;
CREATE FUNCTION become(tenant text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('app.tenant', tenant, false); RETURN tenant; END $$;
CREATE FUNCTION outer_become() RETURNS text LANGUAGE sql AS 'SELECT become(''acme'')';
CREATE FUNCTION by_tree() RETURNS text LANGUAGE sql RETURN set_config('app.tenant', 'acme', false);
CREATE FUNCTION above_tree() RETURNS text LANGUAGE sql RETURN by_tree();
CREATE FUNCTION by_default(t text DEFAULT become('acme')) RETURNS text LANGUAGE sql AS 'SELECT t';
CREATE FUNCTION dynamic() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SE' || 'T app.tenant = ''acme'''; END $$;
CREATE FUNCTION scoped() RETURNS text LANGUAGE sql SET app.tenant = 'acme' AS 'SELECT current_setting(''app.tenant'')';
CREATE FUNCTION "Odd name"() RETURNS text LANGUAGE sql AS 'SELECT become(''acme'')';
CREATE PROCEDURE work() LANGUAGE plpgsql AS $$ BEGIN PERFORM become('acme'); END $$;
CREATE FUNCTION on_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM become('acme'); RETURN NEW; END $$;
CREATE TABLE audited (n int);
CREATE TRIGGER audit BEFORE INSERT ON audited FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE TABLE parts (n int) PARTITION BY RANGE (n);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TRIGGER audit BEFORE INSERT ON parts_1 FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE TABLE parent (n int PRIMARY KEY);
INSERT INTO parent VALUES (1);
CREATE TABLE child (n int REFERENCES parent ON DELETE CASCADE);
INSERT INTO child VALUES (1);
CREATE TRIGGER audit AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE VIEW seen AS SELECT become('acme');
CREATE VIEW seen_above AS SELECT * FROM seen;
CREATE VIEW seen_builtin AS SELECT set_config('app.tenant', 'acme', false);
CREATE VIEW settings AS SELECT * FROM pg_settings WHERE name = 'work_mem';
CREATE VIEW seen_plain AS SELECT * FROM plain;
CREATE TABLE ruled (n int);
CREATE RULE ruling AS ON INSERT TO ruled DO ALSO SELECT become('acme');
CREATE TABLE defaulted (n int, t text DEFAULT become('acme'));
CREATE TABLE checked (n int CHECK (become('acme') = 'acme'));
CREATE DOMAIN watched AS int CHECK (become('acme') = 'acme');
CREATE TABLE of_domain (n watched);
CREATE TABLE guarded (n int);
INSERT INTO guarded VALUES (1);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenants ON guarded USING (become('acme') = 'acme');
CREATE FUNCTION add_state(a text, b text) RETURNS text LANGUAGE sql AS 'SELECT become(b)';
CREATE AGGREGATE gather (text) (SFUNC = add_state, STYPE = text);
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
"""
STATEFUL = {
    "function": "SELECT become('acme')", "nested": "SELECT outer_become()", "quoted": 'SELECT "Odd name"()',
    "SQL-standard body": "SELECT by_tree()", "function of a SQL-standard body": "SELECT above_tree()",
    "argument's default": "SELECT by_default()", "dynamic": "SELECT dynamic()", "procedure": "CALL work()",
    "block": "DO $$ BEGIN PERFORM become('acme'); END $$", "trigger": "INSERT INTO audited VALUES (1)",
    "trigger by COPY": "COPY audited FROM STDIN", "trigger of a partition": "INSERT INTO parts VALUES (1)",
    "trigger by cascade": "DELETE FROM parent", "view": "SELECT * FROM seen", "view of a view": "TABLE seen_above",
    "view of a built-in": "SELECT * FROM seen_builtin", "rule": "INSERT INTO ruled VALUES (1)",
    "column's default": "INSERT INTO defaulted (n) VALUES (1)", "check": "INSERT INTO checked VALUES (1)",
    "domain": "SELECT 1::watched", "column of a domain": "INSERT INTO of_domain VALUES (1)",
    "policy": "SELECT * FROM guarded", "aggregate": "SELECT gather('acme')",
}
CLEAN = ["SELECT clean(1)", "SELECT scoped()", "SELECT * FROM seen_plain", "INSERT INTO plain VALUES (1)"]


@contextlib.contextmanager
def schema(bed, *more):
    bed.writer.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO app;" + SCHEMA,
                   "orders")
    try:
        for text in more:
            bed.writer.sql(text, "orders")
        yield
    finally:
        bed.writer.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT CREATE, USAGE ON SCHEMA public TO app, "
                       "reports, legacy; GRANT USAGE ON SCHEMA public TO public", "orders")


def run(connection, text):
    if text.startswith("COPY"):
        with connection.cursor().copy(text) as copy:
            copy.write("1\n")
    else:
        connection.execute(text)


def seen(connection):
    return connection.execute(LOOK).fetchone()[0] or None


def test_no_function_leaks(bed):
    with schema(bed):
        bed.sidecar(limit=2)
        other = bed.connect()
        for name, text in STATEFUL.items():
            owner = bed.connect()
            run(owner, text)
            assert seen(other) is None, name
            assert seen(owner) == "acme", name
            owner.close()
            assert seen(other) is None, name


def test_prepared_statements_are_judged_as_well(bed):
    with schema(bed):
        bed.sidecar(limit=2)
        owner, other = bed.connect(), bed.connect()
        owner.execute("SELECT outer_become()", prepare=True)
        assert seen(other) is None and seen(owner) == "acme"


def test_what_keeps_no_state_does_not_pin(bed):
    with schema(bed):
        sidecar = bed.sidecar(limit=1)
        first, second = bed.connect(), bed.connect()
        for text in CLEAN:
            for client in (first, second):
                client.execute(text)
        assert sidecar.metrics().sum("dbproxy_pins_total") == 0


def test_made_through_the_proxy(bed):
    """Whoever is told that a function is there is judged by it, on whatever connection; so are statements that were
    prepared before it changed."""
    with schema(bed):
        sidecar = bed.sidecar(limit=3)
        maker, owner, other = bed.connect(), bed.connect(), bed.connect()
        owner.execute("SELECT clean(1)", prepare=True)
        body = "$$ BEGIN PERFORM set_config('app.tenant', 'acme', false); RETURN 1; END $$"
        maker.execute(f"CREATE FUNCTION made() RETURNS int LANGUAGE plpgsql AS {body}")
        owner.execute("SELECT made()")
        assert seen(owner) == "acme" and seen(other) is None and seen(maker) is None
        owner.close()
        owner = bed.connect()
        owner.execute("SELECT clean(1)", prepare=True)
        assert sidecar.metrics().sum("dbproxy_pins_total") == 0
        bed.writer.sql("ALTER FUNCTION clean OWNER TO app", "orders")
        maker.execute(f"CREATE OR REPLACE FUNCTION clean(n int) RETURNS int LANGUAGE plpgsql AS {body}")
        owner.execute("SELECT clean(1)", prepare=True)
        assert seen(owner) == "acme" and seen(other) is None and seen(maker) is None
        maker.execute("CREATE OR REPLACE FUNCTION clean(n int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
        pinned = sidecar.metrics().sum("dbproxy_pins_total")
        maker.execute("SELECT clean(1)")
        assert sidecar.metrics().sum("dbproxy_pins_total") == pinned


def test_made_and_used_in_one_transaction(bed):
    with schema(bed):
        bed.sidecar(limit=2)
        other = bed.connect()
        make = ("CREATE OR REPLACE FUNCTION made() RETURNS int LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM set_config('app.tenant', 'acme', false); RETURN 1; END $$")
        for number, commands in enumerate([["BEGIN", "{}", "SELECT made()", "COMMIT"], ["{}; SELECT made()"]]):
            owner = bed.connect()
            for command in commands:
                owner.execute(command.format(make), prepare=False)
            assert seen(owner) == "acme" and seen(other) is None, number
            owner.execute("DROP FUNCTION made")
            owner.close()


def test_client_that_left_after_its_change(bed):
    with schema(bed):
        bed.sidecar(limit=2)
        other = bed.connect()
        maker = bed.raw_session()
        maker.query("CREATE FUNCTION made() RETURNS text LANGUAGE sql AS 'SELECT become(''acme'')'")
        maker.close()
        owner = bed.connect()
        owner.execute("SELECT made()")
        assert seen(owner) == "acme" and seen(other) is None


def test_operator_makes_everything_a_hazard(bed):
    operator = """CREATE FUNCTION same(a text, b int) RETURNS bool LANGUAGE sql AS 'SELECT become(a) IS NOT NULL';
                  CREATE OPERATOR === (LEFTARG = text, RIGHTARG = int, FUNCTION = same)"""
    with schema(bed, operator):
        sidecar = bed.sidecar(limit=2)
        owner, other = bed.connect(), bed.connect()
        owner.execute("SELECT 'acme'::text === 1")
        assert seen(owner) == "acme"
        other.execute("BEGIN; COMMIT")
        assert seen(other) is None
        assert "operator ===" in sidecar.log()


def test_event_trigger_makes_changes_a_hazard(bed):
    trigger = """CREATE FUNCTION on_change() RETURNS event_trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM become('acme'); END $$;
                 CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION on_change()"""
    try:
        with schema(bed, trigger):
            sidecar = bed.sidecar(limit=3)
            other = bed.connect()
            other.execute("SELECT 1")
            assert sidecar.metrics().sum("dbproxy_pins_total") == 0
            for text in ("CREATE TABLE made (n int)", "SELECT 1 AS n INTO made_too", "GRANT SELECT ON made TO app",
                         "COMMENT ON TABLE made IS 'x'"):
                owner = bed.connect()
                owner.execute(text)
                assert seen(other) is None and seen(owner) == "acme", text
                owner.close()
            bed.writer.sql("DROP EVENT TRIGGER watch", "orders")
    finally:
        bed.writer.sql("DROP EVENT TRIGGER IF EXISTS watch", "orders")


def test_search_path_of_ones_own_does_not_hinder_reading(bed):
    with schema(bed, "CREATE FUNCTION hashtextextended(text, bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 1/0'"):
        bed.sidecar(limit=2)
        owner, other = bed.connect(options="-c search_path=public,pg_catalog"), bed.connect()
        owner.execute("SELECT become('acme')")
        assert seen(owner) == "acme" and seen(other) is None


def test_another_encoding_does_not_hinder_reading(bed):
    with schema(bed, "CREATE FUNCTION \"größe€\"() RETURNS text LANGUAGE sql AS 'SELECT become(''acme'')'"):
        bed.sidecar(limit=2)
        owner, other = bed.connect(client_encoding="LATIN1"), bed.connect()
        owner.execute("SELECT outer_become()")
        assert seen(owner) == "acme" and seen(other) is None


def test_made_elsewhere_is_seen_after_a_while(bed):
    """A minute, but for this test."""
    with schema(bed):
        sidecar = bed.sidecar(limit=2, env={"DBPROXY_TEST_CATALOG_AGE_MS": "500"})
        owner, other = bed.connect(), bed.connect()
        owner.execute("SELECT 1")
        bed.writer.sql("CREATE FUNCTION made() RETURNS text LANGUAGE sql AS 'SELECT become(''acme'')'", "orders")
        wait_for(lambda: sidecar.log().count("catalogue read") >= 2, 30, "the change is seen")
        owner.execute("SELECT made()")
        assert seen(owner) == "acme" and seen(other) is None
