#include "tests/unit/session_mysql/world.hpp"

namespace dbproxy::session::mysql {
namespace {

using namespace test;
using namespace std::string_view_literals;
using wire::Command;

bool lost(World& world, Client& client, std::string_view last_words = {}) {
  Output out;
  const bool kept = client.server_lost(world.server, "gone", last_words, out);
  world.to_client += drain(out);
  return kept;
}

std::uint16_t code_of(std::string_view packet) {
  wire::Error error;
  EXPECT_TRUE(wire::read_error(packet.substr(wire::kHeaderSize), error));
  return error.code;
}

TEST(MysqlLost, AClientAtRestHearsNothingOfIt) {
  World world;
  Client client(world);
  wire::Ok warned;
  warned.warnings = 1;
  world.run(client, "INSERT IGNORE INTO t VALUES (1)", Says().ok(warned));
  world.seen();
  ASSERT_FALSE(client.can_release(world.server));
  EXPECT_TRUE(lost(world, client));
  EXPECT_EQ(world.seen(), "");
  World another;
  EXPECT_EQ(another.say(client, query("SELECT 1")), ClientVerdict::kMore);
}

TEST(MysqlLost, WhatWasAskedIsAnsweredWithAnError) {
  World world;
  Client client(world);
  world.say(client, query("UPDATE t SET a = 1"));
  EXPECT_TRUE(lost(world, client));
  EXPECT_EQ(code_of(world.to_client), wire::error::kServerLost);
  EXPECT_EQ(world.seen()[3], 1);
  // The temporary table is not there, since the statement was not answered.
  World another;
  another.say(client, query("CREATE TEMPORARY TABLE t (a INT)"));
  EXPECT_NE(client.pins(), 0u);
  EXPECT_TRUE(lost(another, client));
  EXPECT_EQ(client.pins(), 0u);
}

TEST(MysqlLost, AStepAheadOfARequestIsTakenAgain) {
  World world;
  Client client(world, 1, kServer, "shop");
  EXPECT_EQ(world.say(client, query("SELECT 1")), ClientVerdict::kWait);
  EXPECT_TRUE(lost(world, client));
  EXPECT_EQ(world.seen(), "");
  World another;
  EXPECT_EQ(another.say(client, query("SELECT 1")), ClientVerdict::kWait);
  EXPECT_EQ(another.to_server, request(Command::kInitDb, "shop"));
}

TEST(MysqlLost, WhatOnlyThatConnectionHadIsGoneWithIt) {
  World pinned;
  Client one(pinned);
  pinned.run(one, "SET @a = 1", Says().changed().ok());
  EXPECT_FALSE(lost(pinned, one));

  World open;
  Client two(open, 2);
  open.run(two, "BEGIN", Says().status(wire::status::kInTransaction | wire::status::kAutocommit));
  EXPECT_FALSE(lost(open, two));

  World failed;  // nobody knows whether that rolled back
  Client three(failed, 3);
  failed.run(three, "SELECT nothing", Says().error(1054));
  EXPECT_FALSE(lost(failed, three));

  World rows;
  Client four(rows, 4);
  rows.say(four, query("SELECT 1"));
  rows.serve(four, Says().raw("\x01").raw("def"));
  EXPECT_FALSE(lost(rows, four));
  EXPECT_EQ(four.error_sequence(), 3);
}

TEST(MysqlLost, TheServersLastWordsTellWhoseEndItIs) {
  for (const auto& [code, kept] : {std::pair{1053, true}, std::pair{4031, true}, std::pair{1927, false}}) {
    World world;
    Client client(world);
    EXPECT_EQ(lost(world, client, Says().error(static_cast<std::uint16_t>(code)).out), kept) << code;
  }
}

TEST(MysqlSession, ClientsFindTheirOwnNumber) {
  World world;
  world.options.connection_id = 77;
  Client client(world);
  world.say(client, query("SELECT CONNECTION_ID()"));
  EXPECT_EQ(world.to_server, query("SELECT 77 AS `CONNECTION_ID()`"));
  world.serve(client, Says().ok());
  world.say(client, query("SELECT a, connection_id( ) + 1 FROM t"));
  EXPECT_EQ(world.to_server, query("SELECT a, 77 + 1 FROM t"));
  world.serve(client, Says().ok());
  world.say(client, request(Command::kStmtPrepare, "SELECT CONNECTION_ID(), ?"));
  EXPECT_EQ(world.to_server, request(Command::kStmtPrepare, "SELECT 77 AS `CONNECTION_ID()`, ?"));
}

TEST(MysqlSession, KillNeedsNoServer) {
  World world;
  Client client(world);
  EXPECT_EQ(world.say(client, query(" /* now */ KILL QUERY 5"), false), ClientVerdict::kMore);
  const auto kill = client.take_kill();
  ASSERT_TRUE(kill);
  EXPECT_EQ(kill->id, 5u);
  EXPECT_TRUE(kill->query_only);
  EXPECT_EQ(world.say(client, query("KILL (SELECT 5)"), false), ClientVerdict::kNeedServer);
}

TEST(MysqlSession, NobodySeesTheWarningsOfAnother) {
  World world;
  Client one(world, 1), other(world, 2);
  world.run(one, "SELECT secret FROM t", Says().error(1054));
  world.say(one, query("ROLLBACK"));
  world.serve(one, Says().ok());
  world.seen();
  EXPECT_EQ(world.say(other, query("SHOW WARNINGS")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("DO 0"));
  EXPECT_EQ(world.serve(other, Says().ok()), ServerVerdict::kReady);
  EXPECT_EQ(world.say(other, query("SHOW WARNINGS")), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, query("SHOW WARNINGS"));
}

TEST(MysqlSession, FoundRowsAreThoseOfTheLastStatementWithRows) {
  World world;
  Client one(world, 1), other(world, 2);
  world.run(one, "SELECT a FROM t", Says().raw("\x01").raw("def").raw("\x01x").raw("\x01y").end());
  world.run(one, "DO 1", Says().ok());
  world.say(one, query("SELECT FOUND_ROWS()"));
  EXPECT_EQ(world.to_server, query("SELECT FOUND_ROWS()"));
  world.serve(one, Says().raw("\x01").raw("def").raw("\x01x").end());
  world.run(other, "SELECT a FROM t", Says().raw("\x01").raw("def").end());
  world.run(one, "DO 1", Says().ok());
  world.say(one, query("SELECT FOUND_ROWS(), ROW_COUNT() FROM t"));
  EXPECT_EQ(world.to_server, query("SELECT 1 AS `FOUND_ROWS()`, 0 AS `ROW_COUNT()` FROM t"));
}

// MySQL's DEFAULT of these is not what a new session has: SET … = DEFAULT would leave them to the next client.
TEST(MysqlSession, SwitchesAreAskedForFromTheStart) {
  World world;
  for (const std::string_view name : {"foreign_key_checks", "unique_checks", "sql_auto_is_null", "sql_safe_updates"})
    EXPECT_NE(world.to_server.find("SESSION " + std::string(name) + " = @@SESSION." + std::string(name)),
              std::string::npos)
        << name;
}

}  // namespace
}  // namespace dbproxy::session::mysql
