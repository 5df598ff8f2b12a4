#include "proxy/session/mysql/classify.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace dbproxy::session::mysql {
namespace {

std::string pins(std::string_view sql, ClassifyOptions options = {}) {
  return pin_names(classify(sql, options).pins);
}

std::vector<std::string> settings(std::string_view sql) {
  const Verdict verdict = classify(sql);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < verdict.settings.size(); ++i) names.emplace_back(verdict.settings[i]);
  return names;
}
using Names = std::vector<std::string>;
Names variables_set(std::string_view sql, const ClassifyOptions& options = {}) {
  const Verdict verdict = classify(sql, options);
  EXPECT_EQ(verdict.pins, 0u) << sql;
  Names names;
  for (std::size_t i = 0; i < verdict.variables.size(); ++i)
    if (verdict.variables_set & (1u << i)) names.emplace_back(verdict.variables[i]);
  return names;
}

TEST(Classify, WhatLeavesNothing) {
  for (const auto sql : {"",
                         ";;",
                         "SELECT 1",
                         "select * from t where a = @x",
                         "(SELECT 1) UNION (SELECT 2)",
                         "WITH c AS (SELECT 1) TABLE c",
                         "INSERT INTO t VALUES ('@a := 1', \"GET_LOCK('x', 1)\")",
                         "SELECT '\\'', GET_LOCK_x FROM t",
                         "BEGIN",
                         "COMMIT",
                         "START TRANSACTION READ ONLY",
                         "UPDATE t SET a = 1",
                         "SHOW TABLES",
                         "EXPLAIN SELECT 1",
                         "-- @a := 1\nSELECT 1",
                         "# GET_LOCK('a')\nSELECT 1",
                         "/* GET_LOCK('a', 1) */ SELECT 1",
                         "CREATE TABLE t (a INT)",
                         "ROLLBACK TO SAVEPOINT x",
                         "USE orders",
                         "SET autocommit = 0, NAMES utf8",
                         "SELECT 1 INTO OUTFILE '/tmp/x'",
                         "INSERT INTO t SELECT @a",
                         "SELECT `@a := 1` FROM `GET_LOCK`",
                         "FLUSH TABLES",
                         "LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
                         "XA RECOVER"})
    EXPECT_EQ(pins(sql), "") << sql;
}

TEST(Classify, WhatTheTrackersDoNotShow) {
  EXPECT_EQ(pins("SELECT GET_LOCK('a', 1)"), "lock");
  EXPECT_EQ(pins("DO get_lock ('a', 1)"), "lock");
  EXPECT_EQ(pins("INSERT INTO t VALUES (GET_LOCK('a', 1))"), "lock");
  EXPECT_EQ(pins("HANDLER t OPEN AS h"), "handler");
  EXPECT_EQ(pins("SET ROLE admin"), "role");
  EXPECT_EQ(pins("XA START 'a'"), "xa");
  EXPECT_EQ(pins("LOCK TABLES t READ"), "lock_tables");
  EXPECT_EQ(pins("FLUSH TABLES WITH READ LOCK"), "lock_tables");
  EXPECT_EQ(pins("FLUSH TABLES t FOR EXPORT"), "lock_tables");
  EXPECT_EQ(pins("LOCK INSTANCE FOR BACKUP"), "opaque");
  EXPECT_EQ(pins("PREPARE s FROM 'SELECT 1'"), "sql_prepare");
  EXPECT_EQ(pins("EXECUTE IMMEDIATE 'SET @a = 1'"), "opaque");
  EXPECT_EQ(pins("CREATE TEMPORARY TABLE t (a INT)"), "temporary_table");
  EXPECT_EQ(pins("create or replace temporary table t (a int)"), "temporary_table");
  EXPECT_EQ(pins("CALL p()"), "opaque");
  EXPECT_EQ(pins("BEGIN NOT ATOMIC SELECT 1; END"), "opaque");
  EXPECT_EQ(pins("WHATEVER COMES NEXT"), "opaque");
  EXPECT_EQ(pins("SET STATEMENT max_statement_time = 1 FOR SELECT 1"), "opaque");
  EXPECT_EQ(pins("SELECT LAST_INSERT_ID(5)"), "opaque");
}

