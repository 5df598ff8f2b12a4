#include "proxy/control/last_good.hpp"

#include <gtest/gtest.h>

#include "proxy/control/backoff.hpp"

namespace dbproxy::control {
namespace {

const Secret kToken("0123456789abcdef");

TEST(LastGood, RoundTrip) {
  const auto sealed = seal(Secret("the content"), kToken, "one");
  ASSERT_TRUE(sealed.has_value());
  EXPECT_EQ(sealed.value().find("content"), std::string::npos);
  EXPECT_EQ(open(sealed.value(), kToken, "one").value().reveal(), "the content");
  EXPECT_NE(seal(Secret("the content"), kToken, "one").value(), sealed.value());
  const auto nothing = seal(Secret(""), kToken, "one");
  EXPECT_EQ(open(nothing.value(), kToken, "one").value().reveal(), "");
}

TEST(LastGood, AnyChangedBitIsNoticed) {
  const std::string sealed = seal(Secret("the content"), kToken, "one").value();
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_EQ(open(changed, kToken, "one").error(), Error::kUnreadable) << i;
    EXPECT_TRUE(open(sealed.substr(0, i), kToken, "one").has_error()) << i;
  }
}

TEST(LastGood, OtherTokenOrIdentityCannotRead) {
  const std::string sealed = seal(Secret("the content"), kToken, "one").value();
  EXPECT_EQ(open(sealed, Secret("another token"), "one").error(), Error::kUnreadable);
  EXPECT_EQ(open(sealed, kToken, "two").error(), Error::kUnreadable);
  EXPECT_EQ(open(sealed, Secret(), "one").error(), Error::kNoToken);
  EXPECT_EQ(seal(Secret("x"), Secret(), "one").error(), Error::kNoToken);
}

TEST(Backoff, DoublesToItsCapAndStartsAgain) {
  using std::chrono::milliseconds;
  Backoff backoff(milliseconds(100), milliseconds(300));
  EXPECT_EQ(backoff.next(0.5), milliseconds(50));
  EXPECT_EQ(backoff.next(0.5), milliseconds(100));
  EXPECT_EQ(backoff.next(0.5), milliseconds(150));
  EXPECT_EQ(backoff.next(0.0), milliseconds(0));
  backoff.reset();
  EXPECT_EQ(backoff.next(0.99), milliseconds(99));
}

}  // namespace
}  // namespace dbproxy::control
