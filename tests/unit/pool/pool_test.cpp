#include "proxy/pool/pool.hpp"

#include <array>
#include <deque>
#include <gtest/gtest.h>
#include <random>
#include <set>

namespace dbproxy::pool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct PoolTest : ::testing::Test {
  TargetPool pool{Limits{.max_connections = 2, .max_idle = 1}};
  std::deque<Server> servers;
  Actions actions;
  TimePoint now{seconds(1000)};

  Server& open(KeyPool& key) {
    auto& server = servers.emplace_back();
    EXPECT_FALSE(actions.open.empty());
    actions.clear();
    pool.opened(key, server, now, actions);
    return server;
  }
};

TEST_F(PoolTest, OpensForAWaiterAndHandsOver) {
  auto& key = pool.key("a");
  Waiter first;
  EXPECT_EQ(pool.acquire(key, first, now, actions), nullptr);
  ASSERT_EQ(actions.open, std::vector<KeyPool*>{&key});
  actions.clear();
  Server server;
  EXPECT_EQ(pool.opened(key, server, now, actions), &first);
  EXPECT_FALSE(first.waiting());
  Waiter second;
  pool.acquire(key, second, now, actions);
  Waiter third;
  pool.acquire(key, third, now, actions);
  actions.clear();
  EXPECT_EQ(pool.release(server, now, actions), &second);
  EXPECT_EQ(pool.release(server, now, actions), &third);
  EXPECT_EQ(pool.release(server, now, actions), nullptr);
  EXPECT_EQ(server.state, Server::State::kIdle);
  Waiter fourth;
  EXPECT_EQ(pool.acquire(key, fourth, now, actions), &server);
  pool.closed(server, actions);
}

TEST_F(PoolTest, NeverOpensMoreThanTheLimitNorThanWaiters) {
  auto& key = pool.key("a");
  std::deque<Waiter> waiters(5);
  for (auto& waiter : waiters) pool.acquire(key, waiter, now, actions);
  EXPECT_EQ(actions.open.size(), 2u);
  for (auto& waiter : waiters) pool.cancel(waiter);
  EXPECT_EQ(pool.waiting(), 0u);
}

TEST_F(PoolTest, AnIdleConnectionOfAnotherKeyMakesRoom) {
  auto& a = pool.key("a");
  auto& b = pool.key("b");
  Waiter w1, w2;
  pool.acquire(a, w1, now, actions);
  auto& s1 = open(a);
  actions.clear();
  pool.acquire(a, w2, now, actions);
  auto& s2 = open(a);
  actions.clear();
  pool.release(s1, now, actions);
  now += seconds(1);
  pool.release(s2, now, actions);
  EXPECT_TRUE(actions.empty());
  Waiter w3;
  pool.acquire(b, w3, now, actions);
  EXPECT_EQ(actions.close, std::vector<Server*>{&s1});
  EXPECT_EQ(actions.open, std::vector<KeyPool*>{&b});
  EXPECT_EQ(pool.total(), 2u);
  pool.cancel(w3);
  pool.closed(s2, actions);
}

TEST_F(PoolTest, ABusyKeyGivesWayToOneThatWaitedLonger) {
  pool.set_limits({.max_connections = 1, .max_idle = 1}, actions);
  auto& a = pool.key("a");
  auto& b = pool.key("b");
  Waiter w1, wb, wa;
  pool.acquire(a, w1, now, actions);
  auto& server = open(a);
  actions.clear();
  pool.acquire(b, wb, now, actions);
  now += milliseconds(60);
  pool.acquire(a, wa, now, actions);
  EXPECT_TRUE(actions.empty());
  EXPECT_EQ(pool.release(server, now, actions), nullptr);
  EXPECT_EQ(actions.close, std::vector<Server*>{&server});
  EXPECT_EQ(actions.open, std::vector<KeyPool*>{&b});
  pool.cancel(wa);
  pool.cancel(wb);
}

// The one that has waited longest may not open any now: that must not hide the next.
TEST_F(PoolTest, ASuspendedKeyDoesNotHideAnotherThatWaits) {
  pool.set_limits({.max_connections = 1, .max_idle = 1}, actions);
  auto& a = pool.key("a");
  auto& b = pool.key("b");
  auto& c = pool.key("c");
  Waiter w1, wb, wc, wa;
  pool.acquire(a, w1, now, actions);
  auto& server = open(a);
  actions.clear();
  pool.acquire(b, wb, now, actions);
  pool.suspend(b);
  now += milliseconds(1);
  pool.acquire(c, wc, now, actions);
  now += milliseconds(60);
  pool.acquire(a, wa, now, actions);
  EXPECT_TRUE(actions.empty());
  EXPECT_EQ(pool.release(server, now, actions), nullptr);
  EXPECT_EQ(actions.close, std::vector<Server*>{&server});
  EXPECT_EQ(actions.open, std::vector<KeyPool*>{&c});
  for (auto waiter : {&wa, &wb, &wc}) pool.cancel(*waiter);
}