TEST(Classify, UserVariables) {
  EXPECT_EQ(variables_set("SELECT @a := 1"), Names{"@a"});
  EXPECT_EQ(variables_set("SELECT @`a b` :=1"), Names{"@`a b`"});
  EXPECT_EQ(variables_set("SELECT 1, 2 INTO @a, @b"), (Names{"@a", "@b"}));
  EXPECT_EQ(variables_set("SELECT a FROM t LIMIT 1 INTO @'x'"), Names{"@'x'"});
  EXPECT_EQ(variables_set("SET @a = @b, @c := 1, @a = 2"), (Names{"@a", "@c"}));
  EXPECT_EQ(variables_set("SET autocommit = 0, @a = (SELECT 1, 2)"), Names{"@a"});
  EXPECT_EQ(variables_set("GET DIAGNOSTICS @n = NUMBER"), Names{"@n"});
  EXPECT_EQ(variables_set("LOAD DATA INFILE 'x' INTO TABLE t (a, @b)"), Names{"@b"});
  EXPECT_EQ(variables_set("SELECT @a, @b WHERE @c = 1"), Names{});
  EXPECT_EQ(classify("SELECT @a, @b WHERE @c = 1").variables.size(), 3u);
  EXPECT_FALSE(classify("SELECT @a, @b, @a, @c, @d, @e, @f").all_variables);
  EXPECT_TRUE(classify("SELECT @a, @b, @c, @d, @e, @f, @g").all_variables);
  EXPECT_TRUE(classify("SELECT @\xc3\xa9").all_variables);
  EXPECT_EQ(pins("SELECT @a, @b, @c, @d, @e, @f, @g"), "");
  EXPECT_EQ(pins("SET @a = 1, @b = 1, @c = 1, @d = 1, @e = 1, @f = 1, @g = 1"), "user_variable");
  EXPECT_EQ(pins("SET @\xc3\xa9 = 1"), "user_variable");
}

TEST(Classify, CommentsThatAreCode) {
  EXPECT_EQ(variables_set("/*!40101 SET @a = 1 */"), Names{"@a"});
  EXPECT_EQ(pins("/*! SELECT */ GET_LOCK('a', 1)"), "lock");
  EXPECT_EQ(pins("/*M!100100 SELECT GET_LOCK('a', 1) */"), "lock");
  EXPECT_EQ(pins("SELECT 1 /*!50000 , GET_LOCK('a', 1) */"), "lock");
  EXPECT_EQ(settings("/*!40101 SET SQL_MODE = '' */"), Names{"SQL_MODE"});
  EXPECT_EQ(variables_set("SELECT 1 --@a:=1"), Names{"@a"});  // no comment: minus minus
}

TEST(Classify, QuotingModes) {
  ClassifyOptions plain, backslashes, ansi, gbk;
  backslashes.lex.no_backslash_escapes = true;
  ansi.lex.ansi_quotes = true;
  gbk.lex.two_byte_characters = true;
  EXPECT_EQ(pins("SELECT '\\' , GET_LOCK('a', 1) -- '", plain), "");
  EXPECT_EQ(pins("SELECT '\\' , GET_LOCK('a', 1) -- '", backslashes), "lock");
  EXPECT_EQ(pins("SELECT \"\\\" , GET_LOCK('a', 1), \"\\\"", plain), "");
  EXPECT_EQ(pins("SELECT \"\\\" , GET_LOCK('a', 1), \"\\\"", ansi), "lock");
  EXPECT_EQ(pins("SELECT '\xbf\\' , GET_LOCK('a', 1) -- '", plain), "");
  EXPECT_EQ(pins("SELECT '\xbf\\' , GET_LOCK('a', 1) -- '", gbk), "lock");
  EXPECT_EQ(pins("SELECT 'a''b', GET_LOCK('a', 1)"), "lock");
}

