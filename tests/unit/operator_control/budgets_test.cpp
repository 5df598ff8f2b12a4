#include <atomic>

#include "budgets_fixture.hpp"

namespace dbproxy::operator_control {
namespace {

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
    budgets_->answer(*question, answer, std::nullopt);
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
  budgets_->answer(*question, 7, std::nullopt);
  ASSERT_TRUE(eventually([&] { return next->slots == 1; }));
  budgets_->answer(*question, 0, std::nullopt);
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
  budgets_->answer(*question, 2, std::nullopt);
  ASSERT_TRUE(eventually([&] { return second->open() == 6; }));
  EXPECT_EQ(granted(), 8u);
  budgets_->answer(*question, 0, std::nullopt);
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
