// Clients, configurations and pages at once: what the threads beside the worker touch of MySQL's engine.
#include <atomic>
#include <csignal>
#include <gtest/gtest.h>
#include <memory>
#include <netinet/in.h>
#include <thread>
#include <vector>

#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/mysql/handshake.hpp"
#include "proxy/wire/mysql/messages.hpp"
#include "proxy/worker/engine.hpp"
#include "proxy/worker/mysql/engine.hpp"
#include "proxy/worker/service.hpp"
#include "tests/mysql/native/connection.hpp"
#include "tests/unit/worker_mysql/fake_mysql.hpp"

namespace dbproxy::worker::mysql::testing {
namespace {

namespace wire = dbproxy::wire::mysql;
namespace flags = dbproxy::wire::mysql::client;
using mysql_differential::Connection;

constexpr std::uint32_t kClient = flags::kProtocol41 | flags::kSecureConnection | flags::kPluginAuth |
                                  flags::kConnectWithDb | flags::kTransactions | flags::kMultiStatements;

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size), 0);
  ::close(fd);
  return ntohs(at.sin_port);
}

class MysqlCrowd : public ::testing::Test {
 protected:
  MysqlCrowd() : port_(free_port()) {
    std::signal(SIGPIPE, SIG_IGN);
    Engines engines;
    engines.push_back(make_engine());
    ServiceOptions options;
    options.read_catalog = false;
    snapshot_.name_space = "default";
    snapshot_.name = "shop";
    snapshot_.engine = config::EngineFamily::kMysql;
    snapshot_.server_tls.mode = config::TlsMode::kDisable;
    snapshot_.endpoints = {{.name = "default", .port = port_}};
    config::User user;
    user.name = "app";
    user.password = Secret("secret");
    snapshot_.users = {user};
    snapshot_.targets = {{.id = "one",
                          .host = "127.0.0.1",
                          .port = server_.port(),
                          .health = config::TargetHealth::kAvailable,
                          .max_connections = 5,
                          .server_version = "8.0.99"}};
    service_ = std::make_unique<Service>(std::move(engines), options, registry_, clock_);
  }

  std::string apply() {
    ++snapshot_.version;
    return service_->apply(std::make_shared<const config::Snapshot>(snapshot_), tls_);
  }
  std::unique_ptr<Connection> client() {
    auto made = std::make_unique<Connection>(port_);
    const auto refused = made->log_in({"app", "secret"}, "shop", kClient);
    EXPECT_FALSE(refused) << *refused;
    return made;
  }

  FakeMysql server_;
  SystemClock clock_;
  metrics::Registry registry_;
  config::Snapshot snapshot_;
  ListenerTls tls_;
  std::unique_ptr<Service> service_;
  std::uint16_t port_;
};

// What comes back has to be the client's own: the row is the text.
bool own_answer(Connection& connection, const std::string& text) {
  connection.request(static_cast<std::uint8_t>(wire::Command::kQuery), text);
  bool own = false;
  for (int ends = 0; ends < 2;) {
    const auto packet = connection.read();
    if (static_cast<std::uint8_t>(packet[0]) == wire::kErrorHeader) return false;
    ends += static_cast<std::uint8_t>(packet[0]) == wire::kEofHeader && packet.size() < 9;
    own = own || packet.substr(1) == text;
  }
  return own;
}

TEST_F(MysqlCrowd, ManyClientsOnFewConnectionsWhileTheConfigurationChangesAndPagesAreRead) {
  ASSERT_EQ(apply(), "");
  std::atomic<bool> stop{false};
  std::atomic<int> own{0};
  constexpr int kClients = 8;
  std::vector<std::jthread> threads;
  threads.reserve(kClients);
  for (int number = 0; number < kClients; ++number) {
    threads.emplace_back([&, number] {
      for (int round = 0; round < 6; ++round) {
        auto connection = client();
        for (int i = 0; i < 10; ++i) {
          const std::string text = "SELECT " + std::to_string(number) + "." + std::to_string(round * 10 + i);
          connection->run("BEGIN");
          own += own_answer(*connection, text);
          connection->run(i % 2 == 0 ? "COMMIT" : "ROLLBACK");
          own += own_answer(*connection, text);
        }
        connection->request(static_cast<std::uint8_t>(wire::Command::kResetConnection), {});
        connection->read();
      }
    });
  }
  std::jthread pages([&] {
    while (!stop) {
      service_->proxies();
      service_->targets();
      service_->pools();
      service_->pins();
      registry_.text();
    }
  });
  for (int i = 0; i < 10; ++i) {
    snapshot_.targets[0].max_connections = 2 + static_cast<std::uint32_t>(i % 3);
    EXPECT_EQ(apply(), "");
  }
  threads.clear();
  stop = true;
  pages.join();
  EXPECT_EQ(own, kClients * 6 * 20);
  EXPECT_LE(server_.open(), 4 + 1);
}

// Pools log in before anything has been asked of the database: what they are not offered then they never have.
TEST_F(MysqlCrowd, TheFirstClientIsOfferedWhatTheMonitorHasSeen) {
  snapshot_.targets[0].port = free_port();  // where nobody listens
  for (const std::uint32_t flag : {0u, flags::kQueryAttributes}) {
    snapshot_.targets[0].server_capabilities = flag | flags::kDeprecateEof;
    ASSERT_EQ(apply(), "");
    Connection connection(port_);
    wire::Greeting greeting;
    ASSERT_TRUE(wire::read_greeting(connection.read(), greeting));
    EXPECT_EQ(greeting.capabilities & flags::kQueryAttributes, flag);
  }
}

TEST_F(MysqlCrowd, ClientsThatLeaveInTheMiddleAndServersThatDie) {
  snapshot_.targets[0].max_connections = 4;  // of which one is the monitor's
  ASSERT_EQ(apply(), "");
  for (int round = 0; round < 3; ++round) {
    auto leaves = client(), dies = client();
    leaves->request(static_cast<std::uint8_t>(wire::Command::kQuery), "HOLD");
    dies->request(static_cast<std::uint8_t>(wire::Command::kQuery), "DIE");
    wire::Error error;
    EXPECT_TRUE(wire::read_error(dies->read(), error));
    EXPECT_EQ(error.code, wire::error::kServerLost);
    leaves.reset();
    server_.release();
    server_.drop_all();
    bool answered = false;  // one of the connections may be noticed as gone with its next statement only
    for (int i = 0; i < 5 && !answered; ++i) answered = own_answer(*client(), "SELECT 1");
    EXPECT_TRUE(answered);
  }
}

}  // namespace
}  // namespace dbproxy::worker::mysql::testing
