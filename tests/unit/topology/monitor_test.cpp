// The monitor with a prober and a clock that the test owns. Nothing sleeps: each step waits for what it caused.
#include "proxy/topology/monitor.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <utility>

namespace dbproxy::topology {
namespace {

using config::HealthReason;
using config::TargetHealth;
using config::TargetRole;

class TestClock final : public Clock {  // ManualClock, for several threads
 public:
  TimePoint now() const override { return TimePoint{} + Duration(now_.load()); }
  WallTime wall() const override { return {}; }
  void advance(Duration by) { now_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_{Duration(std::chrono::hours(1)).count()};
};

constexpr auto kPatience = std::chrono::seconds(20);

// Databases by host: what each answers, whom it lets in, whether it answers at all.
class Fleet {
 public:
  struct Database {
    ProbeResult answer;
    bool kept = true;       // by the last question
    std::string good_user;  // empty: anyone
    bool stuck = false;
    int probes = 0;
    std::vector<std::string> users;
  };

  ProbeResult probe(const ProbeRequest& request) {
    std::unique_lock lock(mutex_);
    Database& database = databases_[request.host];
    ++database.probes;
    database.kept = request.keep;
    database.users.push_back(request.user);
    changed_.notify_all();
    changed_.wait(lock, [&] { return !database.stuck; });
    if (!database.good_user.empty() && database.good_user != request.user) {
      ProbeResult refused;
      refused.reason = HealthReason::kAuthFailure;
      return refused;
    }
    return database.answer;
  }

  void set(const std::string& host, const std::function<void(Database&)>& change) {
    std::lock_guard lock(mutex_);
    change(databases_[host]);
    changed_.notify_all();
  }

  bool wait_for_probes(const std::string& host, int count, std::chrono::milliseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return databases_[host].probes >= count; });
  }

  int probes(const std::string& host) {
    std::lock_guard lock(mutex_);
    return databases_[host].probes;
  }

  bool kept(const std::string& host) {
    std::lock_guard lock(mutex_);
    return databases_[host].kept;
  }

  std::vector<std::string> users(const std::string& host) {
    std::lock_guard lock(mutex_);
    return databases_[host].users;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Database> databases_;
};

// Observation sets in the order in which they were told.
class Log {
 public:
  void add(const std::string& proxy, const std::vector<Observation>& set) {
    std::lock_guard lock(mutex_);
    sets_.emplace_back(proxy, set);
    changed_.notify_all();
  }
  // Waits for a set of which `predicate` holds, from the one after the last that was waited for on.
  bool wait_for(const std::function<bool(const std::vector<Observation>&)>& predicate) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] {
      for (; read_ < sets_.size(); ++read_) {
        if (!predicate(sets_[read_].second)) continue;
        ++read_;
        return true;
      }
      return false;
    });
  }
  std::size_t size() {
    std::lock_guard lock(mutex_);
    return sets_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<std::string, std::vector<Observation>>> sets_;
  std::size_t read_ = 0;
};

ProbeResult answer(bool in_recovery, double lag = 0) {
  ProbeResult out;
  out.ok = true;
  out.in_recovery = in_recovery;
  out.max_connections = 100;
  out.lag_seconds = lag;
  return out;
}

ProbeResult unreachable() {
  ProbeResult out;
  out.reason = HealthReason::kUnreachable;
  return out;
}

class MonitorTest : public testing::Test {
 protected:
  MonitorTest()
      : monitor_([this](const ProbeRequest& request) { return fleet_.probe(request); },
                 [this](const std::string& proxy, const std::vector<Observation>& set) { log_.add(proxy, set); },
                 clock_) {}

  static Cluster cluster(std::vector<Member> members, std::vector<Credential> credentials = {{"app", Secret("x")}}) {
    Cluster out;
    out.proxy = "shop/orders";
    out.members = std::move(members);
    out.credentials = std::move(credentials);
    return out;
  }

  // Lets time pass in such steps until the host is asked; how much. The answer to the question before may still be on
  // its way.
  Duration until_asked(const std::string& host, Duration step) {
    const int before = fleet_.probes(host);
    Duration passed{};
    do {
      clock_.advance(step);
      passed += step;
      monitor_.wake();
    } while (!fleet_.wait_for_probes(host, before + 1, std::chrono::milliseconds(20)));
    return passed;
  }

  Fleet fleet_;
  Log log_;
  TestClock clock_;
  Monitor monitor_;
};

