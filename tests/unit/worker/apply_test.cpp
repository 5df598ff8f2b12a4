// New snapshots while clients are at work, and the end of a DBProxy.
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/worker/bench.hpp"

namespace dbproxy::worker::testing {
namespace {

class Apply : public Bench {
 protected:
  void SetUp() override { ASSERT_EQ(apply(), ""); }
  void pool_of(std::uint32_t connections) {
    snapshot_.targets[0].max_connections = connections + 1;
    ASSERT_EQ(apply(), "");
  }
  static bool refused(std::uint16_t port) { return Wire::connect(port).fd() < 0; }
};

TEST_F(Apply, LimitsAreLoweredAndRaised) {
  pool_of(3);
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(client());
    clients.back().ask("BEGIN");
  }
  EXPECT_EQ(server_.open(), 3);
  pool_of(1);
  for (auto& c : clients) EXPECT_EQ(types(c.ask("COMMIT")), "CZ");
  EXPECT_TRUE(eventually([&] { return server_.open() == 1 && target().servers == 1; }));
  auto waiting = client();
  clients[0].ask("BEGIN");
  waiting.wire.send(query("SELECT 1"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  pool_of(2);
  EXPECT_EQ(types(waiting.wire.read_until('Z')), "TDCZ");
}

TEST_F(Apply, ANewPasswordEndsOldConnectionsBetweenTransactions) {
  auto c = client();
  c.ask("BEGIN");
  snapshot_.users[0].password = Secret("new");
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(types(c.ask("COMMIT")), "CZ");
  EXPECT_TRUE(eventually([&] { return server_.open() == 0; }));
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(server_.logins(), 2);
  EXPECT_EQ(client().refusal(), "28P01");
  EXPECT_TRUE(client({.password = "new"}).in());
  // Nothing of the old connection is left behind: its target can be given up.
  snapshot_.targets[0].id = "two";
  ASSERT_EQ(apply(), "");
  EXPECT_TRUE(eventually([&] { return server_.open() == 0; }));
}

TEST_F(Apply, ALoginUnderTheOldPasswordSpoilsNothing) {
  std::atomic<bool> go{false};
  server_.on_login([&](Wire& wire, std::uint32_t) {
    server_.wait_until([&] { return go.load(); });
    wire.send(error("FATAL", "28P01"));
    return false;
  });
  Client c;
  c.wire = Wire::connect(port_);
  auto as = std::jthread([&] { log_in(c); });
  ASSERT_TRUE(eventually([&] { return target().servers == 1; }));
  snapshot_.users[0].password = Secret("new");
  ASSERT_EQ(apply(), "");
  server_.on_login(FakeServer::welcome);
  go = true;
  server_.release();
  as.join();
  EXPECT_TRUE(c.in()) << c.refusal();
}

TEST_F(Apply, AUserIsRemoved) {
  snapshot_.users.push_back({.name = "other", .password = Secret("secret")});
  ASSERT_EQ(apply(), "");
  auto idle = client({.user = "other"});
  auto busy = client({.user = "other"});
  busy.ask("BEGIN");
  snapshot_.users.pop_back();
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(first_error(idle.wire.read_until('Z')), "57P01");
  EXPECT_TRUE(idle.wire.at_end());
  EXPECT_EQ(types(busy.ask("SELECT 1")), "TDCZ");
  auto last = busy.ask("COMMIT");
  EXPECT_EQ(types(last), "CZ");
  EXPECT_EQ(first_error(busy.wire.read_until('Z')), "57P01");
  EXPECT_EQ(client({.user = "other"}).refusal(), "28P01");
  EXPECT_TRUE(client().in());
}

TEST_F(Apply, AUserIsRemovedWhileItWaits) {
  snapshot_.users.push_back({.name = "other", .password = Secret("secret")});
  pool_of(1);
  auto waiting = client({.user = "other"});
  ASSERT_TRUE(waiting.in());
  auto holder = client();
  holder.ask("BEGIN");
  waiting.wire.send(query("SELECT 1"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  snapshot_.users.pop_back();
  ASSERT_EQ(apply(), "");
  holder.ask("COMMIT");
  EXPECT_NE(first_error(waiting.wire.read_until('Z')), "");
  EXPECT_TRUE(waiting.wire.at_end());
}

TEST_F(Apply, EndpointsComeAndGo) {
  auto second = free_port();
  snapshot_.endpoints.push_back({.name = "second", .port = second});
  ASSERT_EQ(apply(), "");
  Client idle, busy;
  idle.wire = Wire::connect(second);
  log_in(idle);
  busy.wire = Wire::connect(second);
  log_in(busy);
  busy.ask("BEGIN");
  snapshot_.endpoints.pop_back();
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(first_error(idle.wire.read_until('Z')), "57P01");
  EXPECT_TRUE(refused(second));  // although a client that came this way is still at work
  EXPECT_EQ(types(busy.ask("COMMIT")), "CZ");
  EXPECT_EQ(first_error(busy.wire.read_until('Z')), "57P01");
}

TEST_F(Apply, AnEndpointIsRenamed) {
  auto c = client();
  snapshot_.endpoints[0].name = "other";
  EXPECT_EQ(apply(), "");
  EXPECT_TRUE(client().in());
}

TEST_F(Apply, APortInUseChangesNothing) {
  FakeServer occupant;
  auto before = snapshot_;
  auto c = client();
  auto free = free_port();
  snapshot_.endpoints.push_back({.name = "free", .port = free});
  snapshot_.endpoints.push_back({.name = "second", .port = occupant.port()});
  snapshot_.users[0].password = Secret("new");
  auto why = apply();
  EXPECT_NE(why.find("endpoint second"), std::string::npos) << why;
  EXPECT_TRUE(refused(free));
  EXPECT_TRUE(client().in());
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(row().version, 1u);
  snapshot_ = before;
  snapshot_.version = 5;
  EXPECT_EQ(apply(), "");
}

TEST_F(Apply, ATargetIsReplaced) {
  FakeServer other;
  auto idle = client();
  auto busy = client();
  busy.ask("BEGIN");
  snapshot_.targets[0].port = other.port();
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(types(idle.ask("SELECT 1")), "TDCZ");
  EXPECT_EQ(other.count("SELECT 1"), 1u);
  EXPECT_EQ(types(busy.ask("COMMIT")), "CZ");
  EXPECT_EQ(server_.count("COMMIT"), 1u);
  EXPECT_TRUE(eventually([&] { return server_.open() == 0; }));
  EXPECT_EQ(types(busy.ask("SELECT 2")), "TDCZ");
  // Its series belong to the new one.
  EXPECT_NE(registry_.text().find("dbproxy_target_available"), std::string::npos);
}

// A server that is gone without a word: its kernel drops all that comes, so nothing is acknowledged.
TEST_F(Apply, AServerOfAReplacedTargetThatVanishesIsNoticed) {
  notice_silence_after(std::chrono::seconds(1));
  ASSERT_EQ(apply(), "");
  server_.script();
  auto busy = client();
  auto server = server_.next();
  ASSERT_TRUE(server);
  busy.wire.send(query("BEGIN"));
  ASSERT_TRUE(server->read());
  server->send(complete("BEGIN") + ready('T'));
  EXPECT_EQ(types(busy.wire.read_until('Z')), "CZ");
  FakeServer other;
  snapshot_.targets[0].port = other.port();
  ASSERT_EQ(apply(), "");
  sock_filter drop{BPF_RET | BPF_K, 0, 0, 0};
  sock_fprog all{1, &drop};
  ASSERT_EQ(setsockopt(server->fd(), SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all), 0);
  EXPECT_EQ(first_error(busy.ask("SELECT 1")), "40001");
}

TEST_F(Apply, WhoWaitsForATargetThatIsReplacedGoesToTheNewOne) {
  FakeServer other;
  pool_of(1);
  auto holder = client();
  holder.ask("BEGIN");
  auto waiting = client();
  waiting.wire.send(query("SELECT 1"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  snapshot_.targets[0].port = other.port();
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(types(waiting.wire.read_until('Z')), "TDCZ");
  EXPECT_EQ(other.count("SELECT 1"), 1u);
}

TEST_F(Apply, WhoWaitsForAWriterThatIsDemotedGoesToTheNewWriter) {
  FakeServer other;
  pool_of(1);
  auto second = snapshot_.targets[0];
  second.id = "two";
  second.port = other.port();
  second.role = config::TargetRole::kReadOnly;
  snapshot_.targets.push_back(second);
  ASSERT_EQ(apply(), "");
  auto holder = client();
  holder.ask("BEGIN");
  auto waiting = client();
  waiting.wire.send(query("INSERT"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  std::swap(snapshot_.targets[0].role, snapshot_.targets[1].role);
  ASSERT_EQ(apply(), "");
  holder.ask("COMMIT");
  EXPECT_EQ(types(waiting.wire.read_until('Z')), "TDCZ");
  EXPECT_EQ(other.count("INSERT"), 1u);
  EXPECT_EQ(server_.count("INSERT"), 0u);
}

TEST_F(Apply, AProxyIsRemovedAndComesBackAtOnce) {
  auto idle = client();
  auto busy = client();
  busy.ask("BEGIN");
  service_->remove("default/shop");
  EXPECT_EQ(first_error(idle.wire.read_until('Z')), "57P01");
  EXPECT_EQ(client().refusal(), "57P03");
  ASSERT_EQ(apply(), "");
  EXPECT_TRUE(client().in());
  EXPECT_EQ(types(busy.ask("COMMIT")), "CZ");
  EXPECT_EQ(first_error(busy.wire.read_until('Z')), "57P01");
}

TEST_F(Apply, WhoComesAfterADeletionIsToldUntilAnotherProxyTakesThePort) {
  auto served = client();
  ASSERT_EQ(types(served.ask("SELECT")), "TDCZ");
  service_->remove("default/shop");
  auto late = client();
  ASSERT_EQ(late.refusal(), "57P03");
  EXPECT_EQ(late.greeting.back().field('M'), "DBProxy default/shop was deleted");
  EXPECT_NE(late.greeting.back().field('H').find("Apply the DBProxy again"), std::string::npos);
  EXPECT_NE(registry_.text().find("dbproxy_logins_total{proxy=\"default/shop\",result=\"deleted\"} 1\n"),
            std::string::npos);
  EXPECT_TRUE(eventually([&] { return server_.open() == 0; })) << "nothing is kept open for nobody";
  snapshot_.name = "another";
  ASSERT_EQ(apply(), "");
  EXPECT_TRUE(client().in());
}

TEST_F(Apply, ADeletedProxyThatComesBackElsewhereLeavesItsOldPort) {
  const auto before = port_;
  service_->remove("default/shop");
  port_ = snapshot_.endpoints[0].port = free_port();
  ASSERT_EQ(apply(), "");
  EXPECT_TRUE(client().in());
  EXPECT_TRUE(refused(before));
}

TEST_F(Apply, ADeletedProxyDoesNotHoldUpTheEndNorListenAfterIt) {
  service_->remove("default/shop");
  EXPECT_EQ(client().refusal(), "57P03");
  service_->drain(std::chrono::seconds(60));
  EXPECT_TRUE(eventually([&] { return service_->drained(); }));
  EXPECT_TRUE(refused(port_));
}

TEST_F(Apply, DrainsWithoutClients) {
  service_->drain(std::chrono::seconds(60));
  EXPECT_TRUE(eventually([&] { return service_->drained(); }));
  EXPECT_TRUE(refused(port_));
  EXPECT_EQ(apply(), "");  // a configuration that comes too late opens nothing again
  EXPECT_TRUE(refused(port_));
  snapshot_.name = "another";  // nor one of a DBProxy that was never there
  snapshot_.endpoints[0].port = free_port();
  EXPECT_EQ(apply(), "");
  EXPECT_TRUE(refused(snapshot_.endpoints[0].port));
}

TEST_F(Apply, DrainsClientsOfARemovedProxyToo) {
  auto busy = client();
  busy.ask("BEGIN");
  service_->remove("default/shop");
  service_->drain(std::chrono::seconds(60));
  // Another one's gauges, taken in the same round, show when it has looked; row() ends after that round.
  snapshot_.name = "another";
  port_ = snapshot_.endpoints[0].port = free_port();
  ASSERT_EQ(apply(), "");
  auto idle = [&](int n) {
    return registry_.text().find("dbproxy_client_connections{proxy=\"default/another\",state=\"idle\"} " +
                                 std::to_string(n) + "\n") != std::string::npos;
  };
  auto other = client();
  ASSERT_TRUE(eventually([&] { return idle(1); }));
  other.wire.close();
  ASSERT_TRUE(eventually([&] { return idle(0); }));
  row();
  EXPECT_FALSE(service_->drained());
  EXPECT_EQ(types(busy.ask("COMMIT")), "CZ");
  EXPECT_EQ(first_error(busy.wire.read_until('Z')), "57P01");
  busy.wire.close();
  EXPECT_TRUE(eventually([&] { return service_->drained(); }));
}

TEST_F(Apply, DrainsWithClients) {
  pool_of(1);
  auto idle = client();
  auto busy = client();
  busy.ask("BEGIN");
  auto waiting = client();
  waiting.wire.send(query("SELECT 1"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  service_->drain(std::chrono::milliseconds(50));
  EXPECT_EQ(first_error(idle.wire.read_until('Z')), "57P01");
  EXPECT_TRUE(refused(port_));
  EXPECT_FALSE(service_->drained());
  EXPECT_EQ(types(busy.ask("COMMIT")), "CZ");
  EXPECT_EQ(first_error(busy.wire.read_until('Z')), "57P01");
  EXPECT_EQ(types(waiting.wire.read_until('Z')), "TDCZ");
  EXPECT_EQ(first_error(waiting.wire.read_until('Z')), "57P01");
  idle.wire.close();
  busy.wire.close();
  waiting.wire.close();
  EXPECT_TRUE(eventually([&] { return service_->drained(); }));
}

TEST_F(Apply, ARetiredClientWhoseWaitIsInVainEnds) {
  snapshot_.pool.borrow_timeout = std::chrono::seconds(1);
  pool_of(1);
  auto busy = client();
  busy.ask("BEGIN");
  auto waiting = client();
  waiting.wire.send(query("SELECT 1"));
  ASSERT_TRUE(eventually([&] { return row().clients_waiting == 1; }));
  service_->drain(std::chrono::milliseconds(1));
  EXPECT_EQ(first_error(waiting.wire.read_until('Z')), "53300");
  EXPECT_EQ(first_error(waiting.wire.read_until('Z')), "57P01");
  EXPECT_TRUE(waiting.wire.at_end());
}

TEST_F(Apply, ANewIdleTimeoutIsForThoseWhoAreThere) {
  auto c = client();
  snapshot_.idle_client_timeout = std::chrono::seconds(1);
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(first_error(c.wire.read_until('Z')), "57P05");
}

TEST_F(Apply, EverythingIsAskedFromManyThreadsAtOnce) {
  std::atomic<bool> stop{false};
  std::vector<std::jthread> threads;
  service_->on_observation([](const TargetObservation&) {});
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        service_->proxies();
        service_->targets();
        service_->pools();
        service_->pins();
        registry_.text();
        EXPECT_FALSE(service_->draining());
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      auto c = client();
      c.ask("SET a.b = 1");
    }
  });
  for (int i = 0; i < 30; ++i) {
    snapshot_.targets[0].max_connections = static_cast<std::uint32_t>(2 + i % 5);
    EXPECT_EQ(apply(), "");
    auto c = client();
    EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
  }
  stop = true;
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace dbproxy::worker::testing
