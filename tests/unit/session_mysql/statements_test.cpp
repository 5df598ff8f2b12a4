#include "tests/unit/session_mysql/world.hpp"

namespace dbproxy::session::mysql {
namespace {

using namespace test;
using namespace std::string_literals;
using namespace std::string_view_literals;
using wire::Command;

// The answer to COM_STMT_PREPARE: one parameter, no columns.
Says prepared(char number) {
  return Says().raw("\0"s + number + "\0\0\0\0\0\x01\0\0\0\0"s).raw("param");
}
std::string execute(char number, std::string_view behind) {
  return request(Command::kStmtExecute, number + "\0\0\0\0\x01\0\0\0"s + std::string(behind));
}
// No NULL; types sent: one, 8 bytes. Then the value.
constexpr auto kTyped = "\0\x01\x08\0abcdefgh"sv;
constexpr auto kUntyped = "\0\0abcdefgh"sv;

std::string number(const std::string& packet) {
  return packet.substr(5, 4);
}

TEST(MysqlStatements, NumbersAreTheClientsOwn) {
  World world;
  Client client(world);
  for (const char there : {'\x50', '\x51'}) {
    world.say(client, request(Command::kStmtPrepare, "INSERT INTO t VALUES (?), ("s + there + ")"));
    ASSERT_EQ(world.serve(client, prepared(there)), ServerVerdict::kReady);
  }
  EXPECT_TRUE(client.can_release(world.server));
  world.seen();
  world.say(client, execute(2, kTyped));
  EXPECT_EQ(world.to_server, execute('\x51', kTyped));
  world.serve(client, Says().ok());
  world.say(client, execute(1, kTyped));
  EXPECT_EQ(number(world.to_server), "\x50\0\0\0"sv);
  world.serve(client, Says().ok());
  EXPECT_TRUE(client.can_release(world.server));
  world.seen();
  EXPECT_EQ(world.say(client, execute(9, kTyped)), ClientVerdict::kMore);
  wire::Error error;
  const std::string got = world.seen();
  ASSERT_TRUE(wire::read_error(std::string_view(got).substr(4), error));
  EXPECT_EQ(error.code, 1243);
}

TEST(MysqlStatements, TheLastPreparedNeedsNoNumber) {
  World world;
  Client client(world);
  const std::string last = request(Command::kStmtExecute, "\xff\xff\xff\xff\0\x01\0\0\0"s + std::string(kTyped));
  const auto code = [&](std::string bytes) {
    EXPECT_EQ(world.say(client, std::move(bytes)), ClientVerdict::kMore);
    wire::Error error;
    const std::string got = world.seen();
    return got.size() > 4 && wire::read_error(std::string_view(got).substr(4), error) ? error.code : 0;
  };
  EXPECT_EQ(code(last), 1243);
  for (const char there : {'\x50', '\x51'}) {
    // Both at once, as MariaDB's connectors send them.
    const std::string prepare = request(Command::kStmtPrepare, "INSERT INTO t VALUES (?), ("s + there + ")");
    EXPECT_EQ(world.say(client, prepare + last), ClientVerdict::kWait);
    EXPECT_EQ(world.to_server, prepare);
    ASSERT_EQ(world.serve(client, prepared(there)), ServerVerdict::kReady);
    world.say(client, last);
    EXPECT_EQ(world.to_server, execute(there, kTyped));
    world.serve(client, Says().ok());
    world.seen();
  }
  world.say(client, request(Command::kStmtPrepare, "SELEC ?"));
  world.serve(client, Says().error());
  world.seen();
  EXPECT_EQ(code(last), 1243);
}

// It would wait for rows to be fetched.
TEST(MysqlStatements, ACursorOfBeforeIsNotTakenForOneOfTheNextStatement) {
  World world;
  Client client(world, 1, kOld);
  world.run(client, "SELECT 1",
            Says().status(wire::status::kAutocommit | wire::status::kCursorExists | wire::status::kLastRowSent));
  world.seen();
  world.run(client, "SELECT 2",
            Says()
                .raw("\x01")
                .raw("def")
                .raw("\x01"
                     "2")
                .end());
  const std::string end = "\x05\0\0\x03\xfe\0\0\x02\0"s;
  EXPECT_NE(world.seen().find(end), std::string::npos);
}

// Clients without DEPRECATE_EOF know the row of OUT parameters by the flags of the EOF before it, which the end tells.
TEST(MysqlStatements, OutParametersAreKnownByTheEofBeforeThem) {
  World world;
  Client client(world, 1, kOld);
  world.say(client, request(Command::kStmtPrepare, "CALL p(?)"));
  ASSERT_EQ(world.serve(client, prepared('\x50')), ServerVerdict::kReady);
  world.seen();
  world.say(client, execute(1, kTyped));
  wire::Ok rows, parameters;
  rows.status |= wire::status::kMoreResults;
  parameters.status |= wire::status::kMoreResults | wire::status::kOutParameters;
  const std::string answer = Says()
                                 .raw("\x01")
                                 .raw("def")
                                 .raw("\0\0a"sv)
                                 .raw("\0\0b"sv)
                                 .end(rows)
                                 .raw("\x01")
                                 .raw("def")
                                 .raw("\0\0c"sv)
                                 .end(parameters)
                                 .ok()
                                 .out;
  std::string expected;
  std::uint8_t next = 1;
  const auto add = [&](std::string_view payload) { next = wire::packet(expected, next, payload); };
  add("\x01"), add("def"), next = wire::eof(expected, next, 0, rows.status);
  add("\0\0a"sv), add("\0\0b"sv), next = wire::eof(expected, next, 0, rows.status);
  add("\x01"), add("def"), next = wire::eof(expected, next, 0, parameters.status);
  add("\0\0c"sv), next = wire::eof(expected, next, 0, parameters.status);
  wire::ok(expected, next, kOld, {});
  std::string fed;
  for (const char byte : answer) {  // however it comes
    fed += byte;
    world.serve(&client, fed);
    fed = fed.substr(fed.size() - world.left);
  }
  EXPECT_EQ(world.seen(), expected);
}

TEST(MysqlStatements, AnErrorAmongRowsFollowsTheEofOfOldClients) {
  World world;
  Client client(world, 1, kOld);
  world.say(client, query("SELECT f(a) FROM t"));
  world.serve(client, Says().raw("\x01").raw("def").error());
  std::string expected;
  wire::packet(expected, 1, "\x01");
  wire::packet(expected, 2, "def");
  wire::eof(expected, 3, 0, 2);
  wire::error_packet(expected, 4, {1064, "42000", "no"});
  EXPECT_EQ(world.seen(), expected);
}

TEST(MysqlStatements, WhereTheClientLandsTheyArePreparedAgainWithTheirTypes) {
  World here, there;
  Client client(here);
  here.say(client, request(Command::kStmtPrepare, "INSERT INTO t VALUES (?)"));
  here.serve(client, prepared('\x50'));
  here.say(client, execute(1, kTyped));
  here.serve(client, Says().ok());
  // The same types again are not sent again.
  here.say(client, execute(1, kUntyped));
  EXPECT_EQ(here.to_server, execute('\x50', kUntyped));
  here.serve(client, Says().ok());
  client.detaching(here.server);
  here.seen();

  EXPECT_EQ(there.say(client, execute(1, kUntyped)), ClientVerdict::kWait);
  EXPECT_EQ(there.to_server, request(Command::kStmtPrepare, "INSERT INTO t VALUES (?)"));
  EXPECT_EQ(there.serve(client, prepared('\x77')), ServerVerdict::kReady);
  EXPECT_EQ(there.seen(), "");
  EXPECT_EQ(there.say(client, execute(1, kUntyped)), ClientVerdict::kMore);
  EXPECT_EQ(there.to_server, execute('\x77', kTyped));
  EXPECT_EQ(there.serve(client, Says().ok()), ServerVerdict::kReady);
  EXPECT_EQ(there.say(client, execute(1, kUntyped)), ClientVerdict::kMore);
  EXPECT_EQ(there.to_server, execute('\x77', kUntyped));
}

TEST(MysqlStatements, TwoClientsShareOneAndHaveTheirOwnTypes) {
  World world;
  Client first(world, 1), second(world, 2);
  for (Client* client : {&first, &second}) {
    world.say(*client, request(Command::kStmtPrepare, "INSERT INTO t VALUES (?)"));
    world.serve(*client, prepared(client == &first ? '\x50' : '\x51'));
    client->detaching(world.server);
  }
  EXPECT_EQ(world.server.prepared_count(), 1u);
  constexpr auto kText = "\0\x01\xfd\0\x01x"sv, kTextUntyped = "\0\0\x01x"sv;
  // The one before is closed with the next request.
  world.say(first, execute(1, kTyped));
  EXPECT_EQ(world.to_server, request(Command::kStmtClose, "\x50\0\0\0"sv) + execute('\x51', kTyped));
  world.serve(first, Says().ok());
  world.say(second, execute(1, kText));
  world.serve(second, Says().ok());
  world.say(first, execute(1, kUntyped));
  EXPECT_EQ(world.to_server, execute('\x51', kTyped));
  world.serve(first, Says().ok());
  world.say(second, execute(1, kTextUntyped));
  EXPECT_EQ(world.to_server, execute('\x51', kText));
}

TEST(MysqlStatements, OneThatCanNoLongerBePreparedIsAnError) {
  World here, there;
  Client client(here);
  here.say(client, request(Command::kStmtPrepare, "SELECT * FROM gone WHERE a = ?"));
  here.serve(client, prepared('\x50'));
  client.detaching(here.server);
  EXPECT_EQ(there.say(client, execute(1, kTyped)), ClientVerdict::kWait);
  EXPECT_EQ(there.serve(client, Says().error(1146)), ServerVerdict::kReady);
  EXPECT_EQ(there.say(client, execute(1, kTyped)), ClientVerdict::kMore);
  EXPECT_EQ(there.to_server, "");
  EXPECT_EQ(there.seen(), Says().error(1146).out);
}

// It has no answer: that it went nowhere is told where its statement is executed.
TEST(MysqlStatements, LongDataThatNoConnectionWasFoundFor) {
  World world;
  Client client(world);
  world.say(client, request(Command::kStmtPrepare, "INSERT INTO t VALUES (?)"));
  ASSERT_EQ(world.serve(client, Says().raw("\0\x50\0\0\0\0\0\x01\0\0\0\0"sv).raw("param")), ServerVerdict::kReady);
  world.seen();
  const std::string data = request(Command::kStmtSendLongData, "\x01\0\0\0\0\0data"sv);
  const std::string execute = request(Command::kStmtExecute, "\x01\0\0\0\0\x01\0\0\0\0\x01\xfd\0"sv);
  EXPECT_EQ(world.say(client, data, false), ClientVerdict::kNeedServer);
  const std::string error = Says().error(9501).out;
  client.reject(error);
  EXPECT_EQ(world.say(client, data, false), ClientVerdict::kMore);
  EXPECT_EQ(world.left, 0u);
  EXPECT_EQ(world.seen(), "");
  EXPECT_EQ(world.say(client, execute), ClientVerdict::kMore);
  EXPECT_EQ(world.seen(), error);
  EXPECT_EQ(world.to_server, "");
  EXPECT_EQ(world.say(client, execute), ClientVerdict::kMore);
  EXPECT_NE(world.to_server, "");
}

TEST(MysqlStatements, LongDataHoldsUntilItIsUsed) {
  World world;
  Client client(world);
  world.say(client, request(Command::kStmtPrepare, "INSERT INTO t VALUES (?)"));
  world.serve(client, prepared('\x50'));
  EXPECT_EQ(world.say(client, request(Command::kStmtSendLongData, "\x01\0\0\0\0\0data"sv)), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, request(Command::kStmtSendLongData, "\x50\0\0\0\0\0data"sv));
  EXPECT_EQ(pin_names(client.pins()), "long_data");
  EXPECT_FALSE(client.can_release(world.server));
  world.say(client, execute(1, kTyped));
  world.serve(client, Says().ok());
  EXPECT_TRUE(client.can_release(world.server));
  world.say(client, request(Command::kStmtSendLongData, "\x01\0\0\0\0\0data"sv));
  world.say(client, request(Command::kStmtReset, "\x01\0\0\0"sv));
  EXPECT_EQ(world.serve(client, Says().ok()), ServerVerdict::kReady);
  EXPECT_TRUE(client.can_release(world.server));
  // With nothing to reset, nobody has to be asked.
  world.seen();
  EXPECT_EQ(world.say(client, request(Command::kStmtReset, "\x01\0\0\0"sv), false), ClientVerdict::kMore);
  EXPECT_EQ(world.seen(), Says().ok().out);
}

TEST(MysqlStatements, CloseHasNoAnswerAndLeavesItForOthers) {
  World world;
  Client client(world);
  world.say(client, request(Command::kStmtPrepare, "SELECT ?"));
  world.serve(client, prepared('\x50'));
  world.seen();
  EXPECT_EQ(world.say(client, request(Command::kStmtClose, "\x01\0\0\0"sv), false), ClientVerdict::kMore);
  EXPECT_EQ(world.seen() + world.to_server, "");
  EXPECT_EQ(world.server.prepared_count(), 1u);
  world.say(client, execute(1, kTyped));
  EXPECT_EQ(world.to_server, "");
}

TEST(MysqlStatements, TheLeastRecentlyUsedGoes) {
  World world;
  Client client(world);
  for (std::size_t i = 0; i <= kMaxPreparedPerServer; ++i) {
    world.say(client, request(Command::kStmtPrepare, "SELECT ?, " + std::to_string(i)));
    ASSERT_EQ(world.serve(client, prepared('\x50')), ServerVerdict::kReady);
  }
  EXPECT_EQ(world.server.prepared_count(), kMaxPreparedPerServer);
  world.seen();
  EXPECT_EQ(world.say(client, execute(1, kTyped)), ClientVerdict::kWait);
  EXPECT_NE(world.to_server.find("SELECT ?, 0"), std::string::npos);
}

TEST(MysqlStatements, WhatTheyDoIsKnownByTheirText) {
  World world;
  Client client(world);
  world.say(client, request(Command::kStmtPrepare, "SELECT GET_LOCK(?, 1)"));
  world.serve(client, prepared('\x50'));
  EXPECT_EQ(client.pins(), 0u);
  world.say(client, execute(1, kTyped));
  world.serve(client, Says().raw("\x01").raw("def").end());
  EXPECT_EQ(pin_names(client.pins()), "lock");
  world.say(client, request(Command::kStmtPrepare, "SET x = ?"));
  world.serve(client, prepared('\x51'));
  world.say(client, execute(2, kTyped));
  world.serve(client, Says().variable("x", "1").ok());
  EXPECT_EQ(pin_names(client.pins()), "lock");
}

}  // namespace
}  // namespace dbproxy::session::mysql