bool all_available(const std::vector<Observation>& set) {
  for (const auto& o : set) {
    if (o.health != TargetHealth::kAvailable) return false;
  }
  return true;
}

TEST_F(MonitorTest, ProbesAtOnceAndTellsRoles) {
  fleet_.set("a", [](auto& d) { d.answer = answer(false); });
  fleet_.set("b", [](auto& d) { d.answer = answer(true); });
  monitor_.set(cluster({{"a", "a", 1}, {"b", "b", 1}}));
  ASSERT_TRUE(log_.wait_for(all_available));
  auto set = monitor_.observations("shop/orders");
  EXPECT_EQ(set[0].role, TargetRole::kReadWrite);
  EXPECT_EQ(set[1].role, TargetRole::kReadOnly);
  EXPECT_TRUE(monitor_.observations("shop/other").empty());
}

TEST_F(MonitorTest, ProbesAgainAfterASecondAndIsSilentWhereNothingChanged) {
  fleet_.set("a", [](auto& d) { d.answer = answer(false); });
  monitor_.set(cluster({{"a", "a", 1}}));
  ASSERT_TRUE(log_.wait_for(all_available));
  clock_.advance(std::chrono::seconds(1));
  monitor_.wake();
  ASSERT_TRUE(fleet_.wait_for_probes("a", 2));
  fleet_.set("a", [](auto& d) { d.answer = unreachable(); });
  clock_.advance(std::chrono::seconds(1));
  monitor_.wake();
  ASSERT_TRUE(log_.wait_for([](const auto& set) { return set[0].reason == HealthReason::kUnreachable; }));
  EXPECT_EQ(log_.size(), 2u);  // available, unreachable
  EXPECT_EQ(monitor_.observations("shop/orders")[0].role, TargetRole::kReadWrite);
}

TEST_F(MonitorTest, PokeProbesAtOnce) {
  fleet_.set("a", [](auto& d) { d.answer = answer(false); });
  fleet_.set("b", [](auto& d) { d.answer = answer(true); });
  monitor_.set(cluster({{"a", "a", 1}, {"b", "b", 1}}));
  ASSERT_TRUE(log_.wait_for(all_available));
  fleet_.set("a", [](auto& d) { d.answer = unreachable(); });
  fleet_.set("b", [](auto& d) { d.answer = answer(false); });
  monitor_.poke("shop/orders");
  ASSERT_TRUE(log_.wait_for([](const auto& set) {
    return set[0].role == TargetRole::kReadOnly && set[0].reason == HealthReason::kUnreachable &&
           set[1].role == TargetRole::kReadWrite;
  }));
}

TEST_F(MonitorTest, PokeWhileAProbeIsUnderWayProbesAgain) {
  fleet_.set("a", [](auto& d) {
    d.answer = answer(false);
    d.stuck = true;
  });
  monitor_.set(cluster({{"a", "a", 1}}));
  ASSERT_TRUE(fleet_.wait_for_probes("a", 1));
  monitor_.poke("shop/orders");
  fleet_.set("a", [](auto& d) { d.stuck = false; });
  ASSERT_TRUE(fleet_.wait_for_probes("a", 2));
}

TEST_F(MonitorTest, AMemberThatHangsDelaysNoOther) {
  std::vector<Member> members;
  for (int i = 0; i < 7; ++i) {
    std::string name = "hangs" + std::to_string(i);
    members.push_back({name, name, 1});
    fleet_.set(name, [](auto& d) { d.stuck = true; });
  }
  members.push_back({"a", "a", 1});
  fleet_.set("a", [](auto& d) { d.answer = answer(false); });
  monitor_.set(cluster(members));
  EXPECT_TRUE(log_.wait_for([](const auto& set) { return set.back().health == TargetHealth::kAvailable; }));
  for (int i = 0; i < 7; ++i) fleet_.set("hangs" + std::to_string(i), [](auto& d) { d.stuck = false; });
}

TEST_F(MonitorTest, TriesUsersInOrderAndKeepsTheOneThatWorked) {
  fleet_.set("a", [](auto& d) {
    d.answer = answer(false);
    d.good_user = "report";
  });
  monitor_.set(cluster({{"a", "a", 1}}, {{"app", Secret("x")}, {"report", Secret("y")}}));
  ASSERT_TRUE(log_.wait_for(all_available));
  monitor_.poke("shop/orders");
  ASSERT_TRUE(fleet_.wait_for_probes("a", 3));
  EXPECT_EQ(fleet_.users("a"), (std::vector<std::string>{"app", "report", "report"}));
}

