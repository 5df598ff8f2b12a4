// Prepared statements that go with their client: how their texts are read, and what two of one text have of their own.
#include "tests/unit/session_mysql/world.hpp"

namespace dbproxy::session::mysql {
namespace {

using namespace test;
using namespace std::string_literals;
using namespace std::string_view_literals;
using wire::Command;

Says prepared(char number) {
  return Says().raw("\0"s + number + "\0\0\0\0\0\x01\0\0\0\0"s).raw("param");
}
std::string execute(char number, char flags = 0) {
  return request(Command::kStmtExecute, number + "\0\0\0"s + flags + "\x01\0\0\0\0\x01\xfd\0\x01x"s);
}
std::string number_of(const std::string& packet) {
  return packet.substr(5, 4);
}

class MysqlMoved : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(asked(here, query("SELECT 1")), std::vector<std::string>{"orders"});
    here.serve(client, Says().ok());
  }
  void prepare(World& world, char number, std::string_view text = "SELECT \"a\", ?") {
    world.say(client, request(Command::kStmtPrepare, text));
    ASSERT_EQ(world.serve(client, prepared(number)), ServerVerdict::kReady);
  }
  // What the server gets for a request, up to it; each is answered as it has to be.
  std::vector<std::string> asked(World& world, const std::string& packet) {
    std::vector<std::string> got;
    while (world.say(client, packet) == ClientVerdict::kWait && got.size() < 9) {
      got.push_back(world.to_server.substr(5));
      world.serve(client, world.to_server[4] == '\x16' ? prepared('\x77') : Says().ok());
    }
    return got;
  }

  World here, there;
  Client client{here, 1, kServer, "orders"};
};

using Texts = std::vector<std::string>;

TEST_F(MysqlMoved, ATextIsReadUnderTheSettingsOfItsPrepare) {
  prepare(here, '\x50');
  here.run(client, "SET sql_mode = 'ANSI_QUOTES'", Says().variable("sql_mode", "ANSI_QUOTES").ok());
  here.run(client, "USE billing", Says().schema("billing").ok());
  // Where it stands nothing is to be done.
  EXPECT_EQ(asked(here, execute(1)), Texts{});
  EXPECT_EQ(number_of(here.to_server), "\x50\0\0\0"sv);
  here.serve(client, Says().raw("\x01").raw("def").end());
  client.detaching(here.server);

  const Texts all = {"orders", "SELECT \"a\", ?", "SET @@SESSION.sql_mode = 'ANSI_QUOTES'", "billing"};
  EXPECT_EQ(asked(there, execute(1)), all);
  EXPECT_EQ(number_of(there.to_server), "\x77\0\0\0"sv);
  there.serve(client, Says().raw("\x01").raw("def").end());
  EXPECT_EQ(asked(there, execute(1)), Texts{});
  there.serve(client, Says().raw("\x01").raw("def").end());
  EXPECT_EQ(there.server.schema(), "billing");
  EXPECT_TRUE(client.can_release(there.server));
}

TEST_F(MysqlMoved, WhatAnErrorLeftUntoldIsHeardBeforeSettingsAreExchanged) {
  prepare(here, '\x50');
  here.run(client, "SET sql_mode = 'ANSI_QUOTES'", Says().variable("sql_mode", "ANSI_QUOTES").ok());
  client.detaching(here.server);
  asked(there, query("DO 1"));
  there.serve(client, Says().ok());
  there.run(client, "SELECT tunes(), nowhere()", Says().error(1305));
  ASSERT_EQ(there.say(client, execute(1)), ClientVerdict::kWait);
  EXPECT_EQ(there.to_server, query("DO 0"));
  there.serve(client, Says().variable("max_sort_length", "99").ok());
  EXPECT_FALSE(asked(there, execute(1)).empty());
  there.serve(client, Says().raw("\x01").raw("def").end());
  ASSERT_NE(client.settings()->find("max_sort_length"), nullptr);
  EXPECT_EQ(*client.settings()->find("max_sort_length"), "99");
  EXPECT_EQ(asked(there, query("DO 1")), Texts{});
}

// MariaDB does not tell of SET @@name = …: then only the server has it, and it must stay there.
TEST_F(MysqlMoved, WhatWasNotToldIsNotExchanged) {
  for (const bool mariadb : {false, true}) {
    World first(mariadb), other(mariadb);
    Client mine(first, 1, kServer, "");
    first.say(mine, request(Command::kStmtPrepare, "SELECT \"a\", ?"));
    ASSERT_EQ(first.serve(mine, prepared('\x50')), ServerVerdict::kReady);
    mine.detaching(first.server);
    other.run(mine, "SET sql_mode = 'ANSI_QUOTES'", Says().variable("sql_mode", "ANSI_QUOTES").ok());
    other.run(mine, "SET @@sql_mode = ''", Says().ok());
    EXPECT_EQ(pin_names(mine.pins()), "set_variable");
    EXPECT_EQ(other.say(mine, execute(1)), ClientVerdict::kWait);
    EXPECT_EQ(other.to_server[4], mariadb ? '\x16' : '\x03') << "prepared at once, or settings first";
    if (!mariadb) continue;
    other.serve(mine, prepared('\x77'));
    EXPECT_EQ(other.say(mine, execute(1)), ClientVerdict::kMore);
    other.serve(mine, Says().raw("\x01").raw("def").end());
  }
}

