#include "proxy/base/secret.hpp"

#include <gtest/gtest.h>
#include <ostream>

#include "proxy/base/log.hpp"

namespace dbproxy {
namespace {

template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};

TEST(Secret, CannotBePrintedOrLogged) {
  static_assert(!Printable<Secret>);
  static_assert(!std::is_convertible_v<Secret, std::string>);
  static_assert(!std::is_convertible_v<Secret, std::string_view>);
  static_assert(!std::is_constructible_v<log::Field, std::string_view, Secret>);
}

TEST(Secret, ComparesByContent) {
  EXPECT_TRUE(Secret("abc") == Secret("abc"));
  EXPECT_FALSE(Secret("abc") == Secret("abd"));
  EXPECT_FALSE(Secret("abc") == Secret("abcd"));
}

TEST(Secret, MovingLeavesNothingBehind) {
  Secret from("hunter2");
  Secret to(std::move(from));
  EXPECT_EQ(to.reveal(), "hunter2");
  EXPECT_TRUE(from.empty());
}

TEST(Log, QuotesWhatWouldBreakALine) {
  EXPECT_EQ(log::render(log::Format::kKeyValue, log::Level::kInfo, "pool", "opened",
                        {{"a", "x y"}, {"b", 3}, {"c", "q\"\n"}}),
            "info pool: opened a=\"x y\" b=3 c=\"q\\\"\\n\"");
  EXPECT_EQ(log::render(log::Format::kJson, log::Level::kWarn, "m", "e", {{"a", true}, {"b", "t"}}),
            R"("level":"warn","module":"m","event":"e","a":true,"b":"t")");
}

}  // namespace
}  // namespace dbproxy
