#include "tests/unit/session_postgres/classify_support.hpp"

namespace dbproxy::session::postgres {
namespace {

TEST(Classify, OrdinaryStatementsDoNotPin) {
  check({
      {"", ""},
      {"SELECT 1", ""},
      {"SELECT * FROM settings WHERE name = 'set_config' AND v = 'pg_advisory_lock(1)'", ""},
      {"UPDATE t SET x = 1, search_path = 2 WHERE id = $1 RETURNING *", ""},
      {"INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET x = excluded.x", ""},
      {"INSERT INTO temp (a) VALUES (1)", ""},
      {"INSERT INTO temporary VALUES (1)", ""},
      {"SELECT temp FROM weather WHERE temp > 3", ""},
      {"SELECT t.temp, local FROM weather t", ""},
      {"CREATE TABLE temp (a int)", ""},
      {"GRANT TEMP ON DATABASE d TO u", ""},
      {"GRANT EXECUTE ON FUNCTION f TO u", ""},
      {"SELECT 'LISTEN x; SET y = 1'", ""},
      {"SELECT $$ ; LISTEN x $$", ""},
      {"SELECT \"listen\", \"set\" FROM \"load\"", ""},
      {"SELECT 1 /* ; LISTEN x */", ""},
      {"SELECT 1 -- ; LISTEN x", ""},
      {"SELECT set, do_it, calls, loaded FROM listen", ""},
      {"UNLISTEN *", ""},
      {"NOTIFY c, 'x'", ""},
      {"SHOW search_path", ""},
      {"VACUUM ANALYZE t", ""},
      {"CLOSE ALL", ""},
      {"DECLARE c CURSOR FOR SELECT 1", ""},
      {"DECLARE c CURSOR WITHOUT HOLD FOR SELECT hold FROM t", ""},
      {"FETCH 10 FROM c", ""},
      {"PREPARE TRANSACTION 'gid'", ""},
      {"COMMIT PREPARED 'gid'", ""},
      {"DISCARD ALL", ""},
      {"DISCARD TEMP", ""},
      {"DISCARD PLANS", ""},
      {"DISCARD SEQUENCES", ""},
      {"ALTER ROLE x SET search_path = a", ""},
      {"ALTER DATABASE d SET work_mem = '1MB'", ""},
      {"ALTER FUNCTION f SET work_mem = '1MB'", ""},
      {"ALTER SYSTEM SET work_mem = '1MB'", ""},
      {"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = a AS 'SELECT 1'", ""},
      {"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END", ""},
      {"CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)", ""},
      {"SELECT current_setting('work_mem'), pg_notify('a', 'b')", ""},
      {"SELECT * FROM pg_settings", ""},
      {"LOCK TABLE t IN EXCLUSIVE MODE", ""},
      {"COPY t FROM STDIN", ""},
      {"SELECT nextval('s'), 1 AS execute", ""},
  });
}

TEST(Classify, OtherState) {
  check({
      {"LISTEN c", "listen"},
      {"/* hint */ LISTEN c", "listen"},
      {"LOAD 'auto_explain'", "load"},
      {"DO $$ BEGIN END $$", "opaque"},
      {"DO LANGUAGE plpgsql 'BEGIN END'", "opaque"},
      {"CALL p()", "opaque"},
      {"PREPARE p AS SELECT 1", "sql_prepare"},
      {"PREPARE p(int) AS SELECT $1", "sql_prepare"},
      {"PREPARE transaction AS SELECT 1", "sql_prepare"},
      {"PREPARE transaction (text) AS SELECT $1", "sql_prepare"},
      {"CREATE TEMP TABLE t (a int)", "temporary_object"},
      {"CREATE TEMPORARY TABLE IF NOT EXISTS t AS SELECT 1", "temporary_object"},
      {"CREATE LOCAL TEMP TABLE t (a int)", "temporary_object"},
      {"CREATE GLOBAL TEMPORARY TABLE t (a int)", "temporary_object"},
      {"CREATE /* x */ TEMP SEQUENCE s", "temporary_object"},
      {"CREATE OR REPLACE TEMP VIEW v AS SELECT 1", "temporary_object"},
      {"CREATE TEMP RECURSIVE VIEW v (n) AS SELECT 1", "temporary_object"},
      {"EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", "temporary_object"},
      {"SELECT 1 INTO TEMP t", "temporary_object"},
      {"SELECT 1 INTO TEMPORARY TABLE t FROM x", "temporary_object"},
      {"SELECT 1 INTO LOCAL TEMP t", "temporary_object"},
      {"WITH x AS (SELECT 1) SELECT * INTO TEMP t FROM x", "temporary_object"},
      {"SELECT 1into temp t", "temporary_object"},
      {"CREATE TABLE pg_temp.t (a int)", "temporary_object"},
      {"CREATE TABLE \"pg_temp\".t (a int)", "temporary_object"},
      {"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "temporary_object"},
      {"CREATE TABLE pg_temp_3.t (a int)", "temporary_object"},
      {"SET search_path = pg_temp", "temporary_object =search_path"},
      {"SET search_path = 'pg_temp', public", "temporary_object =search_path"},
      {"SET SCHEMA 'pg_temp'", "temporary_object =search_path"},
      {"SELECT pg_advisory_lock(1)", "advisory_lock"},
      {"SELECT pg_advisory_lock_shared(1, 2)", "advisory_lock"},
      {"SELECT pg_try_advisory_lock(1)", "advisory_lock"},
      {"SELECT pg_catalog.\"pg_advisory_lock\" (1)", "advisory_lock"},
      {"SELECT my_advisory_thing(1)", "advisory_lock"},
      {"SELECT \"my_advisory_thing\" (1)", "advisory_lock"},
      {"SELECT my_advisory_thing, body FROM security_advisory", ""},
      {"SELECT pg_advisory_xact_lock(1)", ""},
      {"SELECT pg_try_advisory_xact_lock_shared(1)", ""},
      {"SELECT pg_advisory_unlock(1), pg_advisory_unlock_all()", ""},
      {"SELECT pg_advisory_xact_lock(1), pg_advisory_lock(2)", "advisory_lock"},
      {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "holdable_cursor"},
      {"DECLARE c BINARY INSENSITIVE NO SCROLL CURSOR WITH /* x */ HOLD FOR SELECT 1", "holdable_cursor"},
      {"SELECT pg_create_logical_replication_slot('a', 'b', true)", "replication_slot"},
      {"SELECT * FROM \"pg_create_physical_replication_slot\"('a')", "replication_slot"},
      {"SELECT pg_copy_logical_replication_slot('a', 'b', true)", "replication_slot"},
      {"CREATE_REPLICATION_SLOT x TEMPORARY LOGICAL y", "replication_slot"},
      {"SELECT dblink_connect('c', 'd')", "opaque"},
      {"SELECT * FROM dblink('select 1') AS t(a int)", "opaque"},
      {"SELECT query_to_xml('select set_config(1)', true, true, '')", "opaque"},
      {"SELECT query_to_xml_and_xmlschema('x', true, true, '')", "opaque"},
      {"SELECT cursor_to_xml('c', 1, true, true, '')", "opaque"},
      {"SELECT table_to_xml('v', true, true, '')", "opaque"},
      {"SELECT * FROM ts_stat('select f()')", "opaque"},
      {"SELECT ts_rewrite(q, 'select f()')", "opaque"},
      {"SELECT * FROM crosstab('select f()')", "opaque"},
      {"SELECT pgv_set_int('a', 'b', 1)", "opaque"},
      {"SELECT dbms_output.enable()", "opaque"},
      {"SELECT U&\"pg\\005fadvisory\\005flock\"(1)", "opaque"},
      {"SELECT u&\"!0041\" UESCAPE '!'", "opaque"},
      {"SELECT pg_backup_start('x')", "opaque"},
      {"SELECT 1; SET x = 1", "=x"},
      {"BEGIN; LISTEN a; COMMIT; SELECT pg_advisory_lock(1)", "listen advisory_lock"},
  });
}

TEST(Classify, QuotingTrapsHideNothing) {
  struct Trap {
    std::string sql;
    bool standard;
    std::string pins;
  };
  for (const Trap& c : std::vector<Trap>{
           {"SELECT 'a\\'; LISTEN x; --'", true, "listen"},
           {"SELECT 'a\\'; LISTEN x; --'", false, ""},
           {"SELECT 'a\\''; LISTEN x; --'", true, ""},
           {"SELECT 'a\\''; LISTEN x; --'", false, "listen"},
           {"SELECT E'a\\'; LISTEN x; --'", true, ""},
           {"SELECT E'a\\\\'; LISTEN x; --'", true, "listen"},
           {"SELECT E'a'\n'\\'; LISTEN x; --'", true, ""},
           {"SELECT 'a'\n'\\'; LISTEN x; --'", true, "listen"},
           {"SELECT U&'\\'; LISTEN x; --'", true, "listen"},
           {"SELECT B'1\\'; LISTEN x; --'", false, "listen"},
           {"SELECT $a$ $b$; LISTEN x; $a$; SELECT 1 $b$", true, ""},
           {"SELECT a$b$; LISTEN x; SELECT $b$", true, "listen"},
           {"SELECT 1 /* /* */; LISTEN x; */", true, ""},
           {"SELECT 1 /* */; LISTEN x; /* */", true, "listen"},
           {"SELECT 1 - --\n1; LISTEN x", true, "listen"},
           {"SELECT \"a\"\"; LISTEN x; \"", true, ""},
           {"SELECT \"a\\\"; LISTEN x; --\"", true, "listen"},
           {"SELECT (1; LISTEN x", true, "listen"},
       }) {
    EXPECT_EQ(pins_of(classify(c.sql, c.standard)), c.pins) << c.sql << c.standard;
  }
  EXPECT_TRUE(classify("SELECT 'a\\'; LISTEN x; --'", true).quoting_matters);
  EXPECT_TRUE(classify("SELECT 'a\\'; LISTEN x; --'", false).quoting_matters);
  EXPECT_FALSE(classify("SELECT E'a\\''", true).quoting_matters);
  ClassifyOptions sjis;
  sjis.backslash_in_characters = true;
  EXPECT_EQ(pins_of(classify("SELECT E'\x95\\'; LISTEN x; --'", sjis)), "opaque");
  EXPECT_EQ(pins_of(classify("SELECT E'a\\n'", sjis)), "");
}

TEST(Classify, Flags) {
  struct FlagCase {
    std::string sql, flags;
    std::uint32_t statements;
  };
  for (const FlagCase& c : std::vector<FlagCase>{
           {"", "", 0},
           {" ; ;; -- x", "", 0},
           {"SELECT 1; SELECT 2;", "", 2},
           {"BEGIN", "begin_only", 1},
           {"begin;", "begin_only", 1},
           {"/* x */ BEGIN WORK", "begin_only", 1},
           {"BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", "begin_only", 1},
           {"START TRANSACTION READ WRITE;", "begin_only", 1},
           {"START x", "", 1},
           {"BEGIN; SELECT 1", "", 2},
           {"BEGIN; BEGIN", "", 2},
           {"SELECT 1; BEGIN", "", 2},
           {"BEGIN ATOMIC", "", 1},
           {"COMMIT", "", 1},
           {"DISCARD ALL", "discard_all", 1},
           {"DISCARD ALL; SELECT 1", "discard_all", 2},
           {"DISCARD PLANS", "", 1},
           {"DEALLOCATE p", "deallocate", 1},
           {"DEALLOCATE PREPARE p", "deallocate", 1},
           {"DEALLOCATE prepare", "deallocate", 1},
           {"DEALLOCATE ALL", "deallocate_all", 1},
           {"DEALLOCATE PREPARE ALL", "deallocate_all", 1},
           {"DEALLOCATE \"all\"", "deallocate", 1},
           {"DEALLOCATE a; DEALLOCATE b", "deallocate several_names", 2},
           {"DEALLOCATE prepare; DISCARD ALL", "discard_all deallocate", 2},
           {"EXECUTE p", "executes", 1},
           {"EXECUTE p(1, 2)", "executes", 1},
           {"EXPLAIN EXECUTE p", "executes", 1},
           {"EXPLAIN ANALYZE VERBOSE EXECUTE p", "executes", 1},
           {"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) EXECUTE p(1)", "executes", 1},
           {"CREATE TABLE t AS EXECUTE p", "executes", 1},
           {"CREATE UNLOGGED TABLE IF NOT EXISTS t (a, b) AS EXECUTE p (1)", "executes", 1},
           {"EXPLAIN ANALYZE CREATE TABLE t AS EXECUTE p", "executes", 1},
           {"CREATE TABLE t AS SELECT 1 AS execute", "", 1},
           {"CREATE TRIGGER r AFTER INSERT ON t EXECUTE FUNCTION f()", "catalog", 1},
           {"CREATE OR REPLACE FUNCTION f() RETURNS int AS 'x'", "catalog", 1},
           {"ALTER PROCEDURE p() RENAME TO q", "catalog", 1},
           {"DROP VIEW v", "catalog", 1},
           {"CREATE MATERIALIZED VIEW v AS SELECT 1", "catalog", 1},
           {"CREATE OR REPLACE TEMP RECURSIVE VIEW v AS SELECT 1", "catalog", 1},
           {"CREATE EXTENSION hstore", "catalog", 1},
           {"CREATE CONSTRAINT TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION f()", "catalog", 1},
           {"CREATE CAST (a AS b) WITH FUNCTION f(a)", "catalog", 1},
           {"CREATE DOMAIN d AS int CHECK (f(value))", "catalog", 1},
           {"CREATE TYPE x AS (a int)", "catalog", 1},
           {"CREATE RULE r AS ON INSERT TO t DO NOTHING", "catalog", 1},
           {"CREATE POLICY p ON t USING (f())", "catalog", 1},
           {"ALTER TABLE t ALTER a SET DEFAULT f()", "catalog", 1},
           {"CREATE TABLE t (a int DEFAULT f())", "catalog", 1},
           {"CREATE TABLE t (a int)", "", 1},
           {"DROP TABLE t", "", 1},
           {"DO 'x'", "catalog", 1},
           {"CREATE INDEX i ON t (a)", "", 1},
           {"SELECT nextval('s')", "sequence", 1},
           {"SELECT currval('s'), lastval()", "sequence", 1},
           {"SELECT \"setval\"('s', 1)", "sequence", 1},
           {"COPY t TO STDOUT", "copy", 1},
           {"COPY (SELECT 1) TO STDOUT; SELECT 1", "copy", 2},
       }) {
    const Verdict verdict = classify(c.sql);
    EXPECT_EQ(flags_of(verdict), c.flags) << c.sql;
    EXPECT_EQ(verdict.statement_count, c.statements) << c.sql;
  }
}

TEST(Classify, TellsNames) {
  EXPECT_EQ(classify("PREPARE foo AS SELECT 1").prepared_name, "foo");
  EXPECT_EQ(classify("DEALLOCATE PREPARE \"Foo\"").prepared_name, "\"Foo\"");
  EXPECT_EQ(classify("DEALLOCATE prepare;").prepared_name, "prepare");
  EXPECT_EQ(classify("EXPLAIN (ANALYZE) EXECUTE foo(1)").executed_name, "foo");
  EXPECT_EQ(classify("CREATE TABLE t AS EXECUTE \"a b\"").executed_name, "\"a b\"");
  EXPECT_EQ(classify("SELECT 1").executed_name, "");
}

TEST(Classify, HazardsPin) {
  HazardSet hazards;
  for (const char* name : {"leaky_fn", "Leaky View", "audit_trigger_table"}) hazards.insert(name);
  hazards.insert(std::string(63, 'h'));
  hazards.insert("leaky_fn");
  EXPECT_EQ(hazards.size(), 4u);
  ClassifyOptions options;
  options.hazards = &hazards;
  check(
      {
          {"SELECT leaky_fn(1)", "opaque"},
          {"SELECT \"leaky_fn\"(1)", "opaque"},
          {"SELECT * FROM app.\"Leaky View\"", "opaque"},
          {"INSERT INTO audit_trigger_table VALUES (1)", "opaque"},
          {"SELECT 'leaky_fn'", ""},
          {"SELECT leaky, fn, leaky_fn2, leaky_f FROM t", ""},
          {"SELECT " + std::string(63, 'h'), "opaque"},
          {"SELECT " + std::string(70, 'h'), "opaque"},
          {"SELECT " + std::string(62, 'h'), ""},
          {"SELECT \"\"", ""},
          {"SELECT t\xc3\xa4st", ""},
      },
      options);
  // One name that client and server may spell differently: every such word is taken for it.
  hazards.insert("b\xc3\xb6se");
  EXPECT_EQ(pins_of(classify("SELECT t\xe4st", options)), "opaque");
  EXPECT_EQ(pins_of(classify("SELECT \"a\"\"b\"", options)), "opaque");
  HazardSet many;
  for (int i = 0; i < 5000; ++i) many.insert("function_" + std::to_string(i));
  EXPECT_EQ(many.size(), 5000u);
  for (int i = 0; i < 5000; ++i) EXPECT_TRUE(many.contains("FUNCTION_" + std::to_string(i)));
  EXPECT_FALSE(many.contains("function_5000"));
}

TEST(Classify, BoundsItsWork) {
  std::string nested = "SELECT ";
  for (int i = 0; i < 200'000; ++i) nested += "set_config(";
  EXPECT_EQ(pins_of(classify(nested)), "set_variable");
  std::string many = "SELECT ";
  for (int i = 0; i < 50'000; ++i) many += "set_config('a.b','x',true),";
  EXPECT_EQ(pins_of(classify(many)), "");
  EXPECT_EQ(pins_of(classify(std::string(kMaxStatement + 1, ' '))), "statement_too_large");
  EXPECT_EQ(pins_of(classify(std::string(1'000'000, '(') + "SET x = 1")), "=x");
  std::string dollars;
  for (int i = 0; i < 200'000; ++i) dollars += "$a";
  (void)classify(dollars);
}

TEST(Classify, EveryCutOfAStatementIsRead) {
  const std::string sql =
      "EXPLAIN (ANALYZE) CREATE TEMP TABLE t AS EXECUTE p; SELECT set_config('a', E'\\'', true); "
      "DEALLOCATE PREPARE x; SET TIME ZONE 'UTC'; RESET ALL; BEGIN ISOLATION LEVEL SERIALIZABLE";
  for (std::size_t cut = 0; cut <= sql.size(); ++cut) {
    const std::string part = sql.substr(0, cut);
    (void)classify(part, true);
    (void)classify(part, false);
    (void)digest(part);
    (void)body_is_hazardous(part);
  }
}

TEST(Classify, BlocksAndProceduresAreLookedInto) {
  HazardSet hazards;
  hazards.insert("become");
  hazards.insert("Odd name");
  hazards.insert("locked", bit(PinReason::kAdvisoryLock));
  ClassifyOptions known;
  known.hazards = &hazards;
  known.catalog_known = true;
  const auto leaves = [&](std::string_view sql) {
    const Verdict verdict = classify(sql, known);
    EXPECT_EQ(verdict.leaves != 0, verdict.pinned_by(PinReason::kOpaque)) << sql;
    return pin_names(verdict.leaves);
  };
  EXPECT_EQ(leaves("DO $$ BEGIN UPDATE t SET a = 1; PERFORM f(2); END $$"), "");
  EXPECT_EQ(leaves("DO LANGUAGE plpgsql 'BEGIN NULL; END'"), "");
  EXPECT_EQ(leaves("DO $x$ BEGIN PERFORM set_config('a.b', 'c, )', true); END $x$"), "");
  EXPECT_EQ(leaves("CALL p(1, 'become')"), "");
  EXPECT_EQ(leaves("CALL locked()"), "advisory_lock");
  EXPECT_EQ(leaves("DO $$ BEGIN PERFORM locked(); CREATE TEMP TABLE t (); END $$"), "temporary_object,advisory_lock");
  EXPECT_EQ(leaves("DO $$ BEGIN PERFORM pg_advisory_lock(1); PERFORM pg_advisory_unlock(1); END $$"), "advisory_lock");
  for (auto sql : {"DO $$ BEGIN PERFORM become(); END $$", "DO $$ BEGIN PERFORM \"Odd name\"(); END $$",
                   "CALL become()", "DO $$ BEGIN EXECUTE 'x'; END $$", "DO 'BEGIN PERFORM f(''a''); END'",
                   "DO LANGUAGE plperl $$ 1; $$", "DO E'BEGIN END'", "DO $$ BEGIN PERFORM '\\'; END $$",
                   "DO $$ BEGIN PERFORM set_config('a' || b, ',', x); END $$", "DO $$ BEGIN SET seed = 1; END $$",
                   "DO $$ BEGIN RESET work_mem; END $$", "DO $$ BEGIN SET \"a\" = 1; END $$",
                   "DO LANGUAGE plperl $$ 1; $$ LANGUAGE plpgsql", "DO $$ BEGIN END"})
    EXPECT_EQ(leaves(sql), "opaque") << sql;
  known.catalog_known = false;
  EXPECT_EQ(leaves("CALL p()"), "opaque");
  EXPECT_EQ(leaves("DO $$ BEGIN END $$"), "opaque");
}

TEST(Classify, WhatFunctionsSetIsReadBack) {
  HazardSet hazards;
  hazards.insert("become", bit(PinReason::kSetVariable), {"app.tenant", "role"});
  hazards.insert("tune", bit(PinReason::kSetVariable) | bit(PinReason::kAdvisoryLock), {"work_mem"});
  hazards.insert("tune", bit(PinReason::kSetVariable), {"work_mem", "lock_timeout"});
  ClassifyOptions known;
  known.hazards = &hazards;
  known.catalog_known = true;
  const std::vector<Case> cases = {
      {"SELECT become(1), become(2)", "=app.tenant =role"},
      {"SELECT tune()", "opaque =work_mem =lock_timeout"},
      {"CALL become()", "=app.tenant =role"},
      {"DO $$ BEGIN SET work_mem = '1MB'; SET SESSION app.x TO 2; PERFORM become(); END $$",
       "=work_mem =app.x =app.tenant =role"},
      {"DO $$ BEGIN PERFORM set_config('a.b', 'c', false); SET ROLE other; END $$", "=a.b =role"},
      {"DO $$ BEGIN SET CONSTRAINTS ALL DEFERRED; SET TRANSACTION READ ONLY; SET TIME ZONE 'UTC'; END $$", "=timezone"},
  };
  for (const auto& one : cases) {
    const auto verdict = classify(one.sql, known);
    EXPECT_EQ(pins_of(verdict), one.pins) << one.sql;
    EXPECT_TRUE(verdict.settings_go_back) << one.sql;
  }
  EXPECT_EQ(pins_of(classify("SELECT " + std::string(64, 'x') + "()", known)), "");
  EXPECT_EQ(pins_of(classify("DO $$ BEGIN SET search_path = one; END $$", known)), "opaque =search_path");
}

TEST(PinReason, NamesAreStable) {
  std::string names;
  for (int i = 0; i < kPinReasonCount; ++i) names += std::string(to_string(pin_reason(i))) + " ";
  EXPECT_EQ(names,
            "set_variable session_authorization listen sql_prepare temporary_object advisory_lock holdable_cursor load "
            "opaque replication_slot statement_too_large protocol sequence replication ");
}

}  // namespace
}  // namespace dbproxy::session::postgres
