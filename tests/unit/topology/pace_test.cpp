#include "proxy/topology/pace.hpp"

#include <gtest/gtest.h>

namespace dbproxy::topology {
namespace {

using std::chrono::seconds;

const TimePoint kStart = TimePoint{} + std::chrono::hours(1);

Pace pace(seconds idle_after) {
  Pace out;
  out.set(idle_after, seconds(30));
  out.wake(kStart);
  return out;
}

TEST(Pace, OfWhomNobodyTellsItIsAlwaysAsked) {
  const Pace one = pace(seconds(10));
  EXPECT_FALSE(one.sleeps(kStart + std::chrono::hours(9)));
  EXPECT_FALSE(one.seldom(kStart + std::chrono::hours(9)));
}

TEST(Pace, WithoutASidecarItIsSeldomAndWithOneItIsNotAnyMore) {
  Pace one = pace(seconds(0));
  EXPECT_FALSE(one.use(Use::kNone, kStart + seconds(1)));
  EXPECT_FALSE(one.seldom(kStart + seconds(29)));
  EXPECT_TRUE(one.seldom(kStart + seconds(30)));
  EXPECT_FALSE(one.sleeps(kStart + std::chrono::hours(9))) << "it may be asked at any time";
  EXPECT_TRUE(one.use(Use::kSidecars, kStart + seconds(40))) << "and is asked at once";
  EXPECT_FALSE(one.use(Use::kSidecars, kStart + seconds(41)));
  EXPECT_FALSE(one.use(Use::kNone, kStart + seconds(42)));
  EXPECT_FALSE(one.seldom(kStart + seconds(70))) << "one that restarts is back before that";
  EXPECT_TRUE(one.seldom(kStart + seconds(71)));
}

TEST(Pace, WithoutClientsItSleepsAndWakesForTheFirst) {
  Pace one = pace(seconds(10));
  EXPECT_FALSE(one.use(Use::kSidecars, kStart + seconds(1)));
  EXPECT_FALSE(one.sleeps(kStart + seconds(9)));
  EXPECT_TRUE(one.sleeps(kStart + seconds(10)));
  EXPECT_FALSE(one.use(Use::kSidecars, kStart + seconds(20))) << "a sidecar alone is no reason";
  EXPECT_TRUE(one.sleeps(kStart + seconds(20)));
  EXPECT_TRUE(one.use(Use::kClients, kStart + seconds(21)));
  EXPECT_FALSE(one.sleeps(kStart + std::chrono::hours(1)));
  EXPECT_FALSE(one.use(Use::kNone, kStart + seconds(100)));
  EXPECT_TRUE(one.sleeps(kStart + seconds(100))) << "since the last client there were 79 seconds";
}

TEST(Pace, WhoeverWantsToKnowWakesItForAsLongAgain) {
  Pace one = pace(seconds(10));
  one.use(Use::kNone, kStart + seconds(50));
  EXPECT_TRUE(one.sleeps(kStart + seconds(50)) && one.seldom(kStart + seconds(50)));
  one.wake(kStart + seconds(50));
  EXPECT_FALSE(one.sleeps(kStart + seconds(59)) || one.seldom(kStart + seconds(59)));
  EXPECT_TRUE(one.sleeps(kStart + seconds(60)));
}

}  // namespace
}  // namespace dbproxy::topology
