#include "operator/kubernetes_mode/authorities.hpp"

#include <gtest/gtest.h>

namespace dbproxy::kubernetes_mode {
namespace {

using std::chrono::hours;

class AuthoritiesTest : public ::testing::Test {
 protected:
  AuthoritiesTest() { now_.active = pki::make_authority("first", policy_.life, clock_).value(); }
  // One look; whether anything came of it.
  bool step(bool asked = false) {
    auto next = advance(now_, asked, policy_, clock_).value();
    if (!next) return false;
    EXPECT_TRUE(follows(now_, *next));
    // What is written is what is read.
    const kubernetes::json::object secret{{"data", to_data(*next)}};
    now_ = authorities_of(secret);
    EXPECT_EQ(to_data(now_), to_data(*next));
    return true;
  }

  const AuthorityPolicy policy_{hours(24 * 90), hours(24)};
  ManualClock clock_;
  Authorities now_;
};

TEST_F(AuthoritiesTest, OneThatLastsStays) {
  clock_.advance(hours(24 * 59));
  EXPECT_FALSE(step());
}

TEST_F(AuthoritiesTest, InItsLastThirdAnotherIsTrustedThenSignsAndThenIsAlone) {
  const std::string first = now_.active.certificate_pem;
  clock_.advance(hours(24 * 61));
  ASSERT_TRUE(step());
  const std::string second = now_.next.certificate_pem;
  EXPECT_EQ(now_.active.certificate_pem, first);
  EXPECT_NE(second, "");
  clock_.advance(hours(23));
  EXPECT_FALSE(step());
  clock_.advance(hours(2));
  ASSERT_TRUE(step());
  EXPECT_EQ(now_.active.certificate_pem, second);
  EXPECT_EQ(now_.next.certificate_pem, "");
  EXPECT_EQ(now_.previous_pem, first);
  EXPECT_FALSE(step());
  clock_.advance(hours(25));
  ASSERT_TRUE(step());
  EXPECT_EQ(now_.previous_pem, "");
  EXPECT_FALSE(step());
}

TEST_F(AuthoritiesTest, WhoAsksGetsAnotherOnceAndNotBeforeTheLastChangeIsOver) {
  ASSERT_TRUE(step(true));
  EXPECT_FALSE(step(true));
  clock_.advance(hours(25));
  ASSERT_TRUE(step());
  EXPECT_FALSE(step(true));
  clock_.advance(hours(25));
  ASSERT_TRUE(step(true));  // the one before goes
  ASSERT_TRUE(step(true));  // another comes
  EXPECT_NE(now_.next.certificate_pem, "");
}

TEST_F(AuthoritiesTest, OneThatSomebodyPutThereWaitsFromThenOn) {
  now_.next = pki::make_authority("theirs", hours(24 * 3650), clock_).value();
  clock_.advance(hours(24 * 5));
  ASSERT_TRUE(step());
  EXPECT_TRUE(now_.next_since.has_value());
  EXPECT_FALSE(step());
  clock_.advance(hours(25));
  const std::string theirs = now_.next.certificate_pem;
  ASSERT_TRUE(step());
  EXPECT_EQ(now_.active.certificate_pem, theirs);
}

TEST_F(AuthoritiesTest, WhereTheOneThatSignsHasEndedThereIsNothingToWaitFor) {
  clock_.advance(hours(24 * 91));
  ASSERT_TRUE(step());
  ASSERT_TRUE(step());
  EXPECT_EQ(now_.next.certificate_pem, "");
  EXPECT_EQ(pki::needs_renewal(now_.active.certificate_pem, clock_), false);
}

TEST_F(AuthoritiesTest, AnotherOneInItsPlaceDoesNotFollow) {
  Authorities other;
  other.active = pki::make_authority("other", policy_.life, clock_).value();
  EXPECT_FALSE(follows(now_, other));
  other.previous_pem = now_.active.certificate_pem;
  EXPECT_TRUE(follows(now_, other));
}

}  // namespace
}  // namespace dbproxy::kubernetes_mode
