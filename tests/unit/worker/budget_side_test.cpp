#include "proxy/worker/budget_side.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include "proxy/worker/connection_record.hpp"

namespace dbproxy::worker {
namespace {

class BudgetSideTest : public ::testing::Test {
 protected:
  BudgetSideTest() {
    std::string name = std::filesystem::temp_directory_path() / "dbproxy-slots-XXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~BudgetSideTest() override { std::filesystem::remove_all(directory_); }
  BudgetSide start() {
    const BudgetOptions options{.incarnation = ++incarnation_, .state_dir = directory_};
    return BudgetSide(options, slots_file(options, "shop/orders"), false);
  }

  std::string directory_;
  std::uint64_t incarnation_ = 0;
};

TEST_F(BudgetSideTest, IsLeasedUntilTheOperatorSaysOtherwise) {
  EXPECT_TRUE(start().leased());
  EXPECT_FALSE(BudgetSide({}, "", false).leased());  // no operator
}

TEST_F(BudgetSideTest, ASuccessorKnowsThatNothingIsLeased) {
  start().count_alone();
  EXPECT_FALSE(start().leased());
  EXPECT_FALSE(start().leased());  // and its own successor
}

TEST_F(BudgetSideTest, AnOperatorThatLeasesAfterAllIsFollowed) {
  start().count_alone();
  auto side = start();
  budget::Open open;
  open.incarnation = incarnation_;
  open.epoch = 1;
  open.session = 1;
  ASSERT_TRUE(side.take(open, {}, TimePoint{}));
  EXPECT_TRUE(side.leased());
  EXPECT_TRUE(start().leased());
}

budget::Open open_of(std::uint64_t incarnation) {
  budget::Open open;
  open.incarnation = incarnation;
  open.epoch = open.session = 1;
  return open;
}

TEST_F(BudgetSideTest, ASuccessorGoesOnWithWhatAKilledOneHeld) {
  const BudgetSide::Uses idle{{"a", {.writer = true}}};
  {
    auto side = start();
    ASSERT_TRUE(side.take(open_of(incarnation_), idle, TimePoint{}));
    budget::Allowance allowance;
    allowance.incarnation = incarnation_;
    allowance.epoch = allowance.session = allowance.number = 1;
    allowance.slots = allowance.goal = 3;
    ASSERT_TRUE(side.take(allowance, idle, TimePoint{}));
  }
  for (int i = 0; i < 2; ++i) {  // and its successor's
    auto next = start();
    next.set_uses(idle, TimePoint{});
    next.tick(TimePoint{std::chrono::hours(1)});
    next.tick(TimePoint{std::chrono::hours(2)});
    EXPECT_EQ(next.limit("a"), 3U);
    if (i == 0) continue;
    ASSERT_TRUE(next.take(open_of(incarnation_), idle, TimePoint{}));
    const auto report = next.report();
    ASSERT_TRUE(report);
    EXPECT_EQ(report->lanes.at("").held, 3U);
    EXPECT_FALSE(report->complete) << "before the first there may have been others";
  }
}

TEST_F(BudgetSideTest, AFileOfAnotherBootMeansNothing) {
  const BudgetOptions options{.incarnation = 1, .state_dir = directory_};
  const auto path = slots_file(options, "shop/orders");
  std::ofstream(path) << "dbproxy-slots 2\nboot 0-0 leased whole\n- 3\nend\n";
  auto side = start();
  side.set_uses({{"a", {.writer = true}}}, TimePoint{});
  EXPECT_EQ(side.limit("a"), 0U);
}

TEST_F(BudgetSideTest, OfAVersionWithoutAListOnlyOneThatEndedLeavesAnything) {
  const BudgetOptions options{.incarnation = 1, .state_dir = directory_};
  const auto path = slots_file(options, "shop/orders");
  for (const auto& [state, slots] : {std::pair{"ended", 1U}, std::pair{"running", 0U}}) {
    std::ofstream(path) << "dbproxy-slots 1\nboot " << boot_id() << ' ' << state << "\n- 1\nend\n";
    auto side = start();
    side.set_uses({{"a", {.writer = true}}}, TimePoint{});
    EXPECT_EQ(side.limit("a"), slots) << state;
  }
}

}  // namespace
}  // namespace dbproxy::worker
