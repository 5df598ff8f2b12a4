#include "proxy/worker/idle_count.hpp"

#include <gtest/gtest.h>

namespace dbproxy::worker {
namespace {

// Ticks of which each begins with `idle` connections of `total`, and has no less.
void pass(IdleCount& count, int ticks, std::uint32_t idle, std::uint32_t total) {
  for (int i = 0; i < ticks; ++i) {
    count.note(idle);
    count.look(idle, total);
  }
}

TEST(IdleCount, WhatWasIdleForTwoTicksIsWithoutUse) {
  IdleCount count;
  pass(count, 1, 12, 16);
  EXPECT_EQ(count.unused(), 0U);
  pass(count, 2, 12, 16);
  EXPECT_EQ(count.unused(), 12U);
}

TEST(IdleCount, WhatIsUsedForAMomentIsInUse) {
  IdleCount count;
  pass(count, 3, 12, 16);
  count.note(2);
  count.look(12, 16);
  EXPECT_EQ(count.unused(), 2U) << "at once";
  pass(count, 1, 12, 16);
  EXPECT_EQ(count.unused(), 2U);
  pass(count, 1, 12, 16);
  EXPECT_EQ(count.unused(), 12U);
}

TEST(IdleCount, LittleMoreIsToldOnlyWhenItStays) {
  IdleCount count;
  pass(count, 8, 5, 16);
  ASSERT_EQ(count.unused(), 5U);
  int changes = 0;
  for (int i = 0; i < 400; ++i) {
    const std::uint32_t before = count.unused();
    pass(count, 1, 5 + static_cast<std::uint32_t>(i * 7 % 3), 16);
    if (count.unused() != before) ++changes;
  }
  EXPECT_EQ(changes, 0);
  pass(count, 8, 7, 16);
  EXPECT_EQ(count.unused(), 7U);
}

TEST(IdleCount, OneOfFewIsMuch) {
  IdleCount count;
  pass(count, 3, 1, 7);
  EXPECT_EQ(count.unused(), 1U);
}

}  // namespace
}  // namespace dbproxy::worker
