#include "operator/status/unused.hpp"

#include <gtest/gtest.h>

namespace dbproxy::operator_status {
namespace {

using Names = std::vector<std::string>;
using std::chrono::minutes;

TEST(UnusedSidecars, AreToldOnceUntilTheyAreUsedOrLeave) {
  UnusedSidecars unused(minutes(10));
  ManualClock clock;
  EXPECT_TRUE(unused.look({{"shop/a", false}, {"shop/b", true}}, clock.now()).empty());
  clock.advance(minutes(9));
  EXPECT_TRUE(unused.look({{"shop/a", false}, {"shop/b", true}}, clock.now()).empty());
  clock.advance(minutes(1));
  EXPECT_EQ(unused.look({{"shop/a", false}, {"shop/b", false}}, clock.now()), Names{"shop/a"});
  EXPECT_TRUE(unused.look({{"shop/a", false}, {"shop/b", false}}, clock.now()).empty());
  clock.advance(minutes(10));
  EXPECT_EQ(unused.look({{"shop/a", true}, {"shop/b", false}}, clock.now()), Names{"shop/b"});
  unused.look({{"shop/a", false}}, clock.now());  // b left
  EXPECT_TRUE(unused.look({{"shop/a", false}, {"shop/b", false}}, clock.now()).empty());
  clock.advance(minutes(10));
  EXPECT_EQ(unused.look({{"shop/a", false}, {"shop/b", false}}, clock.now()), (Names{"shop/a", "shop/b"}));
}

TEST(UnusedSidecars, NobodyIsToldWithoutATime) {
  UnusedSidecars unused(Duration{});
  ManualClock clock;
  unused.look({{"shop/a", false}}, clock.now());
  clock.advance(minutes(1000));
  EXPECT_TRUE(unused.look({{"shop/a", false}}, clock.now()).empty());
}

}  // namespace
}  // namespace dbproxy::operator_status
