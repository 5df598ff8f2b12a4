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

  World columns;
  Client two(columns, 2);
  columns.say(two, query("SELECT 1, 2"));
  columns.serve(two, Says().raw("\x02").raw("def"));
  EXPECT_FALSE(lost(columns, two));
  EXPECT_EQ(two.error_sequence(), 3);
}

TEST(MysqlLost, RowsMayEndWithAnError) {
  World world;
  Client client(world);
  world.say(client, query("SELECT 1"));
  world.serve(client, Says().raw("\x01").raw("def").raw("\x01z"));
  world.seen();
  EXPECT_TRUE(lost(world, client));
  EXPECT_EQ(world.to_client[3], 4);
  EXPECT_EQ(code_of(world.to_client), wire::error::kServerLost);

  World part;  // the client waits for the rest of a row
  Client other(part, 2);
  part.say(other, query("SELECT 1"));
  const std::string bytes = Says().raw("\x01").raw("def").raw(std::string(100, 'z')).out;
  part.serve(&other, bytes.substr(0, bytes.size() - 50));
  EXPECT_FALSE(lost(part, other));
}

TEST(MysqlLost, AnErrorWithoutATransactionLeavesNothingThere) {
  World world;
  Client client(world);
  world.run(client, "SELECT nothing", Says().error(1054));
  world.seen();
  EXPECT_TRUE(lost(world, client));
  EXPECT_EQ(world.seen(), "");
  EXPECT_FALSE(client.rejecting());

  World later;  // it may have begun a transaction, which nobody has told of
  Client other(later, 2);
  later.run(other, "BEGIN; SELECT nothing", Says().error(1054));
  EXPECT_TRUE(lost(later, other));
  EXPECT_TRUE(other.rejecting());
}

constexpr std::uint16_t kOpen = wire::status::kInTransaction | wire::status::kAutocommit;

TEST(MysqlLost, ATransactionInFlightIsOneToRunAgain) {
  for (const std::string_view sql :
       {"UPDATE t SET a = 1", "(SELECT 1)", " /* x */ insert into t values (1)", "SAVEPOINT a"}) {
    World world;
    Client client(world);
    world.run(client, "BEGIN", Says().status(kOpen));
    world.say(client, query(sql));
    world.seen();
    EXPECT_TRUE(lost(world, client)) << sql;
    EXPECT_EQ(code_of(world.to_client), wire::error::kDeadlock) << sql;
    EXPECT_FALSE(client.rejecting());
    World another;
    EXPECT_EQ(another.say(client, query("BEGIN")), ClientVerdict::kMore);
    EXPECT_EQ(another.to_server, query("BEGIN"));
  }
}

TEST(MysqlLost, WhatMayHaveCommittedIsNotToBeRunAgain) {
  for (const std::string_view sql : {"COMMIT", "CREATE TABLE t (a INT)", "UPDATE t SET a = 1; COMMIT", "CALL p()",
                                     "/*!50000 COMMIT */", "SET autocommit = 1"}) {
    World world;
    Client client(world);
    world.run(client, "BEGIN", Says().status(kOpen));
    world.say(client, query(sql));
    world.seen();
    EXPECT_TRUE(lost(world, client)) << sql;
    EXPECT_EQ(code_of(world.to_client), wire::error::kServerLost) << sql;
  }
}

TEST(MysqlLost, ATransactionAtRestHearsOfItWithItsNextRequest) {
  for (const std::string_view sql : {"COMMIT", "UPDATE t SET a = 1", "ROLLBACK TO a", "ROLLBACK WORK AND CHAIN"}) {
    World world;
    Client client(world);
    world.run(client, "BEGIN", Says().status(kOpen));
    world.seen();
    EXPECT_TRUE(lost(world, client));
    EXPECT_EQ(world.seen(), "");
    EXPECT_EQ(world.say(client, request(Command::kPing), false), ClientVerdict::kMore);
    world.seen();
    EXPECT_EQ(world.say(client, query(sql), false), ClientVerdict::kMore);
    EXPECT_EQ(code_of(world.seen()), wire::error::kDeadlock) << sql;
    World another;
    EXPECT_EQ(another.say(client, query("SELECT 1")), ClientVerdict::kMore);
    EXPECT_EQ(another.to_server, query("SELECT 1"));
  }
  for (const std::string_view sql : {"ROLLBACK", " rollback work;"}) {
    World world;
    Client client(world);
    world.run(client, "BEGIN", Says().status(kOpen));
    world.seen();
    EXPECT_TRUE(lost(world, client));
    EXPECT_EQ(world.say(client, query(sql), false), ClientVerdict::kMore);
    EXPECT_EQ(world.seen()[wire::kHeaderSize], '\0') << "an OK";
    EXPECT_FALSE(client.rejecting());
  }
  World world;
  Client client(world);
  world.run(client, "BEGIN", Says().status(kOpen));
  EXPECT_TRUE(lost(world, client));
  EXPECT_EQ(world.say(client, request(Command::kResetConnection)), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, request(Command::kResetConnection));
}

