// The real server and the real client, over TLS on loopback. Everything is awaited by condition, nothing by sleeping.
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <mutex>
#include <thread>

#include "operator/control/server.hpp"
#include "proxy/control/client.hpp"

namespace dbproxy {
namespace {

using namespace std::chrono_literals;
using operator_control::SidecarState;

// What happened, for a test to wait on.
class Events {
 public:
  void add(std::string event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    changed_.notify_all();
  }
  bool wait(const std::string& event, std::size_t times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 10s, [&] { return count_locked(event) >= times; });
  }
  std::size_t count(const std::string& event) {
    const std::lock_guard lock(mutex_);
    return count_locked(event);
  }
  std::string last() {
    const std::lock_guard lock(mutex_);
    return events_.empty() ? "" : events_.back();
  }

 private:
  std::size_t count_locked(const std::string& event) const {
    return static_cast<std::size_t>(std::count(events_.begin(), events_.end(), event));
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
};

bool eventually(const std::function<bool()>& condition) {
  for (const auto end = std::chrono::steady_clock::now() + 10s; std::chrono::steady_clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(2ms);
  }
  return condition();
}

config::SnapshotPtr snapshot(std::uint64_t version, const std::string& name = "orders") {
  auto s = std::make_shared<config::Snapshot>();
  s->name_space = "shop";
  s->name = name;
  s->version = version;
  s->endpoints = {{"default", 5432, config::TargetRole::kReadWrite, false}};
  s->users = {{"app", Secret("plain-password"), {}, {}, ""}};
  s->max_clients = 100 + static_cast<std::uint32_t>(version);
  return s;
}

class StreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/dbproxy-stream-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    files_ =
        pki::load_or_create(directory_,
                            {.common_name = "operator", .dns_names = {"localhost"}, .addresses = {"127.0.0.1"}}, clock_)
            .value();
    tokens_ = std::make_unique<operator_control::FileTokenStore>(directory_);
    token_file_ = tokens_->ensure("one").value();
  }
  void TearDown() override {
    client_.reset();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  void start_server(const std::string& listen = "127.0.0.1:0") {
    operator_control::ServerOptions options;
    options.listen = listen;
    options.identity = files_.server;
    options.authority = files_.authority;
    options.software_version = "test";
    options.hello_timeout = 200ms;
    server_ = std::make_unique<operator_control::Server>(options, *tokens_, registry_, clock_);
    server_->on_target_report([this](const operator_control::TargetReport& report) {
      reports_.add(report.identity + " " + report.proxy + " " + report.target + " " +
                   std::string(config::to_string(report.reason)));
    });
    ASSERT_EQ(server_->start(), "");
    address_ = "127.0.0.1:" + std::to_string(server_->port());
  }
  control::ClientOptions client_options() const {
    control::ClientOptions options;
    options.operator_address = address_;
    options.ca_file = directory_ + "/ca.pem";
    options.token_file = token_file_;
    options.identity = "one";
    options.software_version = "test";
    options.backoff_base = 10ms;
    options.backoff_cap = 50ms;
    options.last_good_wait = 100ms;
    options.status_interval = 10ms;
    return options;
  }
  void start_client(const control::ClientOptions& options) {
    control::ClientCallbacks callbacks;
    callbacks.apply = [this](config::SnapshotPtr s, worker::ListenerTls tls) -> std::string {
      EXPECT_NE(tls.certificate_pem.find("BEGIN CERTIFICATE"), std::string::npos);
      std::unique_lock lock(gate_);
      if (refuse_ == s->version) return "port 5432 is in use";
      shown_ = tls.certificate_pem;
      applied_.add(s->name + " " + std::to_string(s->version));
      return {};
    };
    callbacks.remove = [this](const std::string& proxy) { applied_.add("removed " + proxy); };
    callbacks.status = [] {
      worker::ProxyRow row;
      row.proxy = "shop/orders";
      row.clients = 7;
      return std::vector<worker::ProxyRow>{row};
    };
    client_ = std::make_unique<control::Client>(options, callbacks, client_registry_, clock_);
    client_->start();
  }
  std::string shown() {
    const std::lock_guard lock(gate_);
    return shown_;
  }
  // One configuration in force at one sidecar.
  void serve() {
    start_server();
    server_->publish({{"shop/orders", snapshot(1)}});
    start_client(client_options());
    ASSERT_TRUE(state_is(SidecarState::kUpdated, 1));
  }
  // Another process at the same address, with the same to publish.
  void restart() {
    server_.reset();
    ASSERT_TRUE(eventually([&] { return !client_->connected(); }));
    start_server(address_);
    server_->publish({{"shop/orders", snapshot(1)}});
  }
  void write_token(const std::string& text) {
    token_file_ = directory_ + "/some-token";
    std::ofstream(token_file_) << text;
  }
  std::uint64_t refused() { return registry_.counter("dbproxy_operator_streams_refused_total", "").get(); }
  std::uint64_t pushes() { return registry_.counter("dbproxy_operator_config_pushes_total", "").get(); }
  bool state_is(SidecarState state, std::uint64_t version) {
    return eventually([&] {
      const auto rows = server_->sidecars();
      return rows.size() == 1 && rows[0].state == state && rows[0].version_in_force == version;
    });
  }

  SystemClock clock_;
  metrics::Registry registry_, client_registry_;
  std::string directory_, token_file_, address_;
  pki::ServerFiles files_;
  std::unique_ptr<operator_control::FileTokenStore> tokens_;
  std::unique_ptr<operator_control::Server> server_;
  std::unique_ptr<control::Client> client_;
  Events applied_, reports_;
  std::mutex gate_;  // held: apply waits
  std::string shown_;
  std::atomic<std::uint64_t> refuse_{0};
};

TEST_F(StreamTest, PushAckStatusAndReport) {
  start_server();
  start_client(client_options());
  ASSERT_TRUE(eventually([&] { return client_->connected(); }));
  EXPECT_EQ(applied_.last(), "");  // nothing is known yet, so nothing is said to be gone
  server_->publish({{"shop/orders", snapshot(1)}});
  ASSERT_TRUE(applied_.wait("orders 1"));
  ASSERT_TRUE(state_is(SidecarState::kUpdated, 1));
  EXPECT_TRUE(eventually([&] { return server_->sidecars()[0].clients == 7; }));
  EXPECT_EQ(server_->sidecars()[0].identity, "one");
  EXPECT_EQ(server_->counts("shop/orders").updated, 1u);

  server_->publish({{"shop/orders", snapshot(2)}, {"shop/billing", snapshot(1, "billing")}});
  EXPECT_TRUE(applied_.wait("orders 2"));
  EXPECT_TRUE(applied_.wait("billing 1"));
  server_->publish({{"shop/orders", nullptr}});
  EXPECT_TRUE(applied_.wait("removed shop/orders"));
  EXPECT_TRUE(eventually([&] { return server_->sidecars().size() == 1; }));

  client_->observe(
      {"shop/billing", "db-1", "app", config::TargetHealth::kUnavailable, config::HealthReason::kAuthFailure});
  EXPECT_TRUE(reports_.wait("one shop/billing db-1 AUTH_FAILURE"));
}

TEST_F(StreamTest, NackKeepsTheLastGood) {
  start_server();
  server_->publish({{"shop/orders", snapshot(1)}});
  start_client(client_options());
  ASSERT_TRUE(applied_.wait("orders 1"));
  refuse_ = 2;
  server_->publish({{"shop/orders", snapshot(2)}});
  ASSERT_TRUE(state_is(SidecarState::kRejected, 1));
  EXPECT_EQ(server_->sidecars()[0].error, "port 5432 is in use");
  EXPECT_EQ(server_->counts("shop/orders").rejected, 1u);
  server_->publish({{"shop/orders", snapshot(3)}});
  EXPECT_TRUE(state_is(SidecarState::kUpdated, 3));
  EXPECT_EQ(client_registry_.counter("dbproxy_config_nacks_total", "").get(), 1u);
}

TEST_F(StreamTest, NoOrWrongTokenGetsNothing) {
  start_server();
  server_->publish({{"shop/orders", snapshot(1)}});
  write_token(std::string(64, 'a') + "\n");
  start_client(client_options());
  ASSERT_TRUE(eventually([&] { return refused() > 0; }));
  EXPECT_FALSE(client_->connected());
  EXPECT_EQ(pushes(), 0u);
  // The file is read again for each connection: a good token ends it.
  std::filesystem::copy_file(directory_ + "/tokens/one", token_file_,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(applied_.wait("orders 1"));
}

TEST_F(StreamTest, TokenOfAnotherIdentityOrProxyIsRefused) {
  start_server();
  server_->publish({{"shop/orders", snapshot(1)}});
  token_file_ = tokens_->ensure("two", {"shop/billing"}).value();
  start_client(client_options());
  ASSERT_TRUE(eventually([&] { return refused() > 0; }));
  EXPECT_EQ(pushes(), 0u);
  control::ClientOptions options = client_options();
  options.identity = "two";
  options.proxies = {"shop/orders"};
  client_.reset();
  const std::uint64_t before = refused();
  start_client(options);
  ASSERT_TRUE(eventually([&] { return refused() > before; }));
  EXPECT_EQ(pushes(), 0u);
  EXPECT_EQ(applied_.last(), "");
}

TEST_F(StreamTest, OperatorWithAnotherCaIsNotTrusted) {
  start_server();
  server_->publish({{"shop/orders", snapshot(1)}});
  const auto stranger = pki::make_authority("stranger", 1, clock_).value();
  std::ofstream(directory_ + "/other.pem") << stranger.certificate_pem;
  control::ClientOptions options = client_options();
  options.ca_file = directory_ + "/other.pem";
  start_client(options);
  ASSERT_TRUE(eventually([&] { return client_registry_.counter("dbproxy_control_reconnects_total", "").get() >= 2; }));
  EXPECT_FALSE(client_->connected());
  EXPECT_EQ(applied_.last(), "");
}

TEST_F(StreamTest, ReconnectsAndWhatIsHeldIsNotSentAgain) {
  ASSERT_NO_FATAL_FAILURE(serve());
  const std::uint64_t before = pushes();
  ASSERT_NO_FATAL_FAILURE(restart());
  ASSERT_TRUE(state_is(SidecarState::kUpdated, 1));
  EXPECT_EQ(pushes(), before);
  EXPECT_EQ(applied_.count("orders 1"), 1u);
  server_->publish({{"shop/orders", snapshot(2)}});
  EXPECT_TRUE(applied_.wait("orders 2"));
}

// What another process issued is renewed as one's own is: the CA's next step may come long after a restart.
TEST_F(StreamTest, AnotherCaRenewsCertificatesThatAnOperatorOfBeforeIssued) {
  ASSERT_NO_FATAL_FAILURE(serve());
  ASSERT_NO_FATAL_FAILURE(restart());
  ASSERT_TRUE(state_is(SidecarState::kUpdated, 1));
  ASSERT_EQ(applied_.count("orders 1"), 1u);
  const auto next = pki::make_authority("next", 1, clock_).value();
  server_->set_certificates(files_.server, next);
  ASSERT_TRUE(applied_.wait("orders 1", 2));
  EXPECT_TRUE(pki::is_signed_by(shown(), next));
}

TEST_F(StreamTest, ACertificateOfACaThatSignsNoMoreIsRenewedBehindARestart) {
  ASSERT_NO_FATAL_FAILURE(serve());
  const auto trusted = files_.authority;
  // Signs; the server's own leaf is of the one before.
  files_.authority = pki::make_authority("next", 1, clock_).value();
  ASSERT_NO_FATAL_FAILURE(restart());
  ASSERT_TRUE(applied_.wait("orders 1", 2));
  EXPECT_TRUE(pki::is_signed_by(shown(), files_.authority));
  EXPECT_FALSE(pki::is_signed_by(shown(), trusted));
}

TEST_F(StreamTest, ChangesBehindASlowSidecarGoAsOne) {
  start_server();
  server_->publish({{"shop/orders", snapshot(1)}});
  {
    const std::lock_guard slow(gate_);
    start_client(client_options());
    ASSERT_TRUE(eventually([&] { return pushes() == 1; }));
    for (std::uint64_t version = 2; version <= 50; ++version) server_->publish({{"shop/orders", snapshot(version)}});
  }
  ASSERT_TRUE(state_is(SidecarState::kUpdated, 50));
  EXPECT_EQ(pushes(), 2u);
}

TEST_F(StreamTest, LastGoodIsUsedWhileTheOperatorIsAway) {
  start_server();
  server_->publish({{"shop/orders", snapshot(1)}});
  control::ClientOptions options = client_options();
  options.state_dir = directory_;
  start_client(options);
  ASSERT_TRUE(state_is(SidecarState::kUpdated, 1));
  client_.reset();
  server_.reset();
  start_client(options);
  ASSERT_TRUE(applied_.wait("orders 1", 2));
  start_server(address_);  // and the stream takes over where the file left off
  server_->publish({{"shop/orders", snapshot(2)}});
  EXPECT_TRUE(applied_.wait("orders 2"));
}

TEST_F(StreamTest, NewerStreamOfAnIdentityReplacesTheOlder) {
  start_server();
  server_->publish({{"shop/orders", snapshot(1)}});
  start_client(client_options());
  ASSERT_TRUE(state_is(SidecarState::kUpdated, 1));
  control::ClientCallbacks callbacks;
  callbacks.apply = [](config::SnapshotPtr, worker::ListenerTls) { return std::string(); };
  callbacks.remove = [](const std::string&) {};
  metrics::Registry other;
  control::Client second(client_options(), callbacks, other, clock_);
  second.start();
  ASSERT_TRUE(eventually([&] { return second.connected(); }));
  EXPECT_TRUE(eventually([&] { return client_registry_.counter("dbproxy_control_reconnects_total", "").get() >= 1; }));
  client_.reset();
  EXPECT_TRUE(eventually([&] { return second.connected() && server_->sidecars().size() == 1; }));
}

TEST_F(StreamTest, PortInUseIsSaid) {
  start_server();
  operator_control::ServerOptions options;
  options.listen = address_;
  options.identity = files_.server;
  operator_control::Server second(options, *tokens_, registry_, clock_);
  EXPECT_NE(second.start().find("cannot listen on " + address_), std::string::npos);
}

TEST(Tokens, FilesAreMadeOnceAndChecked) {
  char name[] = "/tmp/dbproxy-tokens-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const operator_control::FileTokenStore store(name);
  const std::string path = store.ensure("a", {"shop/orders"}).value();
  std::ifstream file(path);
  std::string token, proxy;
  file >> token >> proxy;
  EXPECT_EQ(token.size(), 64u);
  EXPECT_EQ(proxy, "shop/orders");
  EXPECT_EQ(store.ensure("a").value(), path);
  EXPECT_EQ(store.ensure("shop/orders-1").value(), std::string(name) + "/tokens/shop/orders-1");
  using Kind = operator_control::Verdict::Kind;
  EXPECT_EQ(store.verify(Secret(token), "a").kind, Kind::kGood);
  EXPECT_EQ(store.verify(Secret(token), "a").proxies, std::vector<std::string>{"shop/orders"});
  EXPECT_EQ(store.verify(Secret(token), "b").kind, Kind::kOtherIdentity);
  EXPECT_EQ(store.verify(Secret(token), "shop/orders-1").kind, Kind::kOtherIdentity);
  EXPECT_EQ(store.verify(Secret(token), "../tokens/a").kind, Kind::kOtherIdentity);
  EXPECT_EQ(store.verify(Secret("x"), "a").kind, Kind::kUnknownToken);
  EXPECT_EQ(store.verify(Secret(), "a").kind, Kind::kUnknownToken);
  for (const char* bad : {"", "../x", ".hidden", "a/b/c", "a/", "/a", "a/..", "a b"})
    EXPECT_TRUE(store.ensure(bad).has_error()) << bad;
  std::filesystem::remove_all(name);
}

}  // namespace
}  // namespace dbproxy
