// A client's settings go ahead of its request, in the same write. Where they fail, the request never runs.
#include "tests/unit/worker/bench.hpp"

namespace dbproxy::worker::testing {
namespace {

class Replay : public Bench {
 protected:
  Replay() { EXPECT_EQ(apply(), ""); }
  Client named() { return client({.application_name = "mine"}); }
};

TEST_F(Replay, GoesAheadOfTheRequest) {
  auto c = named();
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
  auto asked = server_.queries();
  ASSERT_EQ(asked.size(), 2u);
  // The fake server keeps the beginning of what it is asked.
  EXPECT_EQ(asked[0].substr(0, 90),
            "BEGIN ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE; SELECT pg_catalog.set_config(E'appli");
  EXPECT_EQ(asked[1], "SELECT 1");
}

TEST_F(Replay, ThatFailsEndsTheClientAndItsConnection) {
  auto c = named();
  ASSERT_TRUE(c.in());
  server_.refuse_settings = true;
  c.wire.send(query("DELETE"));
  auto reply = c.wire.read_until('Z');
  EXPECT_EQ(types(reply), "E");
  EXPECT_EQ(reply[0].field('S'), "FATAL");
  EXPECT_EQ(reply[0].field('C'), "22023");
  EXPECT_TRUE(c.wire.at_end());
  EXPECT_TRUE(eventually([&] { return server_.wait_until([&] { return server_.open() == 0; }); }));
  server_.refuse_settings = false;
  EXPECT_EQ(types(client().ask("SELECT 1")), "TDCZ");
}

TEST_F(Replay, ThatFailsEndsAPipelineToo) {
  auto c = named();
  server_.refuse_settings = true;
  c.wire.send(parse("", "DELETE") + bind("", "") + execute() + message('S'));
  auto reply = c.wire.read_until('Z');
  EXPECT_EQ(types(reply), "E");
  EXPECT_EQ(reply[0].field('C'), "22023");
}

// What ends a transaction would get past the failed block, and take with it what stands behind.
TEST_F(Replay, IsAnsweredBeforeAnythingThatEndsATransaction) {
  for (const auto& text : {query("COMMIT; DELETE"), query("rollback"), query("select 'the end'"),
                           parse("", "COMMIT") + bind("", "") + execute() + message('S'),
                           query("SELECT 1") + query("ROLLBACK") + query("DELETE")}) {
    auto c = named();
    ASSERT_TRUE(c.in());
    auto before = server_.queries().size();
    server_.refuse_settings = true;
    c.wire.send(text);
    EXPECT_EQ(types(c.wire.read_until('Z')), "E");
    EXPECT_TRUE(c.wire.at_end());
    server_.refuse_settings = false;
    for (auto i = before; i < server_.queries().size(); ++i) {
      EXPECT_EQ(server_.queries()[i].find("DELETE"), std::string::npos);
      EXPECT_NE(server_.queries()[i].substr(0, 6), "COMMIT");
    }
  }
}

TEST_F(Replay, LetsWhatWaitedForItGoOn) {
  auto c = named();
  ASSERT_TRUE(c.in());
  EXPECT_EQ(types(c.ask("COMMIT")), "CZ");
  auto d = named();
  d.wire.send(query("SELECT 1") + query("COMMIT") + query("SELECT 2"));
  std::string all;
  for (int i = 0; i < 3; ++i) all += types(d.wire.read_until('Z')) + " ";
  EXPECT_EQ(all, "TDCZ CZ TDCZ ");
}

TEST_F(Replay, InTheMiddleOfASequenceThatHasNoSyncYet) {
  auto c = named();
  ASSERT_TRUE(c.in());
  server_.hold_settings = true;
  c.wire.send(parse("a", "SELECT 1") + bind("", "a") + execute() + parse("b", "COMMIT") + bind("", "b") + execute());
  ASSERT_TRUE(server_.wait_until([&] { return server_.open() == 1; }));
  server_.go_on_with_settings();
  EXPECT_EQ(types(c.wire.read_until('C')), "12C");
  EXPECT_EQ(types(c.wire.read_until('C')), "12C");
  c.wire.send(message('S'));
  EXPECT_EQ(types(c.wire.read_until('Z')), "Z");
}

// Cancelled would be the settings, and not what the client means.
TEST_F(Replay, IsNotCancelledInThePlaceOfTheRequest) {
  auto c = named();
  ASSERT_TRUE(c.in());
  server_.hold_settings = true;
  c.wire.send(query("HOLD"));
  ASSERT_TRUE(server_.wait_until([&] { return server_.open() == 1; }));
  ASSERT_TRUE(eventually([&] { return row().servers_in_use == 1; }));
  cancel(c.process_id, c.key);
  EXPECT_EQ(server_.cancels(), 0);
  server_.go_on_with_settings();
  auto reply = c.wire.read_until('Z');
  EXPECT_EQ(first_error(reply), "57014");
  EXPECT_GE(server_.cancels(), 1);  // again when the first came before the request had begun
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
}

TEST_F(Replay, WhoseClientLeavesIsUndone) {
  {
    auto c = named();
    ASSERT_TRUE(c.in());
    server_.hold_settings = true;
    c.wire.send(query("HOLD"));
    ASSERT_TRUE(eventually([&] { return row().servers_in_use == 1; }));
  }
  ASSERT_TRUE(eventually([&] { return row().clients == 0; }));
  server_.go_on_with_settings();
  ASSERT_TRUE(eventually([&] { return row().servers_in_use == 0; }));
  EXPECT_EQ(types(client().ask("SELECT 1")), "TDCZ");
}

}  // namespace
}  // namespace dbproxy::worker::testing
