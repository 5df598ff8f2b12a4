// What servers change without a word of it, and what outlives a reset.
#include "tests/unit/session_mysql/world.hpp"

namespace dbproxy::session::mysql {
namespace {

using namespace test;
using namespace std::string_view_literals;
using wire::Command;

TEST(MysqlReported, MaxJoinSizeTakesSqlBigSelectsWithIt) {
  World world;
  Client client(world);
  world.run(client, "SET max_join_size = 9999", Says().variable("max_join_size", "9999").ok());
  EXPECT_EQ(*world.server.settings()->find("sql_big_selects"), "OFF");
  EXPECT_EQ(client.pins(), 0u);
  world.run(client, "SET max_join_size = DEFAULT", Says().variable("max_join_size", "18446744073709551615").ok());
  EXPECT_EQ(*world.server.settings()->find("sql_big_selects"), "ON");
  // Where both are told, in whichever order, that is what there is.
  world.run(client, "SET max_join_size = 5, sql_big_selects = 1",
            Says().variable("sql_big_selects", "ON").variable("max_join_size", "5").ok());
  EXPECT_EQ(*world.server.settings()->find("sql_big_selects"), "ON");
}

TEST(MysqlReported, TheNamesOfOneVariableAreOne) {
  World world;
  Client client(world);
  world.run(client, "SET tx_isolation = 'SERIALIZABLE'", Says().variable("tx_isolation", "SERIALIZABLE").ok());
  EXPECT_EQ(client.pins(), 0u);
  EXPECT_EQ(*world.server.settings()->find("transaction_isolation"), "SERIALIZABLE");
  EXPECT_EQ(world.server.settings()->find("tx_isolation"), nullptr);
}

TEST(MysqlReported, WhatChangesAnotherOneUnseenPins) {
  World world;
  Client client(world);
  world.run(client, "SET old = 1", Says().variable("old", "ON").ok());
  EXPECT_EQ(pin_names(client.pins()), "set_variable");
}

TEST(MysqlReported, NamesGiveResultsACollation) {
  World world;
  Client client(world);
  const auto names = [](Says says = Says()) {
    for (const std::string_view name : {"character_set_client", "character_set_connection", "character_set_results"})
      says.variable(name, "utf8mb4");
    return says;
  };
  world.run(client, "SET NAMES utf8mb4 COLLATE utf8mb4_bin", names().ok());
  EXPECT_EQ(*world.server.settings()->find(kResultsCollation), "utf8mb4_bin");
  EXPECT_EQ(client.pins(), 0u);
  world.run(client, "SET NAMES utf8mb4", names().ok());
  EXPECT_EQ(world.server.settings()->find(kResultsCollation), nullptr);
  world.run(client, "SET NAMES utf8mb4 COLLATE utf8mb4_bin, collation_connection = utf8mb4_general_ci",
            names().variable("collation_connection", "utf8mb4_general_ci").ok());
  EXPECT_EQ(pin_names(client.pins()), "set_variable");
}

// An error tells of nothing; what was changed before it, by a function or the beginning of a list, the next OK tells.
TEST(MysqlReported, WhatIsToldAfterAnErrorIsTheClientsWhateverTheProxyAskedMeanwhile) {
  World world;
  Client client(world), other(world, 2);
  wire::Ok made;
  made.last_insert_id = 7;
  world.run(other, "INSERT INTO t (b) VALUES ('x')", Says().ok(made));
  world.run(client, "SELECT tunes(), nowhere()", Says().error(1305));
  EXPECT_EQ(world.say(client, query("SELECT LAST_INSERT_ID()")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("SET last_insert_id = 0"));
  world.serve(client, Says().variable("max_sort_length", "99").ok());
  ASSERT_NE(client.settings()->find("max_sort_length"), nullptr);
  EXPECT_EQ(*client.settings()->find("max_sort_length"), "99");
  world.run(client, "SELECT LAST_INSERT_ID()", Says().ok());
  EXPECT_EQ(*client.settings()->find("max_sort_length"), "99");
}

TEST(MysqlReported, WhatIsToldWithWarningsThatAreFetchedIsTheClients) {
  World world;
  Client client(world);
  world.run(client, "SELECT tunes(), nowhere()", Says().error(1305));
  Output out;
  ASSERT_TRUE(client.let_go(world.server, out));
  Says says = Says().condition_columns();
  world.serve(client, says.variable("max_sort_length", "99").end());
  EXPECT_TRUE(client.can_release(world.server));
  ASSERT_NE(client.settings()->find("max_sort_length"), nullptr);
}

// MariaDB does not tell of SET @@name = …
TEST(MysqlReported, WhatWasNotToldIsTheClientsWhenTheTrackersStartAgain) {
  World world;
  Client client(world);
  world.run(client, "SET @@sql_mode = ''", Says().ok());
  EXPECT_EQ(pin_names(client.pins()), "set_variable");
  world.say(client, query("SET session_track_system_variables = 'time_zone'; SET max_sort_length = 91"));
  world.serve(client, Says().changed().ok());
  EXPECT_EQ(world.say(client, query("SELECT 1")), ClientVerdict::kWait);
  world.serve(client, Says().variable("sql_mode", "").variable("autocommit", "ON").ok());
  world.run(client, "SELECT 1", Says().ok());
  EXPECT_EQ(*client.settings()->find("sql_mode"), "");
}

TEST(MysqlReported, APreparationThatMakesNothingMayTellAState) {
  World world;
  Client client(world, 1, kOld);
  const std::string prepare = request(Command::kStmtPrepare, "SET GLOBAL max_sort_length = 3000");
  EXPECT_EQ(world.say(client, prepare), ClientVerdict::kMore);
  EXPECT_EQ(world.serve(client, Says().track(wire::StateType::kTransactionState, "T_______").ok()),
            ServerVerdict::kReady);
  EXPECT_EQ(world.seen(), Says(kOld).ok().out);
  EXPECT_EQ(world.say(client, prepare), ClientVerdict::kMore);
  EXPECT_EQ(world.serve(client, Says().raw("\0\1\0\0\0\0\0\0\0\0\0\0"sv)), ServerVerdict::kReady);
}

TEST(MysqlReported, ACollationIsWhatIsToldOfItInWhicheverOrder) {
  for (const bool first : {true, false}) {
    World world;
    Client client(world);
    Says says;
    if (first) says.variable("collation_connection", "utf8mb4_bin");
    says.variable("character_set_connection", "utf8mb4");
    if (!first) says.variable("collation_connection", "utf8mb4_bin");
    world.run(client, "SET character_set_connection = latin1, collation_connection = utf8mb4_bin", says.ok());
    ASSERT_NE(client.settings()->find("collation_connection"), nullptr) << first;
    EXPECT_EQ(*client.settings()->find("collation_connection"), "utf8mb4_bin");
  }
}

// Commands that run nothing leave what there is, so that nothing of the proxy's own must be there.
TEST(MysqlReported, WarningsOfReplaysAreNotAmongTheClients) {
  World world;
  Client client(world), other(world, 2);
  world.run(other, "SET sql_mode = ''", Says().variable("sql_mode", "").ok());
  EXPECT_EQ(world.say(client, request(Command::kInitDb, "nowhere")), ClientVerdict::kWait);
  wire::Ok warned;
  warned.warnings = 3;
  world.serve(client, Says().ok(warned));
  EXPECT_EQ(world.say(client, request(Command::kInitDb, "nowhere")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("SELECT 1 FROM (SELECT 1) AS nothing"));
  world.serve(client, Says().raw("\1").raw("def").raw("1").end());
  EXPECT_EQ(world.say(client, request(Command::kInitDb, "nowhere")), ClientVerdict::kMore);
  world.serve(client, Says().error(1049));
  // What it left outlives such a command, wherever it is kept.
  Output out;
  ASSERT_TRUE(client.let_go(world.server, out));
  world.serve(client, Says().condition_columns().row({"Error", "1049", "no"}).end());
  world.say(client, request(Command::kInitDb, "orders"));
  world.serve(client, Says().ok());
  world.seen();
  EXPECT_EQ(world.say(client, query("SHOW WARNINGS")), ClientVerdict::kMore);
  EXPECT_NE(world.seen().find("1049"), std::string::npos);
}

TEST(MysqlReported, WarningsOutliveTheOption) {
  World world;
  Client client(world);
  world.say(client, request(Command::kFieldList, "nowhere\0"sv));
  world.serve(client, Says().error(1146));
  world.say(client, request(Command::kSetOption, "\1\0"sv));
  EXPECT_EQ(world.say(client, query("SHOW WARNINGS")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, request(Command::kSetOption, "\1\0"sv));
  world.serve(client, Says().end());
  world.run(client, "SHOW WARNINGS", Says().condition_columns().end());
}

TEST(MysqlReported, SeveralStatementsOrOneIsNotReset) {
  World world;
  Client client(world);
  EXPECT_EQ(world.say(client, request(Command::kSetOption, "\x01\0"sv)), ClientVerdict::kMore);
  EXPECT_EQ(world.say(client, request(Command::kResetConnection)), ClientVerdict::kMore);
  EXPECT_EQ(world.serve(client, Says().ok()), ServerVerdict::kReady);
  EXPECT_FALSE(client.lasting().multi_statements);
}

TEST(MysqlReported, APreparationThatMakesNothingEndsNobody) {
  World world;
  Client client(world);
  EXPECT_EQ(world.say(client, request(Command::kStmtPrepare, "SET GLOBAL max_sort_length = 3000")),
            ClientVerdict::kMore);
  EXPECT_EQ(world.serve(client, Says().raw("\0\0\0\0\0\0\0"sv)), ServerVerdict::kReady);
  EXPECT_EQ(world.seen(), Says().raw("\0\0\0\0\0\0\0"sv).out);
  world.run(client, "SELECT 1", Says().ok());
}

}  // namespace
}  // namespace dbproxy::session::mysql