TEST(MysqlLost, AServerThatShutsDownIsNoAnswer) {
  World world;
  Client client(world);
  world.run(client, "BEGIN", Says().status(kOpen));
  world.say(client, query("UPDATE t SET a = 1"));
  world.seen();
  world.serve(client, Says().error(wire::error::kServerShutdown));
  EXPECT_EQ(world.seen(), "");
  EXPECT_TRUE(world.server.take_events().fatal);
  EXPECT_TRUE(lost(world, client));
  EXPECT_EQ(code_of(world.seen()), wire::error::kDeadlock);
  EXPECT_FALSE(client.rejecting());
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
  EXPECT_EQ(world.to_server, query("SELECT 1 FROM (SELECT 1) AS nothing"));
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
  EXPECT_EQ(world.to_server, query("SELECT CAST(COALESCE(1, 9223372036854775807) AS SIGNED) AS `FOUND_ROWS()`, "
                                   "CAST(COALESCE(0, 9223372036854775807) AS SIGNED) AS `ROW_COUNT()` FROM t"));
}

// MySQL's DEFAULT of these is not what a new session has: SET … = DEFAULT would leave them to the next client.
TEST(MysqlSession, SwitchesAreAskedForFromTheStart) {
  World world;
  for (const std::string_view name : {"foreign_key_checks", "unique_checks", "sql_auto_is_null", "sql_safe_updates"})
    EXPECT_NE(world.to_server.find("SESSION " + std::string(name) + " = @@SESSION." + std::string(name)),
              std::string::npos)
        << name;
}

TEST(MysqlSession, AServerThatIsReadOnlyNowSaysSo) {
  World world;
  Client client(world);
  for (const auto& [code, message, read_only] :
       {std::tuple(1290, "The MySQL server is running with the --read-only option so it cannot execute this", true),
        std::tuple(1290, "The MySQL server is running with the --secure-file-priv option", false),
        std::tuple(1836, "Running in read-only mode", true), std::tuple(1064, "no", false)}) {
    std::string error;
    wire::error_packet(error, 1, {static_cast<std::uint16_t>(code), "HY000", message});
    ASSERT_EQ(world.say(client, query("INSERT INTO t VALUES (1)")), ClientVerdict::kMore);
    EXPECT_EQ(world.serve(&client, error), ServerVerdict::kReady);
    EXPECT_EQ(world.server.take_events().refused_write, read_only) << message;
  }
}

// The answer to what asks for warnings.
Says conditions(std::initializer_list<std::pair<std::string_view, std::string_view>> rows) {
  Says says;
  says.raw("\3");
  for (const std::string_view column : {"Level", "Code", "Message"}) says.raw(column);
  for (const auto& [code, message] : rows) {
    std::string row;
    wire::append_lenenc_bytes(row, code == "1064" ? "Error" : "Warning");
    wire::append_lenenc_bytes(row, code);
    wire::append_lenenc_bytes(row, message);
    says.raw(row);
  }
  return says.end();
}

