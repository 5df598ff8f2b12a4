// Clients that wait, and clients that are cancelled.
#include "tests/unit/worker/bench.hpp"

namespace dbproxy::worker::testing {
namespace {

class Waiting : public Bench {
 protected:
  void pool_of(std::uint32_t connections, int borrow_seconds = 120) {
    snapshot_.targets[0].max_connections = connections + 1;
    snapshot_.pool.borrow_timeout = std::chrono::seconds(borrow_seconds);
    ASSERT_EQ(apply(), "");
  }
};

TEST_F(Waiting, IsLimitedAndTheClientGoesOn) {
  pool_of(1, 1);
  auto holder = client();
  holder.ask("BEGIN");
  auto c = client();
  auto reply = c.ask("SELECT 1");
  EXPECT_EQ(types(reply), "EZ");
  EXPECT_EQ(first_error(reply), "53300");
  holder.ask("COMMIT");
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
}

TEST_F(Waiting, IsLimitedForAnExtendedQueryUpToItsSync) {
  pool_of(1, 1);
  auto holder = client();
  holder.ask("BEGIN");
  auto c = client();
  auto all = parse("a", "SELECT 1") + bind("", "a") + execute() + message('S');
  c.wire.send(all);
  auto reply = c.wire.read_until('Z');
  EXPECT_EQ(types(reply), "EZ");
  holder.ask("COMMIT");
  c.wire.send(all);
  EXPECT_EQ(types(c.wire.read_until('Z')), "12CZ");
}

TEST_F(Waiting, OfNoTimeAtAll) {
  pool_of(1, 0);
  auto holder = client();
  ASSERT_TRUE(holder.in());  // the first of its key: a connection may be opened, which takes its time
  holder.ask("BEGIN");
  auto c = client();
  EXPECT_EQ(first_error(c.ask("SELECT 1")), "53300");
  EXPECT_EQ(first_error(c.ask("SELECT 1")), "53300");
  holder.ask("COMMIT");
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
  server_.drop_all();
  ASSERT_TRUE(eventually([&] { return target().servers == 0; }));
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");  // there is room to open one
}

TEST_F(Waiting, ForADatabaseThatIsAwayIsNotCalledFull) {
  pool_of(1, 2);
  auto c = client();
  server_.refuse_connections = true;
  server_.drop_all();
  ASSERT_TRUE(eventually([&] { return target().servers == 0; }));
  EXPECT_EQ(first_error(c.ask("SELECT 1")), "57P03");
  server_.refuse_connections = false;
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
}

TEST_F(Waiting, IsCancelled) {
  pool_of(1);
  auto holder = client();
  holder.ask("BEGIN");
  auto c = client();
  c.wire.send(query("SELECT 1"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  cancel(c.process_id, c.key);
  auto reply = c.wire.read_until('Z');
  EXPECT_EQ(types(reply), "EZ");
  EXPECT_EQ(first_error(reply), "57014");
  EXPECT_EQ(server_.cancels(), 0);
  holder.ask("COMMIT");
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
}

TEST_F(Waiting, ARunningQueryIsCancelledAndTheNextClientNot) {
  pool_of(1);
  server_.keep_cancels_open(true);
  auto c = client();
  c.wire.send(query("HOLD"));
  ASSERT_TRUE(server_.wait_for("HOLD"));
  cancel(c.process_id, c.key);
  EXPECT_EQ(first_error(c.wire.read_until('Z')), "57014");
  auto next = client();
  next.wire.send(query("SELECT 'next'"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  EXPECT_EQ(server_.count("SELECT 'next'"), 0u);  // the cancel may still be under way
  server_.keep_cancels_open(false);
  EXPECT_EQ(types(next.wire.read_until('Z')), "TDCZ");
}

// Nobody knows when it comes: whoever is next gets another connection.
TEST_F(Waiting, ACancelThatTheServerNeverClosesCostsItsConnection) {
  pool_of(1);
  server_.keep_cancels_open(true);
  auto c = client();
  auto logins = server_.logins();
  c.wire.send(query("HOLD"));
  ASSERT_TRUE(server_.wait_for("HOLD"));
  cancel(c.process_id, c.key);
  EXPECT_EQ(first_error(c.wire.read_until('Z')), "57014");
  auto next = client();
  next.wire.send(query("SELECT 'next'"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  ASSERT_TRUE(eventually([&] { return server_.logins() == logins + 1; }));  // after 5 s
  auto got = types(next.wire.read_until('Z'));
  std::erase(got, 'N');  // it has waited for about as long as is worth a word
  EXPECT_EQ(got, "TDCZ");
  EXPECT_EQ(types(c.ask("SELECT 'again'")), "TDCZ");
  server_.keep_cancels_open(false);
}

TEST_F(Waiting, AWrongKeyCancelsNothing) {
  pool_of(1);
  auto c = client();
  c.wire.send(query("HOLD"));
  ASSERT_TRUE(server_.wait_for("HOLD"));
  cancel(c.process_id, "nope");
  cancel(c.process_id + 1, c.key);
  cancel(c.process_id, c.key + "x");
  EXPECT_EQ(server_.cancels(), 0);
  server_.release();
  EXPECT_EQ(types(c.wire.read_until('Z')), "TDCZ");
}

TEST_F(Waiting, TwoHundredComeAtOnceAsTheFirstOfTheirKey) {
  pool_of(5);
  std::atomic<bool> open{false};
  server_.on_login([&](Wire& wire, std::uint32_t id) {
    server_.wait_until([&] { return open.load(); });
    return FakeServer::welcome(wire, id);
  });
  std::vector<std::jthread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 200; ++i) {
    threads.emplace_back([&] {
      auto c = client();
      if (c.in() && types(c.ask("SELECT 1")) == "TDCZ") ++good;
    });
  }
  EXPECT_TRUE(eventually([&] { return row().clients_waiting == 200; }));
  open = true;
  server_.release();  // wakes those who wait
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 200);
  EXPECT_LE(server_.logins(), 5);
}

TEST_F(Waiting, AServerIsLostBetweenHandOverAndUse) {
  pool_of(1);
  for (int i = 0; i < 50; ++i) {
    auto holder = client();
    auto c = client();
    holder.ask("BEGIN");
    c.wire.send(query("SELECT 1"));
    holder.wire.send(query("COMMIT"));
    holder.wire.read_until('Z');
    EXPECT_EQ(types(c.wire.read_until('Z')), "TDCZ");
    server_.drop_all();
  }
}

}  // namespace
}  // namespace dbproxy::worker::testing
