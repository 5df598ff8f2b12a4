#include "proxy/source/manifest_source.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <mutex>

namespace dbproxy::source {
namespace {

using namespace std::chrono_literals;

std::string manifest_text(int percent, int port = 5432) {
  return "apiVersion: dbproxy.io/v1alpha1\nkind: DBProxy\nmetadata: {name: orders, namespace: shop}\nspec:\n"
         "  engineFamily: POSTGRESQL\n  port: " +
         std::to_string(port) +
         "\n  auth:\n  - {authScheme: SECRETS, secretRef: {name: app}}\n"
         "  targetGroups:\n  - name: default\n    dbCluster:\n      endpoint: 127.0.0.1\n      port: 5499\n"
         "      tls: {mode: disable}\n    connectionPool: {maxConnectionsPercent: " +
         std::to_string(percent) +
         "}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: app, namespace: shop}\n"
         "stringData: {username: app, password: plain}\n";
}

class ManifestSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/dbproxy-source-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override {
    source_.reset();
    std::filesystem::remove_all(directory_);
  }
  void write(const std::string& text) const {
    std::ofstream(directory_ / "new.tmp") << text;
    std::filesystem::rename(directory_ / "new.tmp", directory_ / "orders.yaml");
  }
  void make(std::chrono::milliseconds first_wait = 5000ms) {
    Options options;
    options.directory = directory_;
    options.first_wait = first_wait;
    options.coalesce = 20ms;
    options.monitor.interval = 50ms;
    options.watch = {10ms, 100ms, 200ms};
    source_ = std::make_unique<ManifestSource>(
        options,
        [this](const topology::ProbeRequest&) {
          topology::ProbeResult result;
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [this] { return !hold_; });
          result.ok = !away_;
          result.max_connections = max_connections_;
          return result;
        },
        [this](const Snapshots& changed) {
          const std::lock_guard lock(mutex_);
          calls_.push_back(changed);
          changed_.notify_all();
        },
        registry_, clock_);
  }
  bool wait_calls(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 10s, [&] { return calls_.size() >= count; });
  }
  Snapshots call(std::size_t index) {
    const std::lock_guard lock(mutex_);
    return calls_.at(index);
  }

  std::filesystem::path directory_;
  metrics::Registry registry_;
  SystemClock clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool hold_ = false, away_ = false;
  std::uint32_t max_connections_ = 100;
  std::vector<Snapshots> calls_;
  std::unique_ptr<ManifestSource> source_;
};

TEST_F(ManifestSourceTest, FirstCallHasTopologyAndLaterOnesOnlyChanges) {
  write(manifest_text(90));
  make();
  EXPECT_TRUE(source_->load().empty());
  source_->start();
  ASSERT_TRUE(wait_calls(1));
  const config::SnapshotPtr first = call(0).at("shop/orders");
  EXPECT_EQ(first->version, 1u);
  ASSERT_EQ(first->targets.size(), 1u);
  EXPECT_EQ(first->targets[0].health, config::TargetHealth::kAvailable);
  EXPECT_EQ(first->targets[0].max_connections, 100u);

  write(manifest_text(50));
  ASSERT_TRUE(wait_calls(2));
  EXPECT_EQ(call(1).at("shop/orders")->pool.max_connections_percent, 50u);
  EXPECT_EQ(call(1).at("shop/orders")->version, 2u);
  EXPECT_EQ(call(1).at("shop/orders")->targets[0].max_connections, 100u);
  {
    const std::lock_guard lock(mutex_);
    max_connections_ = 200;
  }
  source_->poke("shop/orders");
  ASSERT_TRUE(wait_calls(3));
  EXPECT_EQ(call(2).at("shop/orders")->targets[0].max_connections, 200u);

  std::filesystem::remove(directory_ / "orders.yaml");
  ASSERT_TRUE(wait_calls(4));
  EXPECT_EQ(call(3).at("shop/orders"), nullptr);
  EXPECT_TRUE(source_->snapshots().empty());
  write(manifest_text(50));
  ASSERT_TRUE(wait_calls(5));
  EXPECT_GT(call(4).at("shop/orders")->version, 3u);
}

TEST_F(ManifestSourceTest, OrdersAreForWhatThereIsAndAPauseEnds) {
  write(manifest_text(90));
  make();
  EXPECT_TRUE(source_->load().empty());
  source_->start();
  ASSERT_TRUE(wait_calls(1));
  EXPECT_EQ(call(0).at("shop/orders")->maintenance, config::Maintenance());
  EXPECT_FALSE(source_->pause("shop/other", 1s, false));
  EXPECT_FALSE(source_->reconnect("shop/other"));

  EXPECT_TRUE(source_->pause("shop/orders", 1s, false));
  ASSERT_TRUE(wait_calls(2));
  const config::Maintenance paused = call(1).at("shop/orders")->maintenance;
  EXPECT_GT(paused.pause, 0u);
  EXPECT_EQ(paused.pause_for, 1s);
  ASSERT_TRUE(wait_calls(3)) << "its time is over";
  EXPECT_EQ(call(2).at("shop/orders")->maintenance.pause, 0u);

  EXPECT_TRUE(source_->pause("shop/orders", 600s, false));
  ASSERT_TRUE(wait_calls(4));
  EXPECT_GT(call(3).at("shop/orders")->maintenance.pause, paused.pause);
  EXPECT_TRUE(source_->resume("shop/orders"));
  ASSERT_TRUE(wait_calls(5));
  EXPECT_EQ(call(4).at("shop/orders")->maintenance.pause, 0u);
  EXPECT_TRUE(source_->reconnect("shop/orders"));
  ASSERT_TRUE(wait_calls(6));
  EXPECT_GT(call(5).at("shop/orders")->maintenance.reconnect, 0u);
}

