// Servers that die and clients that leave, at every point.
#include "proxy/wire/postgres/messages.hpp"
#include "tests/unit/worker/bench.hpp"

namespace dbproxy::worker::testing {
namespace {

class Lifecycle : public Bench {
 protected:
  void pool_of(std::uint32_t connections) { snapshot_.targets[0].max_connections = connections + 1; }
  void one_connection() {
    pool_of(1);
    ASSERT_EQ(apply(), "");
  }
};

TEST_F(Lifecycle, AQueryGoesThrough) {
  ASSERT_EQ(apply(), "");
  auto c = client();
  ASSERT_TRUE(c.in());
  auto reply = c.ask("SELECT 1");
  EXPECT_EQ(types(reply), "TDCZ");
  EXPECT_EQ(server_.logins(), 1);
}

TEST_F(Lifecycle, ServerDiesInMidQuery) {
  ASSERT_EQ(apply(), "");
  auto c = client();
  c.wire.send(query("HOLD"));
  ASSERT_TRUE(server_.wait_for("HOLD"));
  server_.drop_all();
  EXPECT_EQ(first_error(c.wire.read_until('Z')), "08007");
  EXPECT_EQ(types(c.ask("SELECT 2")), "TDCZ");
}

TEST_F(Lifecycle, ServerDiesInATransaction) {
  ASSERT_EQ(apply(), "");
  auto c = client();
  c.ask("BEGIN");
  server_.drop_all();
  ASSERT_TRUE(eventually([&] { return target().servers == 0; }));
  EXPECT_EQ(first_error(c.ask("SELECT 1")), "40001");
  EXPECT_EQ(types(c.ask("ROLLBACK")), "CZ");
  EXPECT_EQ(types(c.ask("SELECT 2")), "TDCZ");
}

TEST_F(Lifecycle, IdleServersThatDieAreReplacedUnnoticed) {
  ASSERT_EQ(apply(), "");
  auto c = client();
  c.ask("SELECT 1");
  server_.drop_all();
  ASSERT_TRUE(eventually([&] { return target().servers == 0; }));
  EXPECT_EQ(types(c.ask("SELECT 2")), "TDCZ");
  EXPECT_EQ(server_.logins(), 2);
}

TEST_F(Lifecycle, AnIdleServersFatalIsNobodysBusiness) {
  one_connection();
  server_.script();
  auto c = client();
  ASSERT_TRUE(c.in());
  auto server = server_.next();
  ASSERT_TRUE(server);
  ASSERT_TRUE(eventually([&] { return target().servers == 1 && target().servers_in_use == 0; }));
  server_.echo();
  // It says so and closes only later, as PostgreSQL may.
  server->send(error("FATAL", "57P01"));
  EXPECT_TRUE(server->at_end());
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
}

TEST_F(Lifecycle, AFatalInATransactionIsOneErrorToItsClientWhichGoesOn) {
  one_connection();
  server_.script();
  auto script = std::jthread([&] {
    auto server = server_.next();
    ASSERT_TRUE(server);
    EXPECT_EQ(server->read()->type, 'Q');
    server->send(complete("BEGIN") + ready('T'));
    EXPECT_EQ(server->read()->type, 'Q');
    server->send(error("FATAL", "57P01"));
    server->close();
  });
  auto c = client();
  c.ask("BEGIN");
  c.wire.send(query("SELECT 1"));
  auto words = c.wire.read_until('Z');
  script.join();
  ASSERT_EQ(types(words), "EZ");
  EXPECT_EQ(words[0].field('C'), "40001");
  EXPECT_EQ(types(c.ask("ROLLBACK")), "CZ");
}

TEST_F(Lifecycle, ServerDiesDuringLogin) {
  snapshot_.pool.borrow_timeout = std::chrono::seconds(20);
  ASSERT_EQ(apply(), "");
  std::atomic<int> tries{0};
  server_.on_login([&](Wire& wire, std::uint32_t id) { return ++tries > 2 && FakeServer::welcome(wire, id); });
  auto c = client();
  EXPECT_TRUE(c.in());
  EXPECT_GE(tries, 3);
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
}

TEST_F(Lifecycle, ServerDiesInInitQuery) {
  snapshot_.pool.init_query = "SET app.x = 1";
  ASSERT_EQ(apply(), "");
  server_.script();
  auto script = std::jthread([&] {
    auto server = server_.next();
    ASSERT_TRUE(server);
    EXPECT_EQ(server->read()->type, 'Q');
    server_.echo();
    server->reset();
  });
  auto c = client();
  script.join();
  EXPECT_TRUE(c.in());
  EXPECT_TRUE(server_.wait_for("SET app.x = 1"));
}

TEST_F(Lifecycle, AnInitQueryThatFailsIsToldToTheClient) {
  snapshot_.pool.init_query = "FAIL";
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(client().refusal(), "38000");
  snapshot_.pool.init_query = "";
  ASSERT_EQ(apply(), "");
  EXPECT_TRUE(client().in());  // at once: what failed was the old configuration
}

TEST_F(Lifecycle, WhatTheServerSaysOfALoginReachesTheClient) {
  ASSERT_EQ(apply(), "");
  server_.on_login([](Wire& wire, std::uint32_t) {
    wire.send(error("FATAL", "3D000", "database \"shop\" does not exist"));
    return false;
  });
  EXPECT_EQ(client().refusal(), "3D000");
  server_.on_login(FakeServer::welcome);
  EXPECT_TRUE(eventually([&] { return client().in(); }));
}

TEST_F(Lifecycle, AServerThatIsStartingIsWaitedFor) {
  ASSERT_EQ(apply(), "");
  std::atomic<int> tries{0};
  server_.on_login([&](Wire& wire, std::uint32_t id) {
    if (++tries > 2) return FakeServer::welcome(wire, id);
    wire.send(error("FATAL", "57P03", "the database system is starting up"));
    return false;
  });
  EXPECT_TRUE(client().in());
}

TEST_F(Lifecycle, ARefusedPasswordHeals) {
  ASSERT_EQ(apply(), "");
  server_.on_login([](Wire& wire, std::uint32_t) {
    wire.send(error("FATAL", "28P01"));
    return false;
  });
  EXPECT_EQ(client().refusal(), "28P01");
  server_.on_login(FakeServer::welcome);
  snapshot_.users[0].password = Secret("better");
  ASSERT_EQ(apply(), "");
  EXPECT_TRUE(client({.password = "better"}).in());  // at once
}

TEST_F(Lifecycle, AClientThatLeavesTheQueueIsForgotten) {
  one_connection();
  auto holder = client();
  holder.ask("BEGIN");
  auto waiting = client();
  waiting.wire.send(query("SELECT 'never'"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  waiting.wire.close();
  ASSERT_TRUE(eventually([&] { return row().clients == 1; }));
  EXPECT_EQ(row().clients_waiting, 0u);
  holder.ask("COMMIT");
  EXPECT_EQ(types(holder.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(server_.count("SELECT 'never'"), 0u);
}

TEST_F(Lifecycle, AClientThatLeavesInMidQueryIsCancelledAndItsServerKept) {
  one_connection();
  auto c = client();
  c.wire.send(query("HOLD"));
  ASSERT_TRUE(server_.wait_for("HOLD"));
  c.wire.close();
  auto next = client();
  EXPECT_EQ(types(next.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(server_.cancels(), 1);
  EXPECT_EQ(server_.logins(), 1);
}

TEST_F(Lifecycle, AQueryBeforeAGoodbyeIsFinished) {
  one_connection();
  auto c = client();
  std::string goodbye;
  wire::postgres::terminate(goodbye);
  c.wire.send(query("HOLD") + goodbye);
  ASSERT_TRUE(server_.wait_for("HOLD"));
  c.wire.close();
  ASSERT_TRUE(eventually([&] { return row().clients == 0; }));
  EXPECT_EQ(server_.cancels(), 0);
  server_.release();
  auto next = client();
  EXPECT_EQ(types(next.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(server_.cancels(), 0);
  EXPECT_EQ(server_.logins(), 1);
}

TEST_F(Lifecycle, AClientThatLeavesInATransactionIsRolledBack) {
  one_connection();
  auto c = client();
  c.ask("BEGIN");
  c.wire.reset();
  auto next = client();
  EXPECT_EQ(types(next.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(server_.count("ROLLBACK"), 1u);
  EXPECT_EQ(server_.logins(), 1);
}

TEST_F(Lifecycle, StateOfAClientThatLeftIsDiscarded) {
  one_connection();
  auto c = client();
  c.ask("SELECT pg_advisory_lock(1)");
  ASSERT_EQ(service_->pins().size(), 1u);
  c.wire.close();
  auto next = client();
  EXPECT_EQ(types(next.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(server_.count("DISCARD ALL"), 1u);
  EXPECT_EQ(server_.logins(), 1);
}

// Nothing in the text says that it leaves state behind; only the tag does, and that comes when the client is gone.
TEST_F(Lifecycle, StateThatOnlyTheTagShowsIsDiscardedAfterTheClientLeft) {
  one_connection();
  server_.script();
  std::shared_ptr<Wire> server;
  auto c = client();
  ASSERT_TRUE(server = server_.next());
  c.wire.send(query("SELECT innocent()"));
  EXPECT_EQ(server->read()->type, 'Q');
  c.wire.close();
  ASSERT_TRUE(eventually([&] { return row().clients == 0; }));
  server->send(complete("LISTEN") + ready());
  auto got = server->read();
  ASSERT_TRUE(got && got->type == 'Q');
  EXPECT_STREQ(got->body.c_str(), "DISCARD ALL");
  server->send(complete("DISCARD ALL") + ready());
}

TEST_F(Lifecycle, AClientThatLeavesInMidMessageTakesItsServerAlong) {
  one_connection();
  auto c = client();
  auto big = std::string("B\0\0\x80\0\0\0", 7) + std::string(20000, 'x');
  c.wire.send(parse("", "SELECT $1") + big);
  ASSERT_TRUE(eventually([&] { return row().clients_active == 1; }));
  c.wire.close();
  auto next = client();
  EXPECT_EQ(types(next.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(server_.logins(), 2);
}

TEST_F(Lifecycle, AClientThatLeavesInACopy) {
  one_connection();
  auto c = client();
  c.wire.send(query("COPY t FROM STDIN"));
  ASSERT_EQ(c.wire.read()->type, 'G');
  c.wire.send(message('d', "1\n"));
  c.wire.close();
  auto next = client();
  EXPECT_EQ(types(next.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(server_.logins(), 1);
}

TEST_F(Lifecycle, AClientThatLeavesBeforeItsCopyHasBegun) {
  one_connection();
  server_.script();
  auto c = client();
  auto server = server_.next();
  ASSERT_TRUE(server);
  c.wire.send(query("COPY t FROM STDIN"));
  ASSERT_EQ(server->read()->type, 'Q');
  c.wire.close();
  ASSERT_TRUE(eventually([&] { return row().clients == 0; }));
  server->send(message('G', std::string(3, '\0')));
  auto got = server->read(std::chrono::seconds(5));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->type, 'f');
  server->send(error("ERROR", "57014") + ready());
  auto next = client();
  next.wire.send(query("SELECT 1"));
  got = server->read();
  ASSERT_TRUE(got && got->type == 'Q');
}

TEST_F(Lifecycle, AClientThatLeavesInAPipeline) {
  one_connection();
  auto c = client();
  c.wire.send(parse("a", "SELECT 1") + bind("", "a") + execute() + bind("", "a") + execute());
  ASSERT_TRUE(eventually([&] { return row().clients_active == 1; }));
  c.wire.close();
  auto next = client();
  EXPECT_EQ(types(next.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(server_.logins(), 1);
}

TEST_F(Lifecycle, AServiceEndsInTheMiddleOfEverything) {
  pool_of(2);
  ASSERT_EQ(apply(), "");
  auto running = client();
  running.wire.send(query("HOLD"));
  ASSERT_TRUE(server_.wait_for("HOLD"));
  auto open = client();
  open.ask("BEGIN");
  auto waiting = client();
  waiting.wire.send(query("SELECT 1"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  service_.reset();
  EXPECT_TRUE(running.wire.at_end());
  EXPECT_TRUE(waiting.wire.at_end());
}

}  // namespace
}  // namespace dbproxy::worker::testing
