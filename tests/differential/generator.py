"""Random scripts of statements that make, change, undo and look at session state, by several clients in any order.

Nothing here can block another client: locks and rows that are written are each client's own.
"""

import random
import re
from functools import lru_cache

from script import SEPARATOR, Step

CLIENTS = "ABCD"
SETTINGS = {
    "work_mem": ["1MB", "3MB", "13MB"], "statement_timeout": ["60s", "90s", "0"], "lock_timeout": ["70s", "0"],
    "TimeZone": ["UTC", "Asia/Tokyo", "Europe/Berlin"], "DateStyle": ["ISO, DMY", "German", "SQL, MDY"],
    "IntervalStyle": ["postgres", "iso_8601"], "search_path": ["one", "two, public", "public"],
    "app.tenant": ["a", "b", ""], "app.other": ["x", "y"], "extra_float_digits": ["0", "1", "3"],
    "bytea_output": ["hex", "escape"], "application_name": ["first", "second", ""],
    "default_transaction_isolation": ["serializable", "read committed"], "default_transaction_read_only": ["on", "off"],
    "standard_conforming_strings": ["on", "off"], "client_encoding": ["UTF8", "LATIN1"],
    "client_min_messages": ["notice", "warning"], "enable_seqscan": ["on", "off"], "row_security": ["on", "off"],
    "plan_cache_mode": ["force_generic_plan", "auto"], "nonsense": ["1"], "max_connections": ["7"],
}
LISTS = ("search_path", "DateStyle")
AUDIT = "SELECT concat_ws(' ', " + ", ".join(f"current_setting('{name}', true)" for name in SETTINGS if "." not in name) + ")"
# A setting that nobody has set is NULL, and empty for ever once somebody has: see docs/reference.md.
LOOKS = [
    "SELECT nullif(current_setting('app.tenant', true), ''), nullif(current_setting('app.other', true), '')",
    "SELECT tag FROM here",
    "SELECT current_user, session_user", "SELECT which()", AUDIT, "SELECT tenant FROM public.tenant",
    "SELECT id FROM public.guarded ORDER BY id", "SELECT id FROM public.watched ORDER BY id",
    "SELECT to_regclass('pg_temp.scratch')::text, to_regclass('made')::text",
    "SELECT name, is_holdable FROM pg_catalog.pg_cursors WHERE name LIKE 'c%' ORDER BY name",
    "SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    "SELECT n FROM scratch ORDER BY n", "FETCH 1 FROM cur", "FETCH 1 FROM kept", "EXECUTE q1(1)", "EXECUTE q2",
    "SELECT '2024-01-02 03:04:05+00'::timestamptz, 1.1::float8, '\\x41'::bytea, '1 day 2 hours'::interval",
    r"SELECT 'a\\b', E'a\\b'", "SELECT 1", "SELECT value FROM public.rows WHERE id = 9",
    "SHOW transaction_isolation", "SHOW transaction_read_only", "SELECT harmless(1)",
]
TRANSACTIONS = ["BEGIN", "BEGIN", "COMMIT", "COMMIT", "ROLLBACK", "ROLLBACK", "START TRANSACTION", "END", "ABORT",
                "BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN READ ONLY", "begin;", "SAVEPOINT s", "SAVEPOINT s",
                "ROLLBACK TO s", "ROLLBACK TO s", "RELEASE s", "SELECT 1/0", "SELECT fails()", "COMMIT AND CHAIN",
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION READ ONLY", "nonsense"]


STARTS = 8  # ways to log in that scripts share: the native player keeps connections of each to the database itself
SCRIPTS_OF_STARTS = 1000
BEFORE_NAMES = re.compile(r"TRANSACTION ISOLATION|sets\(.*true\)|^(COMMIT|ROLLBACK|END|ABORT)( AND CHAIN)?$")
NAMES = re.compile("PREPARE|EXECUTE|DEALLOCATE|pg_prepared_statements")
HOW_IT_STANDS = "substring(statement from '(?i)prepare\\s+' || name || '[^;]*')"  # see docs/differences.md


def _start(choose: random.Random) -> str:
    parts = []
    names = [name for name in SETTINGS if name not in LISTS and name != "nonsense"]
    for name in choose.sample(names, 2):
        value = choose.choice(SETTINGS[name]).replace(" ", r"\ ")
        if not value or "\\" in value:
            continue
        parts.append(f"options=-c{name}={value}" if choose.random() < 0.4 else f"{name}={value}")
    return " ".join(dict((part.split("=")[0], part) for part in parts).values())


@lru_cache(maxsize=4)
def starts(block: int) -> list[str]:
    choose = random.Random(block)
    return [_start(choose) for _ in range(STARTS)]


class Generator:
    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self._seed = seed
        self._lives: dict[str, int] = {}

    def script(self) -> list[Step]:
        choose = self.random
        clients = CLIENTS[:choose.randint(2, len(CLIENTS))]
        steps = []
        for _ in range(choose.randint(10, 60)):
            steps.extend(self._steps(choose.choice(clients)))
        # Whatever happened before: this is what everybody has, and what somebody new gets.
        for client in clients + "Z":
            steps += [Step(client, ":", "ROLLBACK"), Step(client, ":", AUDIT), Step(client, ":", LOOKS[0]),
                      Step(client, ":", LOOKS[2])]
        return steps

    def _key(self, client: str) -> int:
        """Of advisory locks: another for each connection, since one that was cut off may live on for a moment."""
        return ord(client) * 1000 + self._lives.get(client, 0)

    def _steps(self, client: str) -> list[Step]:
        roll = self.random.random()
        if roll < 0.08:
            self._lives[client] = self._lives.get(client, 0) + 1
        if roll < 0.03:
            return [Step(client, "!", self.random.choice(["", "", "SELECT pg_sleep(9)"]))]
        if roll < 0.05:
            return [Step(client, "$")]
        if roll < 0.08:
            return [Step(client, "@", self.random.choice(starts(self._seed // SCRIPTS_OF_STARTS)))]
        if roll < 0.14:
            return self._prepared(client)
        sql = self._sql(client)
        if roll < 0.20:
            second = self._sql(client)
            if BEFORE_NAMES.search(sql) and NAMES.search(second):
                second = LOOKS[0]  # see docs/differences.md
            return [Step(client, ":", f"{sql}; {second}")]
        if roll < 0.24:
            second = self._sql(client)
            if "pg_prepared_statements" in second or "EXECUTE 'EXECUTE" in second:
                second = LOOKS[0]  # what the first statement did not mention is not put there: see docs/differences.md
            return [Step(client, "~", f"parse _ {sql} ;; bind _ _ ;; execute _ ;; parse _ {second} ;; "
                                      "bind _ _ ;; execute _ ;; sync")]
        if roll < 0.55:
            return [Step(client, "?", sql, binary=self.random.random() < 0.2)]
        return [Step(client, ":", sql)]

    def _prepared(self, client: str) -> list[Step]:
        name = self.random.choice(["s1", "s2"])
        roll = self.random.random()
        if roll < 0.4:
            sql = self.random.choice(["SELECT $1::int", "SELECT which()", "SELECT tag FROM here", LOOKS[0],
                                      self._sql(client)])
            return [Step(client, "+", f"{name}: {sql}")]
        if roll < 0.85:
            return [Step(client, "*", f"{name}{SEPARATOR}5" if self.random.random() < 0.3 else name)]
        return [Step(client, "-", name)]

    def _sql(self, client: str) -> str:
        choose = self.random
        kind = choose.choices(["set", "transaction", "look", "prepare", "temporary", "cursor", "lock", "function",
                               "write", "discard", "role", "large", "trigger", "security"],
                              [24, 18, 24, 13, 6, 6, 5, 9, 4, 2, 3, 1, 6, 5])[0]
        return getattr(self, f"_{kind}")(client)

    def _set(self, _client: str) -> str:
        choose = self.random
        name = choose.choice(list(SETTINGS))
        value = choose.choice(SETTINGS[name])
        literal = ", ".join(f"'{part.strip()}'" for part in value.split(",")) if name in LISTS else f"'{value}'"
        return choose.choice([
            f"SET {name} = {literal}", f"SET {name} TO {literal}", f"SET SESSION {name} = {literal}",
            f"SET LOCAL {name} = {literal}", f"RESET {name}", f"SET {name} TO DEFAULT", "RESET ALL",
            f"SELECT set_config('{name}', '{value}', {choose.choice(['true', 'false'])})",
            f"SET {name} = {literal}", f"/* so */ set {name.upper()} to {literal} -- why not",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "SET TIME ZONE 'Asia/Tokyo'", "SET NAMES 'LATIN1'", "SET SCHEMA 'one'",
            f"UPDATE pg_settings SET setting = setting WHERE name = '{name}'" if "." in name else f"SHOW {name}",
        ])

    def _transaction(self, _client: str) -> str:
        return self.random.choice(TRANSACTIONS)

    def _look(self, _client: str) -> str:
        return self.random.choice(LOOKS)

    def _prepare(self, client: str) -> str:
        return self.random.choice([
            "PREPARE q1(int) AS SELECT $1 + 1, current_setting('work_mem')", "PREPARE q2 AS SELECT tag FROM here",
            "PREPARE q1 AS SELECT 'another'", "DEALLOCATE q1", "DEALLOCATE q2", "DEALLOCATE ALL", "EXECUTE q1(1)",
            "EXECUTE q2", "EXPLAIN (COSTS OFF) EXECUTE q2", "EXECUTE s1", "DEALLOCATE PREPARE s1",
            "PREPARE q2 AS SET work_mem = '3MB'", "CREATE TEMP TABLE scratch AS EXECUTE q1(1)",
            f"CREATE TABLE {client.lower()}_gone (n int)", f"PREPARE q3 AS SELECT * FROM {client.lower()}_gone",
            f"DROP TABLE {client.lower()}_gone", "EXECUTE q3", "EXECUTE q3", "EXPLAIN (COSTS OFF) EXECUTE q3",
            f"SELECT name, {HOW_IT_STANDS}, parameter_types::text, from_sql FROM pg_prepared_statements ORDER BY name",
            "DO $$ DECLARE r text; BEGIN EXECUTE 'EXECUTE q1(4)' INTO r; RAISE NOTICE '%', r; END $$"])

    def _temporary(self, _client: str) -> str:
        return self.random.choice([
            "CREATE TEMP TABLE scratch (n int)", "CREATE TEMP TABLE scratch (n int) ON COMMIT DROP",
            "CREATE TEMP TABLE IF NOT EXISTS scratch (n int) ON COMMIT DELETE ROWS", "DROP TABLE scratch",
            "DROP TABLE IF EXISTS scratch", "INSERT INTO scratch VALUES (1), (2)", "SELECT 1 AS n INTO TEMP scratch",
            "CREATE TEMP VIEW seen AS SELECT 1", "DROP VIEW seen", "SELECT makes_temporary()", "DROP TABLE IF EXISTS made",
            "CREATE TEMP SEQUENCE pg_temp_numbers", "DROP SEQUENCE IF EXISTS pg_temp_numbers"])

    def _cursor(self, _client: str) -> str:
        return self.random.choice([
            "DECLARE cur CURSOR FOR SELECT generate_series(1, 9)", "FETCH 2 FROM cur", "CLOSE cur", "CLOSE ALL",
            "DECLARE kept CURSOR WITH HOLD FOR SELECT generate_series(1, 9)", "FETCH 2 FROM kept", "CLOSE kept"])

    def _lock(self, client: str) -> str:
        key = self._key(client)
        return self.random.choice([
            f"SELECT pg_advisory_lock({key})", f"SELECT pg_advisory_lock({key})", f"SELECT pg_advisory_unlock({key})",
            f"SELECT pg_advisory_unlock({key})", "SELECT pg_advisory_unlock_all()", f"SELECT pg_try_advisory_lock({key})",
            f"SELECT pg_advisory_xact_lock({key})", f"SELECT locks({key})", f"SELECT pg_advisory_lock_shared({key})"])

    def _function(self, _client: str) -> str:
        choose = self.random
        name = choose.choice(["work_mem", "app.tenant", "TimeZone", "app.other", "search_path"])
        value = choose.choice(SETTINGS[name])
        return choose.choice([
            f"SELECT sets('{name}', '{value}', {choose.choice(['true', 'false'])})", f"SELECT sets_by_sql('{value}')",
            "SELECT sets_inside()", f"DO $$ BEGIN PERFORM set_config('{name}', '{value}', false); END $$",
            f"DO $$ BEGIN SET work_mem = '13MB'; END $$", "DO $$ BEGIN NULL; END $$", f"CALL proceeds('{value}')",
            f"INSERT INTO public.triggered VALUES ('{value}')", "SELECT tells('words')",
            f"SELECT harmless({choose.randint(1, 9)})",
            f"SELECT set_config(n, '{value}', false) FROM (VALUES ('{name}')) v(n)"])

    def _write(self, client: str) -> str:
        row = CLIENTS.find(client) + 1
        return self.random.choice([
            f"UPDATE public.rows SET value = value || '!' WHERE id = {row} RETURNING value",
            f"SELECT value FROM public.rows WHERE id = {row}", f"DELETE FROM public.rows WHERE id = {row}",
            f"INSERT INTO public.rows VALUES ({row}, 'new') ON CONFLICT (id) DO NOTHING"])

    def _trigger(self, client: str) -> str:
        """What sets something where the statement does not show it: at once, at COMMIT, behind a foreign key, a rule."""
        value, row = self.random.choice(SETTINGS["app.tenant"]), CLIENTS.find(client) + 1
        return self.random.choice([
            f"INSERT INTO public.triggered VALUES ('{value}')", f"INSERT INTO public.late VALUES ('{value}')",
            "SET CONSTRAINTS ALL IMMEDIATE", "INSERT INTO public.counted VALUES ('x')", "DELETE FROM public.counted WHERE false",
            f"DELETE FROM public.parent WHERE id = {row}", f"INSERT INTO public.passing VALUES ('{value}')",
            f"INSERT INTO public.remembered VALUES ('{value}')", f"INSERT INTO public.filled (id) VALUES ({row})",
            "SELECT tenant FROM public.seen_by", f"INSERT INTO public.ruled VALUES ('{value}')"])

    def _security(self, client: str) -> str:
        tenant, row = self.random.choice("abc"), CLIENTS.find(client) + 1
        return self.random.choice([
            f"SET app.tenant = '{tenant}'", f"SELECT set_config('app.tenant', '{tenant}', false)",
            f"SET LOCAL app.tenant = '{tenant}'", f"SELECT sets_by_sql('{tenant}')", "SELECT id FROM public.guarded ORDER BY id",
            "SELECT id FROM public.watched ORDER BY id", f"UPDATE public.watched SET tenant = tenant WHERE id = {min(row, 3)}",
            f"INSERT INTO public.watched VALUES ({row + 10}, '{tenant}')", "SET row_security = off", "SET row_security = on",
            "TABLE public.tenant"])

    def _discard(self, _client: str) -> str:
        return self.random.choice(["DISCARD ALL", "DISCARD TEMP", "DISCARD PLANS", "DISCARD SEQUENCES"])

    def _role(self, _client: str) -> str:
        return self.random.choice(["SET ROLE differ_other", "RESET ROLE", "SET ROLE NONE", "SET LOCAL ROLE differ_other",
                                   "SELECT becomes('differ_other')", "SET SESSION AUTHORIZATION DEFAULT",
                                   "RESET SESSION AUTHORIZATION", "SET ROLE nobody_of_that_name"])

    def _large(self, client: str) -> str:
        number = self._key(client)
        return self.random.choice([f"SELECT lo_create({number})", f"SELECT loread(lo_open({number}, 262144), 9)",
                                   "SELECT length(repeat('x', 100000))"])
