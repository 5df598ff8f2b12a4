#include "proxy/worker/byte_queue.hpp"

#include <gtest/gtest.h>
#include <string>

using dbproxy::worker::ByteQueue;

TEST(ByteQueue, WhatComesGoesInOrder) {
  ByteQueue queue;
  std::string expected, taken;
  for (int n = 0; n < 300; ++n) {
    const std::string piece(static_cast<std::size_t>(n % 17), static_cast<char>('a' + n % 26));
    queue.append(piece);
    expected += piece;
    const std::size_t take = std::min<std::size_t>(queue.size(), static_cast<std::size_t>(n % 13));
    taken += queue.view().substr(0, take);
    queue.take(take);
    EXPECT_EQ(taken.size() + queue.size(), expected.size());
  }
  taken += queue.view();
  EXPECT_EQ(taken, expected);
  queue.take(queue.size());
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_EQ(queue.view(), "");
}

// 16 MB that leave in records of TLS: a thousand times what is left would be 8 GB that a worker moves meanwhile.
TEST(ByteQueue, TakingALittleOffMuchMovesNothing) {
  ByteQueue queue;
  const std::size_t large = 1 << 20, record = 1 << 12;
  queue.append(std::string(large, 'x'));
  std::size_t moved = 0;
  for (const char* at = queue.view().data(); !queue.empty(); at = queue.view().data()) {
    queue.take(record);
    if (!queue.empty() && queue.view().data() != at + record) moved += queue.size();
  }
  EXPECT_LT(moved, large);
}

TEST(ByteQueue, GivesItsMemoryBackOnlyWhenItIsEmptyAndLarge) {
  ByteQueue queue;
  queue.append(std::string(10'000, 'x'));
  queue.take(1);
  queue.release(0);
  EXPECT_EQ(queue.size(), 9'999u);
  queue.take(9'999);
  queue.release(1 << 20);
  EXPECT_GE(queue.end().capacity(), 10'000u);
  queue.release(4096);
  EXPECT_LT(queue.end().capacity(), 4096u);
}
