#include "proxy/manifest/duration.hpp"

#include <gtest/gtest.h>

namespace dbproxy::manifest {
namespace {

using std::chrono::milliseconds;

TEST(Duration, AsPostgresqlWritesIt) {
  for (auto [text, value] : {std::pair{"0", 0L},
                             {"1000", 1000},
                             {"250ms", 250},
                             {"30s", 30'000},
                             {"1.5 min", 90'000},
                             {"2h", 7'200'000},
                             {"1d", 86'400'000},
                             {"100us", 1},
                             {"1500us", 2},
                             {"0s", 0},
                             {"2147483647", 2147483647}}) {
    EXPECT_EQ(parse_duration(text), milliseconds(value)) << text;
  }
}

TEST(Duration, AnythingElseIsNone) {
  for (auto text : {"", "s", "-1", "30 seconds", "30S", "1e3", "nan", "inf", "25d", "2147483648", "1 2", "30s ",
                    "99999999999999999999999999d"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace dbproxy::manifest
