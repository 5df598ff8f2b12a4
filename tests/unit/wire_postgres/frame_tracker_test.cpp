#include "proxy/wire/postgres/frame_tracker.hpp"

#include <gtest/gtest.h>
#include <string>

namespace dbproxy::wire::postgres {
namespace {

std::string message(char type, std::size_t body) {
  std::string out(kHeaderSize, type);
  store_u32(out.data() + 1, static_cast<std::uint32_t>(body + 4));
  return out + std::string(body, 'x');
}

TEST(FrameTracker, FindsEveryEndHoweverTheStreamIsCut) {
  const std::string stream = message('d', 7) + message('Z', 1) + message('c', 0) + message('d', 300);
  for (std::size_t cut = 1; cut <= stream.size(); ++cut) {
    FrameTracker tracker;
    std::string ends;
    for (std::size_t at = 0; at < stream.size(); at += cut) {
      std::string_view rest = std::string_view(stream).substr(at, cut);
      while (!rest.empty()) {
        const std::size_t used = tracker.step(rest);
        ASSERT_GT(used, 0u);
        rest.remove_prefix(used);
        if (tracker.between()) ends += tracker.last();
      }
    }
    EXPECT_EQ(ends, "dZcd") << cut;
    EXPECT_TRUE(tracker.between());
  }
}

TEST(FrameTracker, StopsAtTheFirstEnd) {
  FrameTracker tracker;
  const std::string two = message('d', 2) + message('Z', 1);
  EXPECT_EQ(tracker.step(two), 7u);
  EXPECT_EQ(tracker.last(), 'd');
  EXPECT_EQ(tracker.step(std::string_view(two).substr(7, 3)), 3u);
  EXPECT_FALSE(tracker.between());
  EXPECT_EQ(tracker.last(), 'd');
}

TEST(FrameTracker, ALengthThatCannotBeBreaksIt) {
  FrameTracker tracker;
  EXPECT_EQ(tracker.step(std::string("d\0\0\0\3x", 6)), 0u);
  EXPECT_TRUE(tracker.broken());
  EXPECT_EQ(tracker.step("more"), 0u);
}

}  // namespace
}  // namespace dbproxy::wire::postgres