TEST_F(MonitorTest, AuthFailureMeansThatNoUserIsLetIn) {
  fleet_.set("a", [](auto& d) { d.good_user = "nobody"; });
  monitor_.set(cluster({{"a", "a", 1}}, {{"app", Secret("x")}, {"report", Secret("y")}}));
  ASSERT_TRUE(log_.wait_for([](const auto& set) { return set[0].reason == HealthReason::kAuthFailure; }));
  EXPECT_EQ(fleet_.users("a").size(), 2u);
}

TEST_F(MonitorTest, ChangedClustersAreProbedAtOnceAndRemovedOnesNoMore) {
  fleet_.set("a", [](auto& d) { d.answer = answer(false); });
  fleet_.set("b", [](auto& d) { d.answer = answer(true); });
  monitor_.set(cluster({{"a", "a", 1}}));
  ASSERT_TRUE(log_.wait_for(all_available));
  monitor_.set(cluster({{"a", "a", 1}, {"b", "b", 1}}));
  ASSERT_TRUE(log_.wait_for([](const auto& set) { return set.size() == 2 && all_available(set); }));
  monitor_.remove("shop/orders");
  EXPECT_TRUE(monitor_.observations("shop/orders").empty());
}

TEST_F(MonitorTest, AResultForAClusterThatChangedIsDropped) {
  fleet_.set("a", [](auto& d) {
    d.answer = unreachable();
    d.stuck = true;
  });
  monitor_.set(cluster({{"a", "a", 1}}));
  ASSERT_TRUE(fleet_.wait_for_probes("a", 1));
  fleet_.set("b", [](auto& d) { d.answer = answer(false); });
  monitor_.set(cluster({{"a", "b", 1}}));  // the same id on another host
  ASSERT_TRUE(log_.wait_for(all_available));
  fleet_.set("a", [](auto& d) { d.stuck = false; });
  monitor_.poke("shop/orders");
  ASSERT_TRUE(fleet_.wait_for_probes("b", 2));
  EXPECT_EQ(monitor_.observations("shop/orders")[0].health, TargetHealth::kAvailable);
}

TEST_F(MonitorTest, MembersThatAreToldOfAreAskedToo) {
  const std::vector<MemberNews> all = {{"a", true, 0, 0}, {"b", false, 0, 0}};
  for (const char* host : {"orders.example", "a.example"}) {
    fleet_.set(host, [&](auto& d) {
      d.answer = answer(false);
      d.answer.members = all;
    });
  }
  fleet_.set("b.example", [&](auto& d) {
    d.answer = answer(true);
    d.answer.members = all;
  });
  auto wanted = cluster({{"orders", "orders.example", 1}});
  wanted.discovery = {"?.example", 7, "", 0};
  monitor_.set(wanted);
  ASSERT_TRUE(log_.wait_for([](const auto& set) { return set.size() == 2 && all_available(set); }));
  EXPECT_EQ(monitor_.observations("shop/orders")[1].host, "b.example");
  EXPECT_EQ(monitor_.observations("shop/orders")[1].port, 7);
}

TEST_F(MonitorTest, AsksMoreOftenInTroubleAndSeldomWhoIsAwayForLong) {
  fleet_.set("a", [](auto& d) { d.answer = answer(false); });
  monitor_.set(cluster({{"a", "a", 1}}));
  ASSERT_TRUE(log_.wait_for(all_available));
  fleet_.set("a", [](auto& d) { d.answer = unreachable(); });
  monitor_.poke("shop/orders");
  ASSERT_TRUE(log_.wait_for([](const auto& set) { return set[0].reason == HealthReason::kUnreachable; }));
  int probes = 2;
  Duration passed{};
  // The answer to the last question may not be there yet: time goes on until the next is asked.
  const auto next = [&](Duration step) {
    ++probes;
    do {
      clock_.advance(step);
      passed += step;
      monitor_.wake();
    } while (!fleet_.wait_for_probes("a", probes, std::chrono::milliseconds(20)));
    return std::exchange(passed, Duration{});
  };
  Duration five{};
  for (int i = 0; i < 5; ++i) five += next(std::chrono::milliseconds(50));
  EXPECT_LT(five, std::chrono::milliseconds(2500));
  next(std::chrono::seconds(20));  // a promotion may take its time
  five = {};
  for (int i = 0; i < 5; ++i) five += next(std::chrono::milliseconds(50));
  EXPECT_LT(five, std::chrono::milliseconds(2500));
  next(std::chrono::seconds(70));  // not urgent any more, and away
  for (int i = 0; i < 6; ++i) next(std::chrono::milliseconds(500));
  EXPECT_GE(next(std::chrono::milliseconds(500)), std::chrono::seconds(10));
  // Whoever knows better is heard at once.
  fleet_.set("a", [](auto& d) { d.answer = answer(false); });
  monitor_.poke("shop/orders");
  EXPECT_TRUE(log_.wait_for(all_available));
}

