// What the allocator decides where nothing goes wrong: shares, slices, readers beside writers, time.
#include "operator/budget/allocator.hpp"

#include <gmock/gmock.h>

#include "proxy/budget/ledger.hpp"

namespace dbproxy::operator_budget {
namespace {

using namespace std::chrono_literals;
using budget::kReadWrite;
using testing::Each;
using testing::ElementsAre;

// Sidecars whose messages arrive at once, and a store that always takes what it gets.
class Fleet {
 public:
  explicit Fleet(std::map<std::string, Slots> limits, int count, Slots per_pod = 1000)
      : allocator({.chunk = 2}, 1, {}), open_(static_cast<std::size_t>(count)) {
    allocator.set_limits(std::move(limits), per_pod);
    for (int i = 0; i < count; ++i) {
      names_.push_back("pod" + std::to_string(1000 + i));
      ledgers.push_back(std::make_unique<budget::Ledger>(
          budget::LedgerOptions{.pod = names_.back(), .incarnation = static_cast<std::uint64_t>(i) + 1}));
      ledgers.back()->take(allocator.hello(ledgers.back()->hello()));
    }
    settle();
  }

  // Clients at the writer `a`; those that have no connection wait.
  void want(std::size_t pod, Slots clients) {
    wanted_[pod] = clients;
    use(pod);
  }
  void settle() {
    for (int turn = 0; turn < 20; ++turn) {
      for (std::size_t i = 0; i < ledgers.size(); ++i) {
        open_[i] = std::min(std::max(open_[i], wanted_[i]), ledgers[i]->limit("a"));
        use(i);
        if (const auto report = ledgers[i]->report()) allocator.report(*report, now);
      }
      run();
    }
  }
  std::vector<Slots> open() const { return open_; }

  Allocator allocator;
  std::vector<std::unique_ptr<budget::Ledger>> ledgers;
  TimePoint now{1h};
  int told = 0;  // messages to sidecars