TEST_F(PoolTest, KeysOfOneUserHaveALimitTogether) {
  pool.set_limits({.max_connections = 10, .max_idle = 10, .max_per_user = 1}, actions);
  auto& one = pool.key("a", "app", "one");
  auto& two = pool.key("b", "app", "two");
  auto& other = pool.key("c", "reports", "one");
  Waiter w1, w2, w3, w4;
  pool.acquire(one, w1, now, actions);
  auto& server = open(one);
  pool.acquire(two, w2, now, actions);
  EXPECT_TRUE(actions.empty());
  pool.acquire(other, w3, now, actions);  // not hidden by who waits before it
  EXPECT_EQ(actions.open, std::vector<KeyPool*>{&other});
  actions.clear();
  now += milliseconds(60);
  pool.acquire(one, w4, now, actions);
  EXPECT_TRUE(actions.empty());
  EXPECT_EQ(pool.release(server, now, actions), nullptr);  // two has waited for longer
  EXPECT_EQ(actions.close, std::vector<Server*>{&server});
  EXPECT_EQ(actions.open, std::vector<KeyPool*>{&two});
  for (auto waiter : {&w2, &w3, &w4}) pool.cancel(*waiter);
}

TEST_F(PoolTest, AnIdleConnectionOfTheSameDatabaseMakesRoom) {
  pool.set_limits({.max_connections = 10, .max_idle = 10, .max_per_database = 1}, actions);
  auto& one = pool.key("a", "app", "shop");
  auto& two = pool.key("b", "reports", "shop");
  auto& elsewhere = pool.key("c", "app", "other");
  Waiter w1, w2, w3;
  pool.acquire(elsewhere, w3, now, actions);
  auto& idle = open(elsewhere);
  pool.release(idle, now, actions);
  pool.acquire(one, w1, now, actions);
  auto& server = open(one);
  pool.release(server, now + seconds(1), actions);
  pool.acquire(two, w2, now, actions);
  EXPECT_EQ(actions.close, std::vector<Server*>{&server});
  EXPECT_EQ(actions.open, std::vector<KeyPool*>{&two});
  pool.cancel(w2);
  actions.clear();
  pool.close_idle(actions);
}

TEST_F(PoolTest, ALoweredGroupLimitClosesWhatIsIdleAndTheRestAsItComesBack) {
  auto& key = pool.key("a", "app", "shop");
  Waiter w1, w2;
  pool.acquire(key, w1, now, actions);
  auto& s1 = open(key);
  pool.acquire(key, w2, now, actions);
  auto& s2 = open(key);
  pool.release(s1, now, actions);
  actions.clear();
  pool.set_limits({.max_connections = 2, .max_idle = 2, .max_per_user = 1}, actions);
  EXPECT_EQ(actions.close, std::vector<Server*>{&s1});
  actions.clear();
  Waiter w3;
  pool.acquire(key, w3, now, actions);
  EXPECT_TRUE(actions.empty());
  EXPECT_EQ(pool.release(s2, now, actions), &w3);
  pool.closed(s2, actions);
}

TEST_F(PoolTest, ALoweredLimitIsReachedAsConnectionsComeBack) {
  auto& key = pool.key("a");
  Waiter w1, w2;
  pool.acquire(key, w1, now, actions);
  auto& s1 = open(key);
  pool.acquire(key, w2, now, actions);
  auto& s2 = open(key);
  actions.clear();
  pool.set_limits({.max_connections = 1, .max_idle = 1}, actions);
  EXPECT_TRUE(actions.empty());
  pool.release(s1, now, actions);
  EXPECT_EQ(actions.close, std::vector<Server*>{&s1});
  actions.clear();
  pool.release(s2, now, actions);
  EXPECT_EQ(s2.state, Server::State::kIdle);
  pool.closed(s2, actions);
}

TEST_F(PoolTest, IdleOnesBeyondTheShareGoAfterTheirGrace) {
  auto& key = pool.key("a");
  Waiter w1, w2;
  pool.acquire(key, w1, now, actions);
  auto& s1 = open(key);
  pool.acquire(key, w2, now, actions);
  auto& s2 = open(key);
  actions.clear();
  pool.release(s1, now, actions);
  pool.release(s2, now, actions);
  pool.sweep(now + kIdleGrace - seconds(1), actions);
  EXPECT_TRUE(actions.empty());
  pool.sweep(now + kIdleGrace, actions);
  EXPECT_EQ(actions.close.size(), 1u);
  EXPECT_EQ(pool.idle(), 1u);
  pool.close_idle(actions);
}

