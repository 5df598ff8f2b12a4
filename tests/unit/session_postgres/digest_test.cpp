#include <gtest/gtest.h>

#include "proxy/session/postgres/classify.hpp"

namespace dbproxy::session::postgres {
namespace {

TEST(Digest, HidesLiteralsAndComments) {
  EXPECT_EQ(digest("SELECT  *\n FROM t /* secret */ WHERE a = 'x' AND b=1.5 -- secret"),
            "SELECT * FROM t WHERE a = ? AND b=?");
  EXPECT_EQ(digest("ALTER ROLE u PASSWORD 'secret'"), "ALTER ROLE u PASSWORD ?");
  EXPECT_EQ(digest("SELECT E'se\\'cret', $q$secret$q$, U&'secret', N'secret', B'1', $1"), "SELECT ?, ?, ?, N?, ?, $1");
  EXPECT_EQ(digest("SELECT 'it\\'s secret'", false), "SELECT ?");
  EXPECT_EQ(digest("SELECT 'secret"), "SELECT ?");
  EXPECT_EQ(digest("SELECT U&\"a\" FROM \"B c\""), "SELECT U&\"a\" FROM \"B c\"");
  EXPECT_EQ(digest("SELECT \"a\x1b[31m\nb\""), "SELECT \"a [31m b\"");
  EXPECT_EQ(digest(""), "");
}

TEST(Digest, IsShort) {
  EXPECT_EQ(digest("SELECT " + std::string(300, 'a')).size(), 200u);
  EXPECT_EQ(digest("SELECT " + std::string(193, 'a')).size(), 200u);
  std::string accents = "SELECT x";
  for (int i = 0; i < 200; ++i) accents += "\xc3\xa4";
  const std::string cut = digest(accents);
  EXPECT_LE(cut.size(), 200u);
  EXPECT_EQ(cut.substr(cut.size() - 5), "\xc3\xa4...");
}

TEST(HazardousBody, SeesWhatMayChangeTheSession) {
  for (const char* body : {
           "BEGIN PERFORM set_config('a.b', 'x', false); END",
           "BEGIN SET work_mem = '1MB'; END",
           "BEGIN EXECUTE 'x'; END",
           "BEGIN EXECUTE format('%I', x); END",
           "SELECT pg_advisory_lock(1)",
           "begin create temp table t(a int); end",
           "LISTEN x",
           "spi.execute('S' || 'ET x')",
           "plpy.execute(\"SET x = 1\")",
           "BEGIN UPDATE t SET a = 1; SET x = 1; END",
           "IF tg_op = 'UPDATE' THEN SET x = 1; END IF;",
           "UPDATE t SET a = 1 WHERE b; RESET x",
           "SET local.x = 1",
           "SET LOCAL = 1",
           "SET local TO 1",
           "SELECT setseed(1)",
           "SELECT dblink_exec('x')",
           "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
           "LOAD 'x'",
           "PREPARE p AS SELECT 1",
           "SELECT query_to_xml('x', true, true, '')",
           "INSERT INTO pg_temp.t VALUES (1)",
           "UPDATE pg_settings SET setting = 1",
           "SELECT U&\"s\\0065t_config\"('a', 'b', false)",
           "$_SHARED{x} = 1;",
       })
    EXPECT_TRUE(body_is_hazardous(body)) << body;
}

TEST(HazardousBody, LetsOrdinaryFunctionsBe) {
  for (const char* body : {
           "",
           "SELECT 1",
           "BEGIN NEW.updated_at := now(); RETURN NEW; END",
           "BEGIN UPDATE t SET a = 1 WHERE id = NEW.id; RETURN NEW; END",
           "BEGIN UPDATE ONLY \"s\".\"t\" AS x SET a = 1; UPDATE t SET b = 2; END",
           "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = excluded.a",
           "BEGIN SET LOCAL work_mem = '1MB'; END",
           "SELECT pg_advisory_xact_lock(1)",
           "SELECT offset, settings, reset_at, temperature FROM t",
           "SELECT current_setting('a.b', true)",
       })
    EXPECT_FALSE(body_is_hazardous(body)) << body;
}

}  // namespace
}  // namespace dbproxy::session::postgres