TEST_F(ManifestSourceTest, APauseForPlannedWorkEndsWithTheSnapshotThatHasTheNewWriter) {
  write(manifest_text(90));
  make();
  EXPECT_TRUE(source_->load().empty());
  source_->start();
  ASSERT_TRUE(wait_calls(1));
  EXPECT_TRUE(source_->pause("shop/orders", 600s, true));
  ASSERT_TRUE(wait_calls(2));
  EXPECT_GT(call(1).at("shop/orders")->maintenance.pause, 0u);
  EXPECT_TRUE(source_->reconnect("shop/orders"));  // is another matter
  ASSERT_TRUE(wait_calls(3));
  EXPECT_GT(call(2).at("shop/orders")->maintenance.pause, 0u);
  {
    const std::lock_guard lock(mutex_);
    away_ = true;
  }
  source_->poke("shop/orders");
  ASSERT_TRUE(wait_calls(4));
  EXPECT_GT(call(3).at("shop/orders")->maintenance.pause, 0u);
  {
    const std::lock_guard lock(mutex_);
    away_ = false;
  }
  ASSERT_TRUE(wait_calls(5));
  EXPECT_EQ(call(4).at("shop/orders")->targets[0].health, config::TargetHealth::kAvailable);
  EXPECT_EQ(call(4).at("shop/orders")->maintenance.pause, 0u);

  // Whoever goes on before it is over has ended it, and so has whoever pauses for another reason.
  EXPECT_TRUE(source_->pause("shop/orders", 600s, true));
  ASSERT_TRUE(wait_calls(6));
  EXPECT_TRUE(source_->pause("shop/orders", 600s, false));
  ASSERT_TRUE(wait_calls(7));
  {
    const std::lock_guard lock(mutex_);
    away_ = true;
  }
  source_->poke("shop/orders");
  ASSERT_TRUE(wait_calls(8));
  {
    const std::lock_guard lock(mutex_);
    away_ = false;
  }
  ASSERT_TRUE(wait_calls(9));
  EXPECT_EQ(call(8).at("shop/orders")->targets[0].health, config::TargetHealth::kAvailable);
  EXPECT_GT(call(8).at("shop/orders")->maintenance.pause, 0u);
}

TEST_F(ManifestSourceTest, BrokenEditChangesNothing) {
  write(manifest_text(90));
  make();
  ASSERT_TRUE(source_->load().empty());
  source_->start();
  ASSERT_TRUE(wait_calls(1));
  write(manifest_text(101));
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (source_->diagnostics().empty() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  ASSERT_FALSE(source_->diagnostics().empty());
  EXPECT_EQ(source_->snapshots().at("shop/orders")->pool.max_connections_percent, 90u);
  EXPECT_EQ(registry_.counter("dbproxy_manifest_loads_total", "", {{"result", "error"}}).get(), 1u);
  write(manifest_text(80));
  ASSERT_TRUE(wait_calls(2));
  EXPECT_TRUE(source_->diagnostics().empty());
  EXPECT_EQ(call(1).at("shop/orders")->version, 2u);
}

TEST_F(ManifestSourceTest, FirstLoadWithErrorsTellsThemAll) {
  write(manifest_text(101, 70000));
  make();
  EXPECT_GE(source_->load().size(), 2u);
}

TEST_F(ManifestSourceTest, FirstCallDoesNotWaitForeverForADatabase) {
  hold_ = true;
  write(manifest_text(90));
  make(50ms);
  source_->load();
  source_->start();
  ASSERT_TRUE(wait_calls(1));
  EXPECT_EQ(call(0).at("shop/orders")->targets.at(0).health, config::TargetHealth::kRegistering);
  {
    const std::lock_guard lock(mutex_);
    hold_ = false;
    changed_.notify_all();
  }
  ASSERT_TRUE(wait_calls(2));
  EXPECT_EQ(call(1).at("shop/orders")->targets.at(0).health, config::TargetHealth::kAvailable);
}

TEST_F(ManifestSourceTest, EmptyDirectoryIsSaidToBeEmpty) {
  make();
  EXPECT_TRUE(source_->load().empty());
  source_->start();
  ASSERT_TRUE(wait_calls(1));
  EXPECT_TRUE(call(0).empty());
}

}  // namespace
}  // namespace dbproxy::source