TEST_F(MysqlMoved, SettingsThatReadTheTextTheSameAreNotExchanged) {
  prepare(here, '\x50');
  here.run(client, "SET max_sort_length = 99", Says().variable("max_sort_length", "99").ok());
  client.detaching(here.server);
  const Texts all = {"SET @@SESSION.max_sort_length = 99", "orders", "SELECT \"a\", ?"};
  EXPECT_EQ(asked(there, execute(1)), all);
}

TEST_F(MysqlMoved, TwoOfOneTextHaveTheirOwnCursorsAndData) {
  const auto long_data = [](char number) { return request(Command::kStmtSendLongData, number + "\0\0\0\0\0data"s); };
  prepare(here, '\x50');
  prepare(here, '\x51');
  here.say(client, query("SELECT 1"));  // with which the first is closed
  here.serve(client, Says().ok());
  here.say(client, long_data(1));
  EXPECT_EQ(number_of(here.to_server), "\x51\0\0\0"sv);
  // The second is prepared once more.
  EXPECT_EQ(asked(here, execute(2)), Texts{"SELECT \"a\", ?"});
  EXPECT_EQ(number_of(here.to_server), "\x77\0\0\0"sv);
  here.serve(client, Says().raw("\x01").raw("def").end());
  EXPECT_EQ(pin_names(client.pins()), "long_data");
  EXPECT_EQ(asked(here, execute(1)), Texts{});
  EXPECT_EQ(number_of(here.to_server), "\x51\0\0\0"sv);
  here.serve(client, Says().raw("\x01").raw("def").end());
  EXPECT_EQ(client.pins(), 0u);
  // So is a third whose prepare comes while the first has data.
  here.say(client, long_data(1));
  prepare(here, '\x52');
  here.say(client, execute(1));
  EXPECT_EQ(number_of(here.to_server), "\x51\0\0\0"sv);
}

TEST_F(MysqlMoved, ACursorIsFetchedOfWhatWasExecuted) {
  wire::Ok cursor;
  cursor.status = wire::status::kAutocommit | wire::status::kCursorExists;
  prepare(here, '\x50', "SELECT ROW_COUNT(), ?");
  here.say(client, request(Command::kPing));  // answered here: its count is known here only
  ASSERT_EQ(asked(here, execute(1, 1)).size(), 1u);
  EXPECT_EQ(number_of(here.to_server), "\x77\0\0\0"sv);
  here.serve(client, Says().raw("\x01").raw("def").end(cursor));
  EXPECT_EQ(asked(here, request(Command::kStmtFetch, "\x01\0\0\0\x01\0\0\0"sv)), Texts{});
  EXPECT_EQ(number_of(here.to_server), "\x77\0\0\0"sv);
}

TEST_F(MysqlMoved, AfterAnErrorTheServerSaysWhetherATransactionIsOpen) {
  prepare(here, '\x50');
  here.run(client, "BEGIN", Says().status(wire::status::kAutocommit | wire::status::kInTransaction));
  here.run(client, "ALTER TABLE t", Says().error(1146));
  here.seen();
  for (const auto& packet : {request(Command::kStmtReset, "\x01\0\0\0"sv), request(Command::kPing)}) {
    EXPECT_EQ(here.say(client, packet), ClientVerdict::kMore);
    EXPECT_EQ(here.to_server.size(), packet.size());
    here.serve(client, Says().ok());
    EXPECT_EQ(here.seen(), Says().ok().out);
    here.say(client, packet);  // once it is known nobody has to be asked
    EXPECT_EQ(here.to_server, "");
    here.seen();
    here.run(client, "ALTER TABLE t", Says().error(1146));
    here.seen();
  }
}

// Or else two connections that say the same in other words would be held against each other at every request.
TEST_F(MysqlMoved, AConnectionTakesTheNamesThatItsClientKnowsTheSameSettingsBy) {
  World other;
  EXPECT_EQ(asked(other, query("SET sql_mode = DEFAULT")), Texts{"orders"});
  other.serve(client, Says().variable("sql_mode", "STRICT_TRANS_TABLES").ok());
  client.detaching(other.server);
  const SettingsPtr before = client.settings();
  EXPECT_NE(here.server.settings(), before);
  EXPECT_EQ(asked(here, query("DO 1")), Texts{});
  here.serve(client, Says().ok());
  client.detaching(here.server);
  EXPECT_EQ(client.settings(), before);
  EXPECT_EQ(here.server.settings(), before);
}

// Neither the OK of a prepare nor a step that fails tells what became of a transaction.
TEST_F(MysqlMoved, AfterAnErrorAPrepareTellsNothingOfTheTransaction) {
  constexpr std::uint16_t kOff = 0;
  prepare(here, '\x50');
  here.run(client, "SET autocommit = 0", Says().variable("autocommit", "OFF").status(kOff));
  EXPECT_TRUE(client.can_release(here.server));
  here.run(client, "UPDATE t SET a = 1", Says().error(1062));
  prepare(here, '\x51', "SELECT ?");
  EXPECT_FALSE(client.can_release(here.server));
  for (std::size_t i = 0; i < kMaxPreparedPerServer; ++i) prepare(here, '\x52', "SELECT ?, " + std::to_string(i));
  EXPECT_EQ(here.say(client, execute(1)), ClientVerdict::kWait);
  EXPECT_EQ(here.serve(client, Says().error(1146)), ServerVerdict::kReady);
  EXPECT_EQ(here.say(client, execute(1)), ClientVerdict::kMore);
  EXPECT_FALSE(client.can_release(here.server));
  here.run(client, "ROLLBACK", Says().status(kOff));
  EXPECT_TRUE(client.can_release(here.server));
}

}  // namespace
}  // namespace dbproxy::session::mysql