// "other" has a monitor's attention at all times: once it has been asked, "a" would have been as well.
TEST_F(MonitorTest, WithoutClientsNothingIsAskedAndNothingStaysOpen) {
  fleet_.set("a", [](auto& d) { d.answer = answer(false); });
  fleet_.set("other", [](auto& d) { d.answer = answer(false); });
  auto wanted = cluster({{"a", "a", 1}});
  wanted.idle_after = std::chrono::seconds(60);
  monitor_.set(wanted);
  ASSERT_TRUE(log_.wait_for(all_available));
  auto other = cluster({{"other", "other", 1}});
  other.proxy = "shop/other";
  monitor_.set(other);
  ASSERT_TRUE(log_.wait_for(all_available));
  const auto pass = [&](Duration time) {
    const int before = fleet_.probes("other");
    clock_.advance(time);
    do {
      monitor_.wake();
    } while (!fleet_.wait_for_probes("other", before + 1, std::chrono::milliseconds(20)));
  };
  monitor_.use("shop/orders", Use::kSidecars);
  const int before = fleet_.probes("a");
  pass(std::chrono::seconds(2));
  ASSERT_TRUE(fleet_.wait_for_probes("a", before + 1));
  EXPECT_TRUE(fleet_.kept("a"));
  // One more question, which leaves nothing behind.
  int asked = fleet_.probes("a");
  pass(std::chrono::seconds(60));
  ASSERT_TRUE(fleet_.wait_for_probes("a", asked + 1));
  asked = fleet_.probes("a");
  EXPECT_FALSE(fleet_.kept("a"));
  for (int i = 0; i < 5; ++i) {
    pass(std::chrono::seconds(20));
    monitor_.use("shop/orders", Use::kSidecars);
  }
  EXPECT_EQ(fleet_.probes("a"), asked);
  EXPECT_EQ(monitor_.observations("shop/orders")[0].health, TargetHealth::kAvailable) << "as it was";
  monitor_.use("shop/orders", Use::kClients);
  EXPECT_LE(until_asked("a", std::chrono::milliseconds(50)), std::chrono::seconds(2)) << "the first client wakes it";
  EXPECT_TRUE(fleet_.kept("a"));
  monitor_.use("shop/orders", Use::kNone);
  pass(std::chrono::seconds(70));
  pass(std::chrono::seconds(70));
  asked = fleet_.probes("a");
  monitor_.poke("shop/orders");
  EXPECT_TRUE(fleet_.wait_for_probes("a", asked + 1)) << "and so has whoever sees that something is wrong";
}

TEST_F(MonitorTest, WithoutSidecarsItAsksSeldomUntilOneComes) {
  fleet_.set("a", [](auto& d) { d.answer = answer(false); });
  monitor_.set(cluster({{"a", "a", 1}}));
  ASSERT_TRUE(log_.wait_for(all_available));
  monitor_.use("shop/orders", Use::kNone);
  const std::chrono::milliseconds step(500);
  const auto becomes_seldom = [&] {
    until_asked("a", std::chrono::seconds(31));
    for (int i = 0; i < 6; ++i) until_asked("a", step);
    EXPECT_GE(until_asked("a", step), std::chrono::seconds(10));
    EXPECT_FALSE(fleet_.kept("a"));
  };
  becomes_seldom();
  monitor_.use("shop/orders", Use::kSidecars);
  EXPECT_LE(until_asked("a", step), std::chrono::seconds(2));
  EXPECT_LE(until_asked("a", step), std::chrono::seconds(2));
  monitor_.use("shop/orders", Use::kNone);
  becomes_seldom();
  monitor_.expect_use();
  EXPECT_LE(until_asked("a", step), std::chrono::seconds(2)) << "this replica leads from now on";
}

}  // namespace
}  // namespace dbproxy::topology
