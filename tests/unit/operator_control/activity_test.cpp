#include "operator/control/activity.hpp"

#include <gtest/gtest.h>
#include <numeric>

#include "proxy/metrics/registry.hpp"

namespace dbproxy::operator_control {
namespace {

constexpr int kCounts = metrics::Histogram::kBuckets + 1;
constexpr WallTime kNow{std::chrono::seconds(1000)};

v1::ActivityReport report(const std::string& proxy, std::uint64_t queries) {
  v1::ActivityReport out;
  out.set_proxy(proxy);
  for (int i = 0; i < kCounts; ++i) {
    out.add_query_counts(i == 3 ? queries : 0);
    out.add_borrow_counts(i == 1 ? queries : 0);
  }
  return out;
}

void pin(v1::ActivityReport& to, const std::string& reason, std::uint32_t sessions, std::int64_t since) {
  v1::PinnedSessions& out = *to.add_pins();
  out.add_reasons(reason);
  out.set_statement_digest("CREATE TEMP TABLE t");
  out.set_sessions(sessions);
  out.set_since(since);
}

std::uint64_t queries(const Activity& activity) {
  const auto rows = activity.latencies();
  return rows.empty() ? 0 : std::accumulate(rows.at(0).query.begin(), rows.at(0).query.end(), std::uint64_t{0});
}

class ActivityTest : public testing::Test {
 protected:
  Activity activity_;
  const int one_ = 0, other_ = 0;
};

TEST_F(ActivityTest, CountsWhatComesAfterTheFirstReportOfAStream) {
  activity_.report(&one_, report("shop/orders", 100));
  EXPECT_EQ(queries(activity_), 0u);
  activity_.report(&one_, report("shop/orders", 130));
  activity_.report(&one_, report("shop/orders", 130));
  EXPECT_EQ(queries(activity_), 30u);
  activity_.report(&other_, report("shop/orders", 1000));
  activity_.report(&other_, report("shop/orders", 1002));
  EXPECT_EQ(queries(activity_), 32u);
  EXPECT_EQ(activity_.latencies().at(0).query.at(3), 32u);
  EXPECT_EQ(activity_.latencies().at(0).borrow.at(1), 32u);
}

TEST_F(ActivityTest, TheSumsStayWhoeverGoesAndComesBack) {
  activity_.report(&one_, report("shop/orders", 100));
  activity_.report(&one_, report("shop/orders", 130));
  activity_.forget(&one_);
  EXPECT_EQ(queries(activity_), 30u);
  activity_.report(&one_, report("shop/orders", 160));
  EXPECT_EQ(queries(activity_), 30u);
  activity_.report(&one_, report("shop/orders", 161));
  EXPECT_EQ(queries(activity_), 31u);
  activity_.clear();
  EXPECT_TRUE(activity_.latencies().empty());
}

TEST_F(ActivityTest, CountsThatBeganAnewAreAllNew) {
  activity_.report(&one_, report("shop/orders", 100));
  activity_.report(&one_, report("shop/orders", 7));
  EXPECT_EQ(queries(activity_), 7u);
}

TEST_F(ActivityTest, OtherBucketsThanOursMeanNothing) {
  v1::ActivityReport odd = report("shop/orders", 1);
  odd.add_query_counts(5);
  activity_.report(&one_, odd);
  activity_.report(&one_, odd);
  EXPECT_TRUE(activity_.latencies().empty());
}

TEST_F(ActivityTest, PinsOfOneKindAreOneRow) {
  v1::ActivityReport first = report("shop/orders", 1), second = first;
  pin(first, "temporary_object", 2, 990);
  pin(first, "advisory_lock", 1, 1500);  // a clock that goes ahead of ours
  pin(second, "temporary_object", 3, 900);
  activity_.report(&one_, first);
  activity_.report(&other_, second);
  auto rows = activity_.pins(kNow);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].reasons, std::vector<std::string>{"temporary_object"});
  EXPECT_EQ(rows[0].statement_digest, "CREATE TEMP TABLE t");
  EXPECT_EQ(rows[0].sessions, 5u);
  EXPECT_EQ(rows[0].sidecars, 2u);
  EXPECT_EQ(rows[0].pinned_seconds, 100);
  EXPECT_EQ(rows[1].pinned_seconds, 0);

  activity_.report(&one_, report("shop/orders", 1));  // all are over there
  rows = activity_.pins(kNow);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].sessions, 3u);
  activity_.forget(&other_);
  EXPECT_TRUE(activity_.pins(kNow).empty());
}

TEST_F(ActivityTest, IsBounded) {
  v1::ActivityReport much = report("shop/orders", 1);
  for (int i = 0; i < 1000; ++i) pin(much, std::string(10'000, 'r') + std::to_string(i), 1, 1);
  for (int i = 0; i < 100; ++i) much.mutable_pins(0)->add_reasons("more");
  much.mutable_pins(0)->set_statement_digest(std::string(1 << 20, 'd'));
  activity_.report(&one_, much);
  const auto rows = activity_.pins(kNow);
  EXPECT_LE(rows.size(), 50u);
  for (const PinnedRow& row : rows) {
    EXPECT_LE(row.statement_digest.size(), 1024u);
    EXPECT_LE(row.reasons.size(), 16u);
    for (const std::string& reason : row.reasons) EXPECT_LE(reason.size(), 64u);
  }
}

}  // namespace
}  // namespace dbproxy::operator_control
