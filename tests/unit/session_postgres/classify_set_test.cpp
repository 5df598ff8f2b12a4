#include "tests/unit/session_postgres/classify_support.hpp"

namespace dbproxy::session::postgres {
namespace {

TEST(Classify, Settings) {
  check({
      {"SET work_mem = '1MB'", "=work_mem"},
      {"SET work_mem TO DEFAULT", "=work_mem"},
      {"SET SESSION work_mem = 1", "=work_mem"},
      {"SET \"work_mem\" = 1", "=work_mem"},
      {"SET app.tenant = 'x'", "=app.tenant"},
      {"SET search_path = a, b", "=search_path"},
      {"SET SCHEMA 'a'", "=search_path"},
      {"SET XML OPTION DOCUMENT", "=xmloption"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "=characteristics"},
      {"SET transaction_isolation = 'serializable'", ""},
      {"SET statement_timeout FROM CURRENT", "=statement_timeout"},
      {"/* c */ SET/**/work_mem--\n=1", "=work_mem"},
      {"SET x", "=x"},
      {"SET", "set_variable"},
      // Names that begin like what ends with the transaction.
      {"SET local.x = 1", "=local.x"},
      {"SET local . x = 1", "=local.x"},
      {"SET local = 1", "=local"},
      {"SET local TO 1", "=local"},
      {"SET session.x = 1", "=session.x"},
      {"SET session = 1", "=session"},
      {"SET transaction.x = 1", "=transaction.x"},
      {"SET constraints.x = 1", "=constraints.x"},
      {"SET names.x = 1", "=names.x"},
      {"SET time.x = 1", "=time.x"},
      {"SET application_name.x = 1", "=application_name.x"},
      {"SET timezone.x = 1", "=timezone.x"},
      {"SET \"local\" = 1", "=local"},
      {"SET U&\"work\\005fmem\" = 1", "set_variable opaque"},
      // What ends with the transaction.
      {"SET LOCAL work_mem = 1", ""},
      {"SET LOCAL app.x = 1", ""},
      {"SET LOCAL ROLE x", ""},
      {"SET LOCAL SESSION AUTHORIZATION x", ""},
      {"SET LOCAL TIME ZONE 'UTC'", ""},
      {"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", ""},
      {"SET TRANSACTION SNAPSHOT 'x'", ""},
      {"SET SESSION TRANSACTION READ ONLY", ""},
      {"SET CONSTRAINTS ALL DEFERRED", ""},
      {"SET CONSTRAINTS a.b, c IMMEDIATE", ""},
      // Who one is.
      {"SET ROLE x", "=role"},
      {"SET SESSION ROLE x", "=role"},
      {"SET role = 'x'", "=role"},
      {"SET \"role\" TO x", "=role"},
      {"SET SESSION AUTHORIZATION x", "=role"},
      {"SET session_authorization = x", "=role"},
      // Back to the start.
      {"RESET ALL", ""},
      {"RESET work_mem", "=work_mem"},
      {"RESET ROLE", "=role"},
      {"RESET SESSION AUTHORIZATION", "=role"},
      // By other ways.
      {"UPDATE pg_settings SET setting = '1' WHERE name = 'work_mem'", "=listed"},
      {"UPDATE \"pg_catalog\".\"pg_settings\" SET setting = '1'", "=listed"},
      {"WITH x AS (UPDATE pg_catalog.pg_settings SET setting = 1 RETURNING 1) SELECT * FROM x", "=listed"},
      {"SELECT set_limit(0.5)", "set_variable"},
      {"SELECT setseed(0.5)", "opaque"},
  });
}

TEST(Classify, ReportedSettings) {
  for (const std::string sql : {"SET application_name = 'x'",
                                "SET application_name TO DEFAULT",
                                "SET SESSION application_name = x",
                                "SET client_encoding = utf8",
                                "SET NAMES 'utf8'",
                                "SET NAMES",
                                "SET DateStyle = ISO",
                                "set datestyle to iso",
                                "SET \"DateStyle\" = 'ISO'",
                                "SET intervalstyle = iso_8601",
                                "SET TIME ZONE 'UTC'",
                                "SET TIME ZONE LOCAL",
                                "SET SESSION TIME ZONE 1",
                                "SET TimeZone = 'UTC'",
                                "SET standard_conforming_strings = off",
                                "SET default_transaction_read_only = on",
                                "SET scram_iterations = 1",
                                "RESET application_name",
                                "RESET TIME ZONE",
                                "RESET timezone",
                                "SET timezone FROM CURRENT",
                                "SELECT set_config('application_name', 'x', false)"}) {
    EXPECT_EQ(pins_of(classify(sql)), "") << sql;
    EXPECT_EQ(flags_of(classify(sql)), "reported") << sql;
  }
  EXPECT_EQ(flags_of(classify("SET LOCAL application_name = 'x'")), "");
  ClassifyOptions v18;
  v18.search_path_reported = true;
  for (const std::string sql :
       {"SET search_path = a", "SET SCHEMA 'a'", "SELECT set_config('search_path', '', false)"}) {
    EXPECT_EQ(pins_of(classify(sql, v18)), "") << sql;
    EXPECT_EQ(flags_of(classify(sql, v18)), "reported") << sql;
    EXPECT_EQ(pins_of(classify(sql)), "=search_path") << sql;
  }
  ClassifyOptions v13;
  v13.read_only_reported = false;
  EXPECT_EQ(pins_of(classify("SET default_transaction_read_only = on", v13)), "=default_transaction_read_only");
  EXPECT_EQ(pins_of(classify("SET application_name = 'x'; SET work_mem = 1")), "=work_mem");
  EXPECT_EQ(flags_of(classify("RESET ALL")), "reset_all");
  EXPECT_EQ(flags_of(classify("RESET work_mem")), "reset_other");
  EXPECT_EQ(flags_of(classify("RESET application_name.x")), "reset_other");
}

TEST(Classify, SettingsThatCannotBeReadBack) {
  check({
      {"SET seed = 0.5", "set_variable"},
      {"SET temp_buffers = 1000", "set_variable"},
      {"SET force_parallel_mode = on", "set_variable"},
      {"SET debug_parallel_query = on", "set_variable"},
      {"SET app.\"it's\" = 1", "set_variable"},
      {"SET app.ténant = 1", "set_variable"},
      {"SELECT set_config($1, 'x', false)", "set_variable"},
      {"SELECT set_config('a' || 'b', 'x', false)", "set_variable"},
      {"SELECT set_config(E'a\\x2eb', 'x', false)", "set_variable"},
      {"SELECT set_config('a''b', 'x', false)", "set_variable"},
  });
  EXPECT_EQ(pins_of(classify("SET a=1;SET b=1;SET c=1;SET d=1;SET e=1;SET f=1")), "=a =b =c =d =e =f");
  std::string many, names;
  for (char name = 'a'; name <= 'p'; ++name) {
    many += std::string("SET ") + name + "=1;";
    names += std::string(name == 'a' ? "=" : " =") + name;
  }
  EXPECT_EQ(pins_of(classify(many)), names);
  EXPECT_EQ(pins_of(classify(many + "SET q=1")), "set_variable " + names);
  EXPECT_EQ(classify("SELECT set_config($2, 'x', false)").setting_parameter, 2);
  EXPECT_EQ(classify("SELECT set_config($2, 'x', false), set_config($1, 'x', false)").setting_parameter, 0);
  EXPECT_EQ(classify("SELECT set_config($2, 'x', false), set_config(a, 'x', false)").setting_parameter, 0);
  EXPECT_EQ(tracked_name("Work_Mem"), "work_mem");
  EXPECT_EQ(tracked_name("\"App\" . Tenant"), "app.tenant");
  EXPECT_EQ(tracked_name("sort_mem"), "work_mem");
  EXPECT_EQ(tracked_name("'App.X'"), "app.x");
}

TEST(Classify, SetConfig) {
  check({
      {"SELECT set_config('a.b', 'x', false)", "=a.b"},
      {"SELECT pg_catalog.set_config('search_path', '', false)", "=search_path"},
      {"SELECT \"set_config\"('a.b', 'x', false)", "=a.b"},
      {"SELECT pg_catalog . \"set_config\" /* x */ ('a.b', 'x', false)", "=a.b"},
      {"SELECT set_config('a.b', 'x', $1)", "=a.b"},
      {"SELECT set_config('a.b', 'x', 't')", "=a.b"},
      {"SELECT set_config('a.b', 'x', 'true')", "=a.b"},
      {"SELECT set_config('a.b', 'x', \"true\")", "=a.b"},
      {"SELECT set_config('a.b', 'x', not true)", "=a.b"},
      {"SELECT set_config('a.b', 'x', true and x)", "=a.b"},
      {"SELECT set_config('a.b', f(1, true), false)", "=a.b"},
      {"SELECT set_config(ARRAY['a','b',true], 'x')", "set_variable"},
      {"SELECT set_config('a.b', (SELECT 1, true), x)", "=a.b"},
      {"SELECT set_config(is_local => true, setting_name => 'a.b', new_value => 'x')", "set_variable"},
      {"SELECT set_config('a.b', 'x'", "set_variable"},
      {"SELECT f FROM set_config", "set_variable"},
      {"SELECT set_config('a.b', 'x', true), set_config('a.b', 'x', false)", "=a.b"},
      {"SELECT set_config('a.b', set_config('c.d', 'x', false), true)", "=c.d"},
      {"INSERT INTO t SELECT set_config(n, v, false) FROM s", "set_variable"},
      {"SELECT set_config('a.b', 'x', true)", ""},
      {"SELECT set_config($1, $2, /* local */ true)", ""},
      {"SELECT set_config('a.b', f(1, (2), ARRAY[3, 4]), true)", ""},
      {"SELECT set_config('a.b', set_config('c.d', 'x', true), true)", ""},
      {"SELECT set_config('search_path', 'pg_temp', true)", "temporary_object"},
  });
}

}  // namespace
}  // namespace dbproxy::session::postgres