TEST_F(PoolTest, AFailedAttemptLetsNobodyBeForgotten) {
  auto& key = pool.key("a");
  Waiter waiter;
  pool.acquire(key, waiter, now, actions);
  actions.clear();
  pool.suspend(key);
  pool.open_failed(key, actions);
  EXPECT_TRUE(actions.open.empty());
  EXPECT_EQ(pool.total(), 0u);
  pool.resume(key, actions);
  EXPECT_EQ(actions.open.size(), 1u);
  pool.cancel(waiter);
}

// Random events; after each the sums hold, the limit holds, and nobody waits while a connection of its key is idle.
class PoolModel : public ::testing::TestWithParam<std::uint32_t> {};

INSTANTIATE_TEST_SUITE_P(GroupLimits, PoolModel, ::testing::Values(0, 1, 2, 4));

TEST_P(PoolModel, HoldsItsInvariants) {
  std::mt19937 random(7);
  const Limits base{.max_connections = 5, .max_idle = 2, .max_per_user = GetParam(), .max_per_database = GetParam()};
  TargetPool pool(base);
  TimePoint now{seconds(1000)};
  std::vector<std::array<std::string, 3>> names = {{"a", "app", "one"}, {"b", "app", "two"}, {"c", "reports", "one"}};
  std::deque<Server> servers;
  std::deque<Waiter> waiters;
  std::set<Server*> active, idle;
  std::multiset<KeyPool*> connecting;
  std::uint32_t limit = 5;
  for (int step = 0; step < 100'000; ++step) {
    Actions actions;
    now += milliseconds(random() % 20);
    auto pick = [&](auto& set) {
      auto it = set.begin();
      std::advance(it, static_cast<long>(random() % set.size()));
      return *it;
    };
    switch (random() % 8) {
      case 0:
      case 1: {
        auto& waiter = waiters.emplace_back();
        const auto& name = names[random() % 3];
        if (auto server = pool.acquire(pool.key(name[0], name[1], name[2]), waiter, now, actions)) {
          idle.erase(server);
          active.insert(server);
        }
        break;
      }
      case 2:
      case 3: {
        if (connecting.empty()) break;
        auto key = pick(connecting);
        connecting.erase(connecting.find(key));
        if (random() % 4 == 0) {
          pool.open_failed(*key, actions);
          break;
        }
        auto& server = servers.emplace_back();
        active.insert(&server);
        pool.opened(*key, server, now, actions);
        if (server.state == Server::State::kIdle) {
          active.erase(&server);
          idle.insert(&server);
        }
        break;
      }
      case 4:
      case 5: {
        if (active.empty()) break;
        auto server = pick(active);
        pool.release(*server, now, actions);
        if (server->state == Server::State::kIdle) {
          active.erase(server);
          idle.insert(server);
        }
        break;
      }
      case 6:
        if (!active.empty() && random() % 3 == 0) {
          auto server = pick(active);
          active.erase(server);
          pool.closed(*server, actions);
        } else if (!waiters.empty()) {
          pool.cancel(waiters[random() % waiters.size()]);
        }
        break;
      default:
        if (random() % 50 == 0) {
          limit = 1 + random() % 6;
          auto changed = base;
          changed.max_connections = limit;
          pool.set_limits(changed, actions);
        }
        pool.sweep(now, actions);
    }
    for (auto server : actions.close) {
      EXPECT_EQ(server->state, Server::State::kNone);
      active.erase(server);
      idle.erase(server);
    }
    for (auto key : actions.open) connecting.insert(key);
    ASSERT_EQ(pool.total(), active.size() + idle.size() + connecting.size()) << step;
    ASSERT_EQ(pool.idle(), idle.size());
    ASSERT_EQ(pool.connecting(), connecting.size());
    if (!actions.open.empty()) {
      ASSERT_LE(pool.total(), limit) << step;
    }
    for (auto& [name, key] : pool.keys()) {
      std::uint32_t of_user = 0, of_database = 0;
      for (auto& [other_name, other] : pool.keys()) {
        if (other->user == key->user) of_user += other->open_count();
        if (other->database == key->database) of_database += other->open_count();
      }
      ASSERT_EQ(key->user->open, of_user) << step;
      ASSERT_EQ(key->database->open, of_database) << step;
      bool groups_full = GetParam() != 0 && (of_user >= GetParam() || of_database >= GetParam());
      if (GetParam() != 0) {
        ASSERT_LE(of_user, GetParam()) << step;
        ASSERT_LE(of_database, GetParam()) << step;
      }
      ASSERT_TRUE(key->waiters.empty() || key->idle.empty()) << step;
      ASSERT_FALSE(pool.total() < limit && !groups_full && key->waiting_count > key->connecting_count &&
                   pool.connecting() < 16)
          << step;
    }
  }
  for (auto& waiter : waiters) pool.cancel(waiter);
  Actions actions;
  pool.close_idle(actions);
}

}  // namespace
}  // namespace dbproxy::pool
