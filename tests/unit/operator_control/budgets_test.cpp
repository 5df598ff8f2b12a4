// Budgets with peers that are sidecars' ledgers, and a store in memory.
#include "operator/control/budgets.hpp"

#include <atomic>
#include <functional>
#include <gtest/gtest.h>

#include "proxy/budget/ledger.hpp"

namespace dbproxy::operator_control {
namespace {

using namespace std::chrono_literals;

constexpr const char* kProxy = "shop/orders";

class MemoryStore final : public CeilingStore {
 public:
  Result<Kept> load(const std::string&) override {
    const std::lock_guard lock(mutex_);
    return Kept{++epoch_, ceilings_};
  }
  Saved save(const std::string&, std::uint64_t epoch, const operator_budget::Ceilings& ceilings) override {
    const std::lock_guard lock(mutex_);
    if (epoch != epoch_) return Saved::kSuperseded;
    if (std::exchange(late_, false)) return Saved::kLater;
    ceilings_ = ceilings;
    return Saved::kInForce;
  }
  void be_late_once() {
    const std::lock_guard lock(mutex_);
    late_ = true;
  }

 private:
  std::mutex mutex_;
  std::uint64_t epoch_ = 0;
  bool late_ = false;
  operator_budget::Ceilings ceilings_;
};

// What it wants it opens as soon as it may.
class Sidecar final : public BudgetPeer, public std::enable_shared_from_this<Sidecar> {
 public:
  Sidecar(Budgets& budgets, std::string pod, std::uint64_t incarnation)
      : budgets_(budgets), pod_(pod), ledger_({.pod = std::move(pod), .incarnation = incarnation}) {}

  void connect() { budgets_.hello(kProxy, pod_, ledger_.hello().incarnation, shared_from_this()); }
  void want(budget::Slots slots) {
    {
      const std::lock_guard lock(mutex_);
      wanted_ = slots;
      settle();
    }
    tell();
  }
  budget::Slots open() {
    const std::lock_guard lock(mutex_);
    return open_;
  }
  void tell(const std::string&, const budget::Open& open) override {
    {
      const std::lock_guard lock(mutex_);
      ledger_.take(open);
    }
    tell();
  }
  void tell(const std::string&, const budget::Allowance& allowance) override {
    {
      const std::lock_guard lock(mutex_);
      ledger_.take(allowance, clock_.now());
      settle();
    }
    tell();
  }

 private:
  void settle() {
    for (int i = 0; i < 2; ++i) {
      open_ = std::min(wanted_, ledger_.limit("writer"));
      ledger_.set_use("writer", {true, open_, wanted_ - open_}, clock_.now());
    }
  }
  void tell() {
    const std::lock_guard telling(telling_);
    std::optional<budget::Report> report;
    {
      const std::lock_guard lock(mutex_);
      report = ledger_.report();
    }
    if (report) budgets_.report(kProxy, *report);
  }

  Budgets& budgets_;
  const std::string pod_;
  SystemClock clock_;
  std::mutex mutex_, telling_;
  budget::Ledger ledger_;
  budget::Slots wanted_ = 0, open_ = 0;
};

class BudgetsTest : public ::testing::Test {
 protected:
  BudgetsTest() {
    snapshot_.name_space = "shop";
    snapshot_.name = "orders";
    snapshot_.users.push_back({"app", Secret("secret"), {}, {}, {}});
    config::Target target{"writer", "db", 5432, {}, {}, {}, {}, {}, {}, {}};
    target.max_connections = 100;
    target.reserved_connections = 3;
    snapshot_.targets.push_back(target);
    start();
    limit(8);
  }
  void start() {
    budgets_.reset();
    budgets_ = std::make_unique<Budgets>(store_, registry_, clock_);
    budgets_->start();
  }
  void limit(std::uint32_t percent) {
    snapshot_.pool.max_connections_percent = percent;
    budgets_->publish(kProxy, std::make_shared<config::Snapshot>(snapshot_));
  }
  std::shared_ptr<Sidecar> sidecar(const std::string& pod, std::uint64_t incarnation = 1) {
    auto made = std::make_shared<Sidecar>(*budgets_, pod, incarnation);
    made->connect();
    return made;
  }
  static bool eventually(const std::function<bool()>& holds) {
    for (const auto end = std::chrono::steady_clock::now() + 30s; std::chrono::steady_clock::now() < end;) {
      if (holds()) return true;
      std::this_thread::sleep_for(2ms);
    }
    return holds();
  }
  // Of processes that may have left something, and not of foreign sessions alone.
  bool asks_about(const std::string& host) {
    const auto question = budgets_->question(host, 5432, "app");
    return question && !question->about.empty();
  }
  budget::Slots granted() {
    for (const BudgetRow& row : budgets_->rows()) {
      if (row.identity.empty() && row.lane.empty()) return row.granted;
    }
    return 0;
  }

