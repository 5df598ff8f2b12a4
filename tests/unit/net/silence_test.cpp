#include "proxy/net/silence.hpp"

#include <gtest/gtest.h>

namespace dbproxy::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kLimit{15};
const TimePoint kStart{std::chrono::hours(1)};

Silence::Look waiting(milliseconds since_ack) {
  return {.unacknowledged = true, .since_ack = since_ack};
}

TEST(Silence, IsNotTheRestBeforeSomethingWasSent) {
  Silence silence;
  EXPECT_FALSE(silence.exceeds(kLimit, kStart, waiting(seconds(3600))));
  EXPECT_FALSE(silence.exceeds(kLimit, kStart + seconds(5), {.since_ack = seconds(4)}));
  EXPECT_FALSE(silence.exceeds(kLimit, kStart + seconds(10), waiting(seconds(9))));
}

TEST(Silence, IsNotAPeerThatAcknowledgesNowAndThen) {
  Silence silence;
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(silence.exceeds(kLimit, kStart + seconds(5 * i), waiting(seconds(4))));
}

TEST(Silence, IsNotAPeerThatDoesNotRead) {
  Silence silence;
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(silence.exceeds(kLimit, kStart + seconds(5 * i), {.since_ack = seconds(5 * i)}));
  }
}

TEST(Silence, IsNoticedWithinTheLimit) {
  Silence silence;
  EXPECT_FALSE(silence.exceeds(kLimit, kStart, waiting(milliseconds(1))));
  EXPECT_FALSE(silence.exceeds(kLimit, kStart + seconds(5), waiting(milliseconds(5001))));
  EXPECT_TRUE(silence.exceeds(kLimit, kStart + seconds(10), waiting(milliseconds(10001))));
}

TEST(Silence, BeginsAnewAfterAnAcknowledgementBetweenTwoLooks) {
  Silence silence;
  EXPECT_FALSE(silence.exceeds(kLimit, kStart, waiting(milliseconds(1))));
  EXPECT_FALSE(silence.exceeds(kLimit, kStart + seconds(600), waiting(seconds(599))));
  EXPECT_FALSE(silence.exceeds(kLimit, kStart + seconds(605), waiting(seconds(604))));
  EXPECT_TRUE(silence.exceeds(kLimit, kStart + seconds(610), waiting(seconds(609))));
}

TEST(Silence, IsNotKnownOfAUnixSocket) {
  EXPECT_FALSE(Silence::look(-1));
}

}  // namespace
}  // namespace dbproxy::net
