#include "proxy/worker/budget_side.hpp"

#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

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
    return BudgetSide({.incarnation = ++incarnation_, .state_dir = directory_}, "shop/orders", false);
  }

  std::string directory_;
  std::uint64_t incarnation_ = 0;
};

TEST_F(BudgetSideTest, IsLeasedUntilTheOperatorSaysOtherwise) {
  EXPECT_TRUE(start().leased());
  EXPECT_FALSE(BudgetSide({}, "shop/orders", false).leased());  // no operator
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

}  // namespace
}  // namespace dbproxy::worker
