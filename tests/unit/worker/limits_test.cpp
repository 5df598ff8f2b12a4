// What a DBProxy limits: time of statements and transactions, connections of a user and of a database.
#include "tests/unit/worker/bench.hpp"

namespace dbproxy::worker::testing {
namespace {

using std::chrono::milliseconds;

class Limits : public Bench {
 protected:
  void pool_of(std::uint32_t connections) {
    snapshot_.targets[0].max_connections = connections + 1;
    ASSERT_EQ(apply(), "");
  }
  bool counted(const std::string& limit, int times) {
    return registry_.text().find("dbproxy_time_limits_total{limit=\"" + limit + "\",proxy=\"default/shop\"} " +
                                 std::to_string(times) + "\n") != std::string::npos;
  }
};

TEST_F(Limits, AStatementThatTakesTooLongIsCancelledAndTheClientGoesOn) {
  snapshot_.limits.statement_timeout = milliseconds(100);
  pool_of(1);
  auto c = client();
  for (int i = 1; i <= 3; ++i) {
    auto reply = c.ask("HOLD");
    EXPECT_EQ(types(reply), "EZ");
    EXPECT_EQ(reply[0].field('S'), "ERROR");
    EXPECT_EQ(reply[0].field('C'), "57014");
    EXPECT_EQ(reply[0].field('M'), "canceling statement due to statement timeout");
    EXPECT_TRUE(counted("statement", i));
  }
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(server_.logins(), 1);
}

TEST_F(Limits, OfAStatementCountsForEachByItself) {
  snapshot_.limits.statement_timeout = milliseconds(300);
  pool_of(1);
  auto c = client();
  auto end = clock_.now() + milliseconds(700);
  c.ask("BEGIN");
  while (clock_.now() < end) ASSERT_EQ(types(c.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(types(c.ask("COMMIT")), "CZ");
  auto holder = client();
  holder.ask("BEGIN");
  c.wire.send(query("SELECT 2"));  // what it waits for a connection does not count
  EXPECT_TRUE(c.wire.quiet_for(milliseconds(500)));
  holder.ask("COMMIT");
  EXPECT_EQ(types(c.wire.read_until('Z')), "TDCZ");
  EXPECT_EQ(server_.cancels(), 0);
}

TEST_F(Limits, ACancelThatComesTooLateHitsNothing) {
  snapshot_.limits.statement_timeout = milliseconds(100);
  pool_of(1);
  auto c = client();
  server_.keep_cancels_open(true);
  c.wire.send(query("HOLD"));
  EXPECT_EQ(first_error(c.wire.read_until('Z')), "57014");
  c.wire.send(query("SELECT 1"));  // not before the server is done with the cancel request
  EXPECT_TRUE(c.wire.quiet_for(milliseconds(300)));
  EXPECT_EQ(server_.count("SELECT 1"), 0u);
  server_.keep_cancels_open(false);
  EXPECT_EQ(types(c.wire.read_until('Z')), "TDCZ");
}

TEST_F(Limits, AUsersOwnCancelKeepsItsWords) {
  snapshot_.limits.statement_timeout = std::chrono::seconds(30);
  pool_of(1);
  auto c = client();
  c.wire.send(query("HOLD"));
  ASSERT_TRUE(server_.wait_for("HOLD"));
  cancel(c.process_id, c.key);
  auto reply = c.wire.read_until('Z');
  EXPECT_EQ(first_error(reply), "57014");
  EXPECT_EQ(reply[0].field('M'), "so it is");
}

TEST_F(Limits, AClientThatIsSilentInATransactionIsEnded) {
  snapshot_.limits.idle_in_transaction_session_timeout = milliseconds(150);
  pool_of(1);
  auto c = client();
  auto outside = client();
  c.ask("BEGIN");
  auto end = clock_.now() + milliseconds(400);
  while (clock_.now() < end) ASSERT_EQ(types(c.ask("SELECT 1")), "TDCZ");  // not silent
  auto reply = c.wire.read_until('Z');
  ASSERT_EQ(types(reply), "E");
  EXPECT_EQ(reply[0].field('S'), "FATAL");
  EXPECT_EQ(reply[0].field('C'), "25P03");
  EXPECT_TRUE(c.wire.at_end());
  ASSERT_TRUE(server_.wait_for("ROLLBACK"));
  EXPECT_EQ(types(outside.ask("SELECT 1")), "TDCZ");  // silent as well, but outside
  EXPECT_EQ(server_.logins(), 1);
}

TEST_F(Limits, AFailedTransactionIsNoExcuse) {
  snapshot_.limits.idle_in_transaction_session_timeout = milliseconds(150);
  pool_of(1);
  auto c = client();
  c.ask("BEGIN");
  c.ask("FAIL");
  EXPECT_EQ(first_error(c.wire.read_until('Z')), "25P03");
}

TEST_F(Limits, ATransactionThatTakesTooLongEndsItsClient) {
  snapshot_.limits.transaction_timeout = milliseconds(300);
  pool_of(1);
  auto c = client();
  c.ask("BEGIN");
  Messages reply;
  for (int i = 0; i < 10'000; ++i) {
    reply = c.ask("SELECT 1");
    if (reply.empty() || reply.back().type != 'Z') break;
  }
  EXPECT_EQ(first_error(reply), "25P04");
  EXPECT_TRUE(c.wire.at_end());
  auto d = client();  // one statement is a transaction, too
  auto held = d.ask("HOLD");
  EXPECT_EQ(types(held), "E");
  EXPECT_EQ(first_error(held), "25P04");
  auto e = client();  // each has its own time
  auto end = clock_.now() + milliseconds(700);
  while (clock_.now() < end) ASSERT_EQ(types(e.ask("SELECT 1")), "TDCZ");
  EXPECT_TRUE(counted("transaction", 2));
}

TEST_F(Limits, NothingIsSaidInTheMiddleOfARow) {
  snapshot_.limits.transaction_timeout = milliseconds(300);
  pool_of(1);
  server_.script();
  auto c = client();
  auto server = server_.next();
  ASSERT_TRUE(server);
  c.wire.send(query("SELECT"));
  ASSERT_TRUE(server->read());
  server->send(message('D', std::string(1000, 'x')).substr(0, 500));
  EXPECT_EQ(c.wire.read_bytes(500).size(), 500u);
  EXPECT_TRUE(c.wire.at_end());
}

TEST_F(Limits, ComeIntoForceForWhoIsAtWork) {
  pool_of(1);
  auto c = client();
  c.wire.send(query("HOLD"));
  ASSERT_TRUE(server_.wait_for("HOLD"));
  snapshot_.limits.statement_timeout = milliseconds(100);
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(first_error(c.wire.read_until('Z')), "57014");
}

TEST_F(Limits, OfAUserAndOfADatabase) {
  snapshot_.users.push_back(snapshot_.users[0]);
  snapshot_.users[1].name = "other";
  snapshot_.limits.max_connections_per_user = 1;
  ASSERT_EQ(apply(), "");
  auto one = client();
  auto two = client({.database = "elsewhere"});
  auto other = client({.user = "other"});
  one.ask("BEGIN");
  two.wire.send(query("SELECT 1"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  EXPECT_EQ(types(other.ask("SELECT 1")), "TDCZ");
  one.ask("COMMIT");
  EXPECT_EQ(types(two.wire.read_until('Z')), "TDCZ");
  snapshot_.limits.max_connections_per_user = 0;
  snapshot_.limits.max_connections_per_database = 1;
  ASSERT_EQ(apply(), "");
  one.ask("BEGIN");
  other.wire.send(query("SELECT 2"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  EXPECT_EQ(types(two.ask("SELECT 1")), "TDCZ");
  snapshot_.limits.max_connections_per_database = 2;  // raised: nobody has to leave first
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(types(other.wire.read_until('Z')), "TDCZ");
}

TEST_F(Limits, WhoWaitsForLongIsToldOnce) {
  auto with = options();
  with.wait_notice = milliseconds(100);
  service_ = std::make_unique<Service>(engines(), with, registry_, clock_);
  pool_of(1);
  auto holder = client();
  auto c = client();
  for (int i = 0; i < 2; ++i) {
    holder.ask("BEGIN");
    c.wire.send(query("SELECT 1"));
    auto notice = c.wire.read();
    ASSERT_TRUE(notice);
    EXPECT_EQ(notice->type, 'N');
    EXPECT_EQ(notice->field('M'), "the query waits for a database connection");
    EXPECT_TRUE(c.wire.quiet_for(milliseconds(600)));
    holder.ask("COMMIT");
    EXPECT_EQ(types(c.wire.read_until('Z')), "TDCZ");
  }
}

}  // namespace
}  // namespace dbproxy::worker::testing