TEST(MysqlSession, WarningsAreFetchedBeforeAConnectionIsLetGo) {
  World world;
  Client client(world), other(world, 2);
  world.run(client, "INSERT INTO t VALUES (1000)", Says().ok({1, 0, wire::status::kAutocommit, 2, {}, {}}));
  EXPECT_FALSE(client.can_release(world.server));
  Output out;
  ASSERT_TRUE(client.let_go(world.server, out));
  EXPECT_EQ(drain(out), query(kAskDiagnostics));
  EXPECT_FALSE(client.let_go(world.server, out));  // once
  world.seen();
  const Says answer = conditions({{"1264", "one"}, {"1265", "two"}});
  EXPECT_EQ(world.serve(client, answer), ServerVerdict::kReady);
  EXPECT_EQ(world.seen(), "");
  EXPECT_TRUE(client.can_release(world.server));
  client.detaching(world.server);
  world.run(other, "SELECT 5", Says().ok());
  other.detaching(world.server);
  world.seen();
  // As the server would have said it.
  EXPECT_EQ(world.say(client, query("SHOW WARNINGS")), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, "");
  EXPECT_EQ(world.seen(), answer.out);
  world.say(client, query("show warnings limit 1, 5;"));
  EXPECT_EQ(world.seen(), conditions({{"1265", "two"}}).out);
  world.say(client, query("SHOW ERRORS"));
  EXPECT_EQ(world.seen(), conditions({}).out);
  world.say(client, query("SELECT @@warning_count, @@session.error_count"));
  EXPECT_EQ(world.to_server, query("SELECT CAST(COALESCE(2, 9223372036854775807) AS UNSIGNED) AS `@@warning_count`, "
                                   "CAST(COALESCE(0, 9223372036854775807) AS UNSIGNED) AS "
                                   "`@@session.error_count`"));
}

TEST(MysqlSession, AfterAnErrorTheServerIsAskedWhetherATransactionIsOpen) {
  World world;
  Client client(world);
  for (const bool open : {true, false}) {
    world.run(client, "SELEC", Says().error());
    Output out;
    ASSERT_TRUE(client.let_go(world.server, out));
    Says says;
    says.condition_columns();
    wire::Ok end;
    end.status = static_cast<std::uint16_t>(wire::status::kAutocommit | (open ? wire::status::kInTransaction : 0));
    EXPECT_EQ(world.serve(client, says.end(end)), ServerVerdict::kReady);
    EXPECT_EQ(client.can_release(world.server), !open);
    EXPECT_FALSE(client.let_go(world.server, out));
  }
}

TEST(MysqlSession, FoundRowsAreFetchedBeforeAConnectionIsLetGo) {
  World world;
  Client client(world), other(world, 2);
  Says rows;
  rows.raw("\1")
      .raw("n")
      .raw(
          "\1"
          "1")
      .end();
  world.run(client, "SELECT SQL_CALC_FOUND_ROWS n FROM t LIMIT 1", rows);
  EXPECT_FALSE(client.can_release(world.server));
  Output out;
  ASSERT_TRUE(client.let_go(world.server, out));
  EXPECT_EQ(drain(out), query("SELECT FOUND_ROWS()"));
  EXPECT_EQ(world.serve(client, Says()
                                    .raw("\1")
                                    .raw("n")
                                    .raw("\2"
                                         "17")
                                    .end()),
            ServerVerdict::kReady);
  EXPECT_TRUE(client.can_release(world.server));
  client.detaching(world.server);
  world.run(other, "SELECT 5", Says().ok());
  world.say(client, query("SELECT FOUND_ROWS()"));
  EXPECT_EQ(world.to_server, query("SELECT CAST(COALESCE(17, 9223372036854775807) AS SIGNED) AS `FOUND_ROWS()`"));
}

TEST(MysqlSession, WhatIsAnsweredHereTakesNoSettingsFromAConnection) {
  World world;
  Client client(world), other(world, 2);
  world.run(client, "SET time_zone = '+01:00'", Says().variable("time_zone", "+01:00").ok({0, 0, 2, 1, {}, {}}));
  Output out;
  ASSERT_TRUE(client.let_go(world.server, out));
  world.serve(client, conditions({{"1264", "one"}}));
  client.detaching(world.server);
  const SettingsPtr kept = client.settings();
  world.say(other, query("SELECT 5"));  // first the settings
  world.serve(other, Says().variable("time_zone", "SYSTEM").ok());
  world.say(other, query("SELECT 5"));
  world.serve(other, Says().ok());
  other.detaching(world.server);
  world.say(client, query("SHOW WARNINGS"));
  client.detaching(world.server);
  EXPECT_EQ(client.settings(), kept);
}

}  // namespace
}  // namespace dbproxy::session::mysql
