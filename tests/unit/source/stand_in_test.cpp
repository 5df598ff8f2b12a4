#include "proxy/source/stand_in.hpp"

#include <condition_variable>
#include <gtest/gtest.h>
#include <mutex>
#include <thread>

namespace dbproxy::source {
namespace {

using namespace std::chrono_literals;
using config::TargetHealth;
using config::TargetRole;

config::SnapshotPtr snapshot(std::uint64_t version) {
  config::Snapshot out;
  out.name_space = "shop";
  out.name = "orders";
  out.version = version;
  out.users.push_back({.name = "app", .password = Secret("plain")});
  const auto target = [&](const char* id, TargetRole role) {
    config::Target each;
    each.id = each.host = id;
    each.port = 5432;
    each.role = role;
    each.health = TargetHealth::kAvailable;
    each.max_connections = 100;
    out.targets.push_back(each);
  };
  target("a", TargetRole::kReadWrite);
  target("b", TargetRole::kReadOnly);
  return std::make_shared<const config::Snapshot>(std::move(out));
}

// Servers a and b, whose answers are as `writer` and `gone` say.
class StandInTest : public ::testing::Test {
 protected:
  StandInTest() : stand_in_([this](const auto& request) { return answer(request); }, registry_, clock_, options()) {}

  static StandInOptions options() {
    StandInOptions out;
    out.patience = 3600s;
    out.monitor.interval = 20ms;
    out.monitor.urgent = 5ms;
    return out;
  }

  topology::ProbeResult answer(const topology::ProbeRequest& request) {
    const std::lock_guard lock(mutex_);
    ++probes_;
    topology::ProbeResult result;
    result.ok = request.host != gone_;
    result.in_recovery = request.host != writer_ && request.host != rival_;
    result.max_connections = 100;
    changed_.notify_all();
    return result;
  }

  std::string put(std::uint64_t version) {
    return stand_in_.put(snapshot(version), [this](config::SnapshotPtr in_force) {
      const std::lock_guard lock(mutex_);
      if (refuses_) return std::string("no");
      in_force_ = std::move(in_force);
      changed_.notify_all();
      return std::string();
    });
  }

  // As the sidecar has it in force: "a b" with the writer in capitals, and those that are not available in brackets.
  std::string shown() const {
    std::string out;
    for (const auto& target : in_force_->targets) {
      std::string id = target.role == TargetRole::kReadWrite ? std::string(1, target.id == "a" ? 'A' : 'B') : target.id;
      if (target.health != TargetHealth::kAvailable) id = "(" + id + ")";
      out += (out.empty() ? "" : " ") + id;
    }
    return out;
  }
  bool becomes(const std::string& expected) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 30s, [&] { return shown() == expected; });
  }
  // It is only once what it found has been put in force.
  bool overriding() {
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (!stand_in_.overrides("shop/orders")) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  void set(const std::string& writer, const std::string& gone, const std::string& rival = {}) {
    const std::lock_guard lock(mutex_);
    writer_ = writer;
    gone_ = gone;
    rival_ = rival;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string writer_ = "a", gone_, rival_;
  bool refuses_ = false;
  int probes_ = 0;
  config::SnapshotPtr in_force_;
  metrics::Registry registry_;
  SystemClock clock_;
  StandIn stand_in_;
};

TEST_F(StandInTest, AsksNobodyWhileTheOperatorIsThereOrNothingIsWrong) {
  ASSERT_EQ(put(1), "");
  stand_in_.trouble("shop/orders");
  stand_in_.operator_is(true);
  EXPECT_EQ(probes_, 0);
  EXPECT_FALSE(stand_in_.overrides("shop/orders"));
  EXPECT_EQ(in_force_->version, 1u);
}

TEST_F(StandInTest, FindsTheNewWriterWhileTheOperatorIsAway) {
  ASSERT_EQ(put(1), "");
  stand_in_.operator_is(false);
  set("b", "a");
  stand_in_.trouble("shop/orders");
  EXPECT_TRUE(becomes("(a) B"));
  EXPECT_TRUE(overriding());
  EXPECT_EQ(in_force_->version, 1u);
  // The writer of before comes back and claims to be one still.
  set("b", "", "a");
  EXPECT_TRUE(becomes("(a) B"));
}

TEST_F(StandInTest, TroubleShortlyBeforeTheOperatorLeftCounts) {
  ASSERT_EQ(put(1), "");
  stand_in_.trouble("shop/orders");
  set("b", "a");
  stand_in_.operator_is(false);
  EXPECT_TRUE(becomes("(a) B"));
}

TEST_F(StandInTest, WhatWasSeenHoldsUntilTheOperatorSpeaks) {
  ASSERT_EQ(put(1), "");
  stand_in_.operator_is(false);
  set("b", "a");
  stand_in_.trouble("shop/orders");
  ASSERT_TRUE(becomes("(a) B"));
  stand_in_.operator_is(true);
  EXPECT_TRUE(overriding());
  ASSERT_EQ(put(2), "");
  EXPECT_FALSE(stand_in_.overrides("shop/orders"));
  EXPECT_EQ(in_force_->version, 2u);
  EXPECT_EQ(shown(), "A b");
}

TEST_F(StandInTest, TheOneThatTheOperatorHadGivenUpIsNotTakenForTheWriter) {
  auto said = *snapshot(1);
  said.targets[0].role = TargetRole::kReadOnly;
  said.targets[0].health = TargetHealth::kUnavailable;
  said.targets[0].reason = config::HealthReason::kInvalidReplicationState;
  said.targets[1].role = TargetRole::kReadWrite;
  set("b", "", "a");
  stand_in_.put(std::make_shared<const config::Snapshot>(std::move(said)), [this](config::SnapshotPtr in_force) {
    const std::lock_guard lock(mutex_);
    in_force_ = std::move(in_force);
    changed_.notify_all();
    return std::string();
  });
  stand_in_.operator_is(false);  // a target is not available, so that it looks at once
  {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, 30s, [&] { return probes_ > 10; }));
    EXPECT_EQ(shown(), "(a) B");
  }
  set("b", "b", "a");  // not even alone
  ASSERT_TRUE(becomes("(a) (B)"));
}

TEST_F(StandInTest, WhatIsRefusedChangesNothing) {
  ASSERT_EQ(put(1), "");
  refuses_ = true;
  EXPECT_EQ(put(2), "no");
  refuses_ = false;
  stand_in_.operator_is(false);
  set("b", "a");
  stand_in_.trouble("shop/orders");
  EXPECT_TRUE(becomes("(a) B"));
  EXPECT_EQ(in_force_->version, 1u);
  stand_in_.remove("shop/orders");
  EXPECT_FALSE(stand_in_.overrides("shop/orders"));
}

}  // namespace
}  // namespace dbproxy::source
