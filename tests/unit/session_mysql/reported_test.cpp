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