 private:
  void use(std::size_t pod) {
    const Slots wanted = wanted_[pod];
    ledgers[pod]->set_use("a", {true, open_[pod], wanted > open_[pod] ? wanted - open_[pod] : 0}, now);
  }
  void run() {
    Actions actions = allocator.step(now);
    for (const auto& [name, allowance] : actions.allowances) {
      ++told;
      ledgers[static_cast<std::size_t>(std::stoi(name.substr(3)) - 1000)]->take(allowance, now);
    }
    if (actions.save) allocator.saved(true);
  }
  std::vector<std::string> names_;
  std::vector<Slots> open_;
  std::map<std::size_t, Slots> wanted_;
};

TEST(Allocator, GivesEverybodyWhatItWantsWhileThereIsEnough) {
  Fleet fleet({{"a", 10}}, 3);
  fleet.want(0, 5), fleet.want(1, 3), fleet.want(2, 2);
  fleet.settle();
  EXPECT_THAT(fleet.open(), ElementsAre(5, 3, 2));
}

TEST(Allocator, SharesAreMaxMinFair) {
  Fleet fleet({{"a", 12}}, 4);
  fleet.want(0, 10);
  fleet.settle();
  EXPECT_THAT(fleet.open(), ElementsAre(9, 0, 0, 0)) << "three floors are kept for the others";
  fleet.want(1, 2), fleet.want(2, 8), fleet.want(3, 8);
  fleet.settle();
  EXPECT_EQ(fleet.open()[1], 2U) << "who wants little gets it";
  EXPECT_EQ(fleet.open()[0] + fleet.open()[2] + fleet.open()[3], 10U);
  for (std::size_t i : {0, 2, 3}) EXPECT_GE(fleet.open()[i], 3U);
}

TEST(Allocator, NothingMovesWhileDemandStays) {
  Fleet fleet({{"a", 10}}, 3);
  for (std::size_t i = 0; i < 3; ++i) fleet.want(i, 7);
  fleet.settle();
  fleet.told = 0;
  const auto before = fleet.open();
  for (int i = 0; i < 100; ++i) fleet.now += 10ms, fleet.settle();
  EXPECT_EQ(fleet.told, 0);
  EXPECT_EQ(fleet.open(), before);
}

TEST(Allocator, SlotsFollowASwingOfAllDemand) {
  Fleet fleet({{"a", 50}}, 100);
  for (std::size_t i = 0; i < 50; ++i) fleet.want(i, 1);
  fleet.settle();
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(fleet.open()[i], 1U);
  for (std::size_t i = 0; i < 100; ++i) fleet.want(i, i < 50 ? 0 : 1);
  for (int i = 0; i < 4; ++i) fleet.now += 250ms, fleet.settle();
  for (std::size_t i = 50; i < 100; ++i) EXPECT_EQ(fleet.open()[i], 1U) << i;
}

TEST(Allocator, MoreSidecarsThanSlotsTakeTurns) {
  Fleet fleet({{"a", 2}}, 5);
  for (std::size_t i = 0; i < 5; ++i) fleet.want(i, 3);
  std::vector<int> turns(5);
  for (int i = 0; i < 50; ++i) {
    fleet.now += 50ms;
    fleet.settle();
    EXPECT_TRUE(fleet.allocator.next_step().has_value());
    Slots sum = 0;
    for (std::size_t pod = 0; pod < 5; ++pod) {
      sum += fleet.open()[pod];
      turns[pod] += fleet.open()[pod] > 0 ? 1 : 0;
    }
    EXPECT_LE(sum, 2U);
  }
  EXPECT_THAT(turns, Each(testing::Ge(10)));
}

// It was told to give its slot back, then to keep it, and that crossed its word that it has given it back.
TEST(Allocator, ASlotThatCameBackOverACrossingMovesOnLikeAnyOther) {
  TimePoint now{1h};
  Allocator allocator({.chunk = 2}, 1, {});
  allocator.set_limits({{"a", 1}}, 1000);
  budget::Ledger one({.pod = "one", .incarnation = 1});
  budget::Ledger two({.pod = "two", .incarnation = 2});
  const auto hears = [&](budget::Ledger& ledger, Slots open, Slots waiting) {
    ledger.set_use("a", {true, open, waiting}, now);
    if (const auto report = ledger.report()) allocator.report(*report, now);
  };
  std::vector<std::pair<std::string, budget::Allowance>> sent;
  const auto step = [&] {
    for (int turn = 0; turn < 3; ++turn) {
      Actions actions = allocator.step(now);
      sent.insert(sent.end(), actions.allowances.begin(), actions.allowances.end());
      if (actions.save) allocator.saved(true);
    }
  };
  const auto deliver = [&] {
    for (const auto& [name, allowance] : std::exchange(sent, {})) (name == "one" ? one : two).take(allowance, now);
  };
  one.take(allocator.hello(one.hello()));
  two.take(allocator.hello(two.hello()));
  hears(two, 0, 0), hears(one, 0, 1), step(), deliver();
  ASSERT_EQ(one.limit("a"), 1u);
  hears(one, 1, 0), step(), deliver();
  now += 300ms;
  hears(two, 0, 1), step(), deliver();
  ASSERT_EQ(one.limit("a"), 0u) << "its slice is over";
  hears(one, 1, 1), hears(two, 0, 0), step();
  ASSERT_EQ(sent.size(), 1u) << "nobody else wants it any more";
  hears(one, 0, 1);  // it has closed its connection meanwhile
  deliver();
  ASSERT_EQ(one.limit("a"), 1u);
  hears(one, 1, 0), step(), deliver();
  now += 300ms;
  hears(two, 0, 1), step(), deliver();
  EXPECT_EQ(one.limit("a"), 0u) << "it has to go on to who waits";
}

TEST(Allocator, OneSidecarGetsNoMoreThanItsMost) {
  Fleet fleet({{"a", 40}}, 2, 10);
  fleet.want(0, 30), fleet.want(1, 4);
  fleet.settle();
  EXPECT_THAT(fleet.open(), ElementsAre(10, 4));
}

TEST(Allocator, ASmallerLimitIsReachedAndABiggerOneUsed) {
  Fleet fleet({{"a", 9}}, 3);
  for (std::size_t i = 0; i < 3; ++i) fleet.want(i, 9);
  fleet.settle();
  fleet.allocator.set_limits({{"a", 6}}, 1000);
  fleet.settle();
  EXPECT_THAT(fleet.open(), Each(2U));
  fleet.allocator.set_limits({{"a", 12}}, 1000);
  fleet.settle();
  EXPECT_THAT(fleet.open(), Each(4U));
}

TEST(Allocator, AWriterGetsNoMoreThanTheSmallestMemberCouldTake) {
  Fleet fleet({{"a", 9}, {"b", 5}}, 1);
  fleet.want(0, 9);
  fleet.settle();
  EXPECT_THAT(fleet.open(), ElementsAre(5));
  EXPECT_EQ(fleet.allocator.totals()[kReadWrite].limit, 5U);
}

TEST(Allocator, ASilentSidecarKeepsWhatItHasAndOneThatIsGoneDoesNot) {
  Fleet fleet({{"a", 4}}, 2);
  fleet.want(0, 4);
  fleet.settle();
  ASSERT_EQ(fleet.open()[0], 3U);
  fleet.allocator.silent("pod1000");
  fleet.want(1, 4);
  fleet.settle();
  EXPECT_EQ(fleet.open()[1], 1U);
  EXPECT_EQ(fleet.allocator.totals()[kReadWrite].unknown, 3U);
  fleet.allocator.forget("pod1000");
  fleet.settle();
  EXPECT_EQ(fleet.open()[1], 4U);
}

TEST(Allocator, OneSidecarCannotStarveTheOthersByWhatItSays) {
  Allocator allocator({}, 1, {});
  allocator.set_limits({{"a", 8}}, 3);
  const budget::Open open = allocator.hello({"liar", 1});
  constexpr Slots kMany = 4'000'000'000U;
  ASSERT_TRUE(allocator.report({.pod = "liar",
                                .incarnation = 1,
                                .epoch = 1,
                                .session = open.session,
                                .number = 1,
                                .lanes = {{kReadWrite, {9, kMany, kMany}}, {"a", {0, kMany, kMany}}}},
                               {}));
  EXPECT_EQ(allocator.charged("liar", kReadWrite), 3U);
  EXPECT_EQ(allocator.charged("liar", "a"), 3U);
  ASSERT_TRUE(allocator.step({}).save.has_value());
  allocator.saved(true);
  EXPECT_TRUE(allocator.step({}).allowances.empty());
}

TEST(Allocator, AnotherOperatorCountsWhoIsSilentAtItsCeiling) {
  Allocator allocator({}, 2, {{"gone", {{kReadWrite, 6}}}});
  allocator.set_limits({{"a", 8}}, 8);
  budget::Ledger ledger({.pod = "here", .incarnation = 1});
  ledger.take(allocator.hello(ledger.hello()));
  ledger.set_use("a", {true, 0, 5}, {});
  allocator.report(*ledger.report(), {});
  EXPECT_TRUE(allocator.step({}).allowances.empty()) << "nothing before the first save";
  allocator.saved(true);
  Slots granted = 0;
  for (int i = 0; i < 10; ++i) {
    const Actions actions = allocator.step({});
    for (const auto& [name, allowance] : actions.allowances) granted = allowance.slots, ledger.take(allowance, {});
    if (actions.save) allocator.saved(true);
    if (const auto report = ledger.report()) allocator.report(*report, {});
  }
  EXPECT_EQ(granted, 2U);
}

TEST(Allocator, WhoCouldNotSaveGrantsNothingAnyMore) {
  Fleet fleet({{"a", 4}}, 1);
  fleet.want(0, 1);
  fleet.settle();
  fleet.allocator.set_limits({{"a", 100}}, 100);
  ASSERT_EQ(fleet.ledgers[0]->limit("a"), 1U);
  fleet.ledgers[0]->set_use("a", {true, 1, 50}, fleet.now);
  fleet.allocator.report(*fleet.ledgers[0]->report(), fleet.now);
  ASSERT_TRUE(fleet.allocator.step(fleet.now).save.has_value());
  fleet.allocator.saved(false);
  EXPECT_TRUE(fleet.allocator.deposed());
  EXPECT_TRUE(fleet.allocator.step(fleet.now).allowances.empty());
}

}  // namespace
}  // namespace dbproxy::operator_budget