  SystemClock clock_;
  metrics::Registry registry_;
  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  config::Snapshot snapshot_;
  std::unique_ptr<Budgets> budgets_;
};

TEST_F(BudgetsTest, SlotsFollowDemand) {
  const auto first = sidecar("a");
  const auto second = sidecar("b");
  first->want(8);
  ASSERT_TRUE(eventually([&] { return first->open() == 7; }));  // the other one's floor
  second->want(8);
  ASSERT_TRUE(eventually([&] { return first->open() == 4 && second->open() == 4; }));
  first->want(0);
  ASSERT_TRUE(eventually([&] { return second->open() == 7; }));
  EXPECT_LE(granted(), 8u);
}

TEST_F(BudgetsTest, SessionsThatAreNobodysAreForeignWhenTheyAreSeenTwice) {
  const auto first = sidecar("a");
  first->want(2);
  ASSERT_TRUE(eventually([&] { return first->open() == 2; }));
  budgets_->backends(kProxy, "a", {{"writer", {11, 12}}});
  const auto foreign = [&] { return budgets_->rows().at(0).foreign; };
  EXPECT_FALSE(foreign());
  for (const auto& [answer, seen] : {std::pair{3u, std::optional<std::uint32_t>()}, std::pair{1u, std::optional(1u)},
                                     std::pair{4u, std::optional(1u)}, std::pair{4u, std::optional(4u)}}) {
    std::optional<Budgets::Question> question;
    ASSERT_TRUE(eventually([&] { return (question = budgets_->question("db", 5432, "app")).has_value(); }));
    EXPECT_EQ(question->users, std::vector<std::string>{"app"});
    EXPECT_EQ(question->known, (std::vector<std::uint32_t>{11, 12}));
    budgets_->answer(*question, answer);
    EXPECT_EQ(foreign(), seen);
  }
  EXPECT_FALSE(budgets_->question("db", 5432, "somebody"));
  EXPECT_FALSE(budgets_->question("elsewhere", 5432, "app"));
}

TEST_F(BudgetsTest, WhatIsSilentStaysChargedUntilItIsForgotten) {
  auto first = sidecar("a");
  const auto second = sidecar("b");
  first->want(5);
  ASSERT_TRUE(eventually([&] { return first->open() == 5; }));
  budgets_->silent("a", first.get());
  second->want(8);
  ASSERT_TRUE(eventually([&] { return second->open() == 3; }));
  EXPECT_EQ(granted(), 8u);
  budgets_->forget("a");
  ASSERT_TRUE(eventually([&] { return second->open() == 8; }));
}

TEST_F(BudgetsTest, ASaveThatCouldNotBeMadeIsMadeAgain) {
  store_->be_late_once();
  const auto first = sidecar("a");
  first->want(3);
  EXPECT_TRUE(eventually([&] { return first->open() == 3; }));
}

TEST_F(BudgetsTest, AnotherLeaderLearnsBeforeItGrants) {
  auto first = sidecar("a");
  first->want(6);
  ASSERT_TRUE(eventually([&] { return first->open() == 6; }));
  budgets_->lead(false);
  first->want(8);
  budgets_->lead(true);
  auto second = sidecar("b");
  second->want(8);
  ASSERT_TRUE(eventually([&] { return granted() == 8; }));
  EXPECT_LE(first->open() + second->open(), 8u);
}

TEST_F(BudgetsTest, WhatAPredecessorLeftIsAskedForAtTheDatabase) {
  auto first = sidecar("a", 1);
  first->want(8);
  ASSERT_TRUE(eventually([&] { return first->open() == 8; }));
  budgets_->silent("a", first.get());
  EXPECT_FALSE(asks_about("db"));
  // The ledgers of this test know all that there was before them, and say so: this one does not.
  class Unsure final : public BudgetPeer {
   public:
    explicit Unsure(Budgets& budgets) : budgets_(budgets) {}
    void tell(const std::string&, const budget::Open& open) override {
      budgets_.report(kProxy, {"a", 2, open.epoch, open.session, 1, false, false, {{"", {0, 0, 2}}}});
    }
    void tell(const std::string&, const budget::Allowance& allowance) override { slots = allowance.slots; }
    std::atomic<budget::Slots> slots{0};

   private:
    Budgets& budgets_;
  };
  const auto next = std::make_shared<Unsure>(*budgets_);
  budgets_->hello(kProxy, "a", 2, next);
  std::optional<Budgets::Question> question;
  ASSERT_TRUE(eventually([&] {
    question = budgets_->question("db", 5432, "app");
    return question && !question->about.empty();
  }));
  EXPECT_EQ(question->users, std::vector<std::string>{"app"});
  EXPECT_FALSE(budgets_->question("db", 5433, "app").has_value());
  budgets_->answer(*question, 7);
  ASSERT_TRUE(eventually([&] { return next->slots == 1; }));
  budgets_->answer(*question, 0);
  ASSERT_TRUE(eventually([&] { return !asks_about("db"); }));
}

TEST_F(BudgetsTest, WhatIsGoneIsChargedUntilTheDatabaseShowsNothingOfIt) {
  std::atomic<Fate> fate{Fate::kThere};
  budgets_->fate = [&](const std::string&) { return fate.load(); };
  auto first = sidecar("a");
  const auto second = sidecar("b");
  first->want(5);
  ASSERT_TRUE(eventually([&] { return first->open() == 5; }));
  budgets_->silent("a", first.get());
  budgets_->tick();
  EXPECT_FALSE(asks_about("db"));
  fate = Fate::kGone;
  budgets_->tick();
  const auto question = budgets_->question("db", 5432, "app");
  ASSERT_TRUE(question.has_value());
  second->want(8);
  budgets_->answer(*question, 2);
  ASSERT_TRUE(eventually([&] { return second->open() == 6; }));
  EXPECT_EQ(granted(), 8u);
  budgets_->answer(*question, 0);
  ASSERT_TRUE(eventually([&] { return second->open() == 8; }));
  EXPECT_FALSE(asks_about("db"));
}

TEST_F(BudgetsTest, WhatHasEndedIsFree) {
  budgets_->fate = [](const std::string&) { return Fate::kEnded; };
  auto first = sidecar("a");
  const auto second = sidecar("b");
  first->want(5);
  ASSERT_TRUE(eventually([&] { return first->open() == 5; }));
  budgets_->silent("a", first.get());
  budgets_->tick();
  second->want(8);
  ASSERT_TRUE(eventually([&] { return second->open() == 8; }));
}

TEST_F(BudgetsTest, TellsHowManyAreInUse) {
  const auto first = sidecar("a");
  const auto second = sidecar("b");
  const auto used = [&] { return registry_.gauge("dbproxy_operator_slots_used", "", {{"proxy", kProxy}}).get(); };
  const auto idle = [&] { return registry_.gauge("dbproxy_operator_slots_idle", "", {{"proxy", kProxy}}).get(); };
  budgets_->use(kProxy, "a", 5, 3);
  budgets_->use(kProxy, "b", 2, 2);
  budgets_->use(kProxy, "stranger", 9, 9);
  EXPECT_EQ(used(), 5U);
  EXPECT_EQ(idle(), 2U);
  budgets_->use(kProxy, "a", 4, 4);
  EXPECT_EQ(used(), 6U);
  EXPECT_EQ(idle(), 0U);
  budgets_->silent("a", first.get());
  EXPECT_EQ(used(), 2U);
}

TEST_F(BudgetsTest, TellsOfTransactionsThatGaveWay) {
  std::vector<BudgetNews> told;
  budgets_->news = [&](const BudgetNews& news) { told.push_back(news); };
  const auto first = sidecar("a");
  budgets_->gave_way(kProxy, "a", 7);
  budgets_->gave_way(kProxy, "stranger", 9);
  budgets_->gave_way(kProxy, "stranger", 10);
  EXPECT_TRUE(told.empty()) << "what it says first is of before";
  budgets_->gave_way(kProxy, "a", 9);
  budgets_->gave_way(kProxy, "a", 9);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].kind, BudgetNews::Kind::kGaveWay);
  EXPECT_EQ(told[0].identity, "a");
  EXPECT_EQ(told[0].slots, 2U);
}

TEST_F(BudgetsTest, FloorAndMostOfOneSidecarAreAsTheDBProxySays) {
  snapshot_.pool.floor = 2;
  snapshot_.pool.max_per_pod = 5;
  limit(8);
  const auto first = sidecar("a");
  const auto second = sidecar("b");
  first->want(8);
  ASSERT_TRUE(eventually([&] { return first->open() == 5; }));
  ASSERT_TRUE(eventually([&] { return granted() == 7; }));
  snapshot_.pool.max_per_pod = 0;
  limit(8);
  ASSERT_TRUE(eventually([&] { return first->open() == 6; }));
}

TEST_F(BudgetsTest, WhatSomebodyChangedIsReadAgainByWhoLeads) {
  budgets_->certain = [] { return true; };
  const auto first = sidecar("a");
  first->want(3);
  ASSERT_TRUE(eventually([&] { return first->open() == 3; }));
  ASSERT_TRUE(store_->load(kProxy).has_value());  // as another one
  first->want(8);
  EXPECT_TRUE(eventually([&] { return first->open() == 8; }));
}

}  // namespace
}  // namespace dbproxy::operator_control
