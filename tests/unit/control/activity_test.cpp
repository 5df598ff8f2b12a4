#include "proxy/control/activity.hpp"

#include <gtest/gtest.h>

#include "proxy/control/outbox.hpp"

namespace dbproxy::control {
namespace {

constexpr WallTime kNow{std::chrono::seconds(5000)};

worker::PinRow pin(const std::string& reason, double seconds) {
  worker::PinRow out;
  out.proxy = "shop/orders";
  out.client = "127.0.0.1:5";
  out.user = "app";
  out.reasons = {reason};
  out.statement_digest = "CREATE TEMP TABLE t";
  out.pinned_seconds = seconds;
  return out;
}

TEST(Activity, TellsLatenciesOfEachDBProxy) {
  metrics::Registry registry;
  registry.histogram("dbproxy_query_seconds", "", {{"proxy", "shop/orders"}}).observe(std::chrono::milliseconds(3));
  registry.histogram("dbproxy_borrow_seconds", "", {{"proxy", "shop/orders"}}).observe(std::chrono::hours(1));
  registry.histogram("dbproxy_query_seconds", "", {{"proxy", "shop/stock"}});
  const auto reports = activity_of(registry, {}, kNow);
  ASSERT_EQ(reports.size(), 2u);
  const v1::ActivityReport& orders = reports[0];
  EXPECT_EQ(orders.proxy(), "shop/orders");
  ASSERT_EQ(orders.query_counts_size(), metrics::Histogram::kBuckets + 1);
  EXPECT_EQ(orders.query_counts(6), 1u);  // 50 µs · 2^6 = 3.2 ms
  EXPECT_EQ(orders.borrow_counts(metrics::Histogram::kBuckets), 1u);
  EXPECT_EQ(orders.pins_size(), 0);
}

TEST(Activity, PutsPinsOfOneKindTogetherAndNamesNoClient) {
  const auto reports =
      activity_of(metrics::Registry(),
                  {pin("advisory_lock", 1), pin("temporary_object", 20.2), pin("temporary_object", 70.4)}, kNow);
  ASSERT_EQ(reports.size(), 1u);
  ASSERT_EQ(reports[0].pins_size(), 2);
  const v1::PinnedSessions& most = reports[0].pins(0);
  EXPECT_EQ(most.reasons(0), "temporary_object");
  EXPECT_EQ(most.statement_digest(), "CREATE TEMP TABLE t");
  EXPECT_EQ(most.sessions(), 2u);
  EXPECT_EQ(most.since(), 4930);
  EXPECT_EQ(reports[0].SerializeAsString().find("127.0.0.1"), std::string::npos);
}

TEST(Activity, OfManyKindsOfPinsThoseWithTheMostSessionsAreTold) {
  std::vector<worker::PinRow> pins{pin("most", 1), pin("most", 1)};
  for (int i = 0; i < 100; ++i) pins.push_back(pin("reason " + std::to_string(i), 1));
  const auto reports = activity_of(metrics::Registry(), pins, kNow);
  ASSERT_EQ(reports[0].pins_size(), static_cast<int>(kMostPins));
  EXPECT_EQ(reports[0].pins(0).reasons(0), "most");
}

TEST(Activity, TheSameIsNotSaidAgain) {
  Outbox outbox;
  for (double later = 0; later < 3; ++later) {
    // It grows older while time goes on.
    auto reports = activity_of(metrics::Registry(), {pin("temporary_object", 20 + later)},
                               kNow + std::chrono::seconds(static_cast<int>(later)));
    outbox.activity(std::move(reports[0]));
    EXPECT_EQ(outbox.take().has_value(), later == 0);
  }
}

}  // namespace
}  // namespace dbproxy::control