TEST(Classify, Settings) {
  EXPECT_EQ(
      settings("SET sql_mode = 'x', SESSION time_zone = '+00:00', @@autocommit = 0, @@session.tx_isolation = 'x'"),
      (Names{"sql_mode", "time_zone", "autocommit", "tx_isolation"}));
  EXPECT_EQ(settings("SET `sql_mode` := CONCAT(@@sql_mode, ',ANSI'), @@LOCAL.foreign_key_checks = 0"),
            (Names{"sql_mode", "foreign_key_checks"}));
  EXPECT_EQ(settings("SET GLOBAL max_connections = 10, PERSIST x = 1, @@GLOBAL.y = 2, @@persist.z = 1"), Names{});
  EXPECT_EQ(settings("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"), Names{"transaction_isolation"});
  EXPECT_EQ(settings("SET SESSION TRANSACTION READ ONLY"), Names{"transaction_read_only"});
  EXPECT_EQ(settings("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), Names{});
  EXPECT_TRUE(classify("SET sql_mode = ''; USE orders").only_sets);
  EXPECT_FALSE(classify("SET sql_mode = ''; SELECT 1").only_sets);
  EXPECT_TRUE(classify("SET @a = 1").only_sets);
  EXPECT_FALSE(classify("").only_sets);
  const Verdict names = classify("SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'");
  EXPECT_TRUE(names.names && names.only_sets);
  EXPECT_EQ(names.collation, "utf8mb4_bin");
  EXPECT_TRUE(classify("SET CHARACTER SET utf8").names);
  EXPECT_TRUE(classify("SET session_track_schema = OFF").session_tracking);
  EXPECT_FALSE(classify("SET session_track_gtids = OWN_GTID").session_tracking);
  EXPECT_TRUE(classify("SET a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1,l=1,m=1").too_many_settings);
}

TEST(Classify, WhatAsksForTheStatementBefore) {
  EXPECT_TRUE(classify("SELECT LAST_INSERT_ID()").last_insert_id);
  EXPECT_TRUE(classify("INSERT INTO t VALUES (last_insert_id())").last_insert_id);
  EXPECT_TRUE(classify("SELECT @@identity").last_insert_id);
  EXPECT_TRUE(classify("INSERT INTO t (b) VALUES (1) RETURNING id").last_insert_id);
  EXPECT_FALSE(classify("DELETE FROM t RETURNING id").last_insert_id);
  EXPECT_TRUE(classify("SELECT @@session.last_insert_id").last_insert_id);
  EXPECT_TRUE(classify("SELECT ROW_COUNT()").row_count);
  EXPECT_TRUE(classify("SELECT FOUND_ROWS()").found_rows);
  EXPECT_TRUE(classify("SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 1").calc_found_rows);
  EXPECT_TRUE(classify("SHOW WARNINGS").diagnostics);
  EXPECT_TRUE(classify("SELECT @@warning_count").diagnostics);
  EXPECT_FALSE(classify("SELECT row_count FROM t").row_count);
}

TEST(Classify, WhatEndsLocks) {
  EXPECT_TRUE(classify("UNLOCK TABLES").unlocks);
  EXPECT_FALSE(classify("UNLOCK INSTANCE").unlocks);
  EXPECT_TRUE(classify("SELECT RELEASE_ALL_LOCKS()").releases);
  EXPECT_TRUE(classify("do release_all_locks();").releases);
  EXPECT_FALSE(classify("SELECT IF(0, RELEASE_ALL_LOCKS(), 1)").releases);
  EXPECT_FALSE(classify("SELECT RELEASE_ALL_LOCKS() FROM t WHERE 0").releases);
}

TEST(Classify, Kill) {
  const Verdict query = classify("KILL QUERY 17");
  EXPECT_TRUE(query.kill && query.kill_query);
  EXPECT_EQ(query.kill_id, 17u);
  const Verdict connection = classify("kill 18;");
  EXPECT_TRUE(connection.kill);
  EXPECT_FALSE(connection.kill_query);
  EXPECT_FALSE(classify("KILL CONNECTION_ID()").kill);
  EXPECT_FALSE(classify("KILL 1; SELECT 1").kill);
  EXPECT_FALSE(classify("KILL 99999999999999999999999").kill);
}

TEST(Classify, BodiesOfProgramsRunLater) {
  constexpr auto kSql = "CREATE DEFINER = `a`@`b` PROCEDURE p() BEGIN SET @a = 1; CALL q(); END";
  EXPECT_EQ(pins(kSql, {{}, false}), "");
  // Where several statements may come, nobody knows where it ends.
  EXPECT_NE(pins(kSql, {{}, true}), "");
  EXPECT_EQ(pins("CREATE FUNCTION f() RETURNS INT RETURN GET_LOCK('a', 1)", {{}, false}), "");
}

TEST(Classify, NamesThatHideSomething) {
  HazardNames hazards;
  hazards.add("Sets", "BEGIN SET @a = 1; RETURN 1; END");
  hazards.add("locks", "RETURN get_lock('a', 1)");
  hazards.add("secret", "");
  hazards.add("pure", "BEGIN DECLARE x INT DEFAULT 1; SET x = 2; RETURN '@a'; END");
  hazards.add("logged", "INSERT INTO audit VALUES (`SETS`())");
  hazards.add("seen", "select `orders`.`logged`.`a` AS `a` from `orders`.`logged`");
  hazards.settle();
  ClassifyOptions options;
  options.hazards = &hazards;
  for (const auto sql : {"SELECT sets()", "SELECT orders.`Sets` ()", "SELECT locks()", "SELECT secret()",
                         "INSERT INTO logged VALUES (1)", "UPDATE seen SET a = 1", "(SELECT sets())", "TABLE seen"})
    EXPECT_EQ(pins(sql, options), "opaque") << sql;
  for (const auto sql : {"SELECT pure()", "SELECT 'sets'", "SELECT 1 -- sets", "INSERT INTO audit VALUES (1)"})
    EXPECT_EQ(pins(sql, options), "") << sql;
}

TEST(Digest, HoldsNoLiteral) {
  EXPECT_EQ(digest("SELECT  a, 'secret' /* hidden */ FROM t WHERE b = 42 AND c IN (1, \"x\")"),
            "SELECT a, ? FROM t WHERE b= ? AND c IN(?, ?)");
  EXPECT_EQ(digest("SELECT '" + std::string(1000, 's') + "'"), "SELECT ?");
  EXPECT_LE(digest("SELECT " + std::string(1000, 'a')).size(), 200u);
}

}  // namespace
}  // namespace dbproxy::session::mysql
