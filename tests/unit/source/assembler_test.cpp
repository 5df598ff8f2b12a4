#include "proxy/source/assembler.hpp"

#include <condition_variable>
#include <gtest/gtest.h>
#include <mutex>
#include <set>

namespace dbproxy::source {
namespace {

using namespace std::chrono_literals;

plan::DesiredProxy desired(const std::string& host) {
  plan::DesiredProxy out;
  out.key = "shop/orders";
  out.snapshot.name_space = "shop";
  out.snapshot.name = "orders";
  out.snapshot.users.push_back({.name = "app", .password = Secret("plain")});
  config::Target target;
  target.id = "a";
  target.host = host;
  target.port = 5432;
  out.snapshot.targets.push_back(target);
  return out;
}

class AssemblerTest : public ::testing::Test {
 protected:
  AssemblerTest()
      : assembler_(
            options(), [this](const auto& request) { return answer(request); },
            [this](const Snapshots& changed) { told(changed); }, clock_) {}

  static AssemblerOptions options() {
    AssemblerOptions out;
    out.coalesce = 300ms;
    out.first_wait = 0ms;
    out.monitor.interval = 10ms;
    out.monitor.urgent = 5ms;
    return out;
  }

  topology::ProbeResult answer(const topology::ProbeRequest& request) {
    const std::lock_guard lock(mutex_);
    asked_.insert(request.host);
    changed_.notify_all();
    topology::ProbeResult result;
    result.ok = true;
    result.max_connections = 100;
    return result;
  }

  void told(const Snapshots& changed) {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, snapshot] : changed) in_force_ = snapshot->targets.at(0).host;
    changed_.notify_all();
  }

  template <class Condition>
  bool comes(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 30s, condition);
  }

  const SystemClock clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> asked_;
  std::string in_force_;
  Assembler assembler_;
};

// What comes while changes are gathered is published with them, and asked for as they are.
TEST_F(AssemblerTest, AChangeRightBehindAnotherIsAskedForAsWell) {
  assembler_.set(desired("first"));
  assembler_.start();
  ASSERT_TRUE(comes([&] { return in_force_ == "first"; }));
  assembler_.set(desired("second"));
  ASSERT_TRUE(comes([&] { return asked_.count("second") > 0; }));
  assembler_.set(desired("third"));
  EXPECT_TRUE(comes([&] { return in_force_ == "third"; }));
  EXPECT_TRUE(comes([&] { return asked_.count("third") > 0; }));
  assembler_.stop();
}

}  // namespace
}  // namespace dbproxy::source
