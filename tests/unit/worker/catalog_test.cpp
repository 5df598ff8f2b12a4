#include "proxy/worker/postgres/catalog.hpp"

#include <gtest/gtest.h>
#include <initializer_list>
#include <string>
#include <string_view>

#include "proxy/session/postgres/catalog_scan.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::worker::postgres {
namespace {

using session::postgres::ClassifyOptions;
using session::postgres::PinReason;

TEST(Catalog, WhatCannotBeReadMayHideAnything) {
  Catalog catalog("shop/orders", "orders", std::chrono::minutes(1));
  const TimePoint now{};
  EXPECT_FALSE(catalog.known());
  Catalog::Reading reading;
  catalog.begin(reading, now, true);
  session::postgres::ServerSession::Rows rows;
  rows.failed = true;
  rows.error = "57014: canceling statement due to statement timeout";
  EXPECT_FALSE(catalog.finish(reading, rows, now, true));
  EXPECT_TRUE(catalog.known());
  ClassifyOptions options;
  catalog.describe(options);
  EXPECT_TRUE(session::postgres::classify("DELETE FROM parent", options).pinned_by(PinReason::kOpaque));
  EXPECT_TRUE(catalog.due(now + std::chrono::seconds(5), true));
}

// A catalogue as a reading finds it, with one function that may change session state; none: it is as it was.
session::postgres::ServerSession::Rows found(std::string_view fingerprint, std::string_view function = {}) {
  session::postgres::ServerSession::Rows rows;
  const auto row = [&rows](std::initializer_list<std::string_view> columns) {
    wire::postgres::MessageWriter message(rows.messages, 'D');
    message.u16(static_cast<std::uint16_t>(columns.size()));
    for (const std::string_view each : columns) message.u32(static_cast<std::uint32_t>(each.size())).bytes(each);
  };
  row({"g", "", "", fingerprint, "", ""});
  if (!function.empty()) row({"n", "f20000", "", function, "danger", ""});
  return rows;
}

class CatalogReadings : public ::testing::Test {
 protected:
  void SetUp() override {
    Catalog::Reading first;
    catalog_.begin(first, now_, true);
    ASSERT_TRUE(catalog_.finish(first, found("1:1", "sees"), now_, true));
    ASSERT_TRUE(is_hazard("sees"));
    catalog_.begin(early_, now_, true);
    catalog_.begin(late_, now_, true);
  }
  // Finds another fingerprint, and then all.
  void change(Catalog::Reading& reading, std::string_view fingerprint, std::string_view function) {
    if (!reading.differs) {
      ASSERT_TRUE(catalog_.finish(reading, found(fingerprint), now_, true));
      ASSERT_TRUE(reading.differs);
    }
    catalog_.begin(reading, now_, true);
    ASSERT_TRUE(catalog_.finish(reading, found(fingerprint, function), now_, true));
    ASSERT_FALSE(reading.differs);
  }
  bool is_hazard(const std::string& function) const {
    ClassifyOptions options;
    catalog_.describe(options);
    return session::postgres::classify("SELECT " + function + "()", options).pinned_by(PinReason::kOpaque);
  }
  const TimePoint now_{};
  Catalog catalog_{"shop/orders", "orders", std::chrono::minutes(1)};
  Catalog::Reading early_, late_;
};

TEST_F(CatalogReadings, AreOfTheFingerprintUntilThatDiffers) {
  ASSERT_TRUE(catalog_.finish(early_, found("1:1"), now_, true));
  EXPECT_FALSE(early_.differs);
  EXPECT_TRUE(is_hazard("sees"));
  ASSERT_TRUE(catalog_.finish(late_, found("2:2"), now_, true));
  EXPECT_TRUE(late_.differs);
  EXPECT_TRUE(is_hazard("sees"));
  EXPECT_EQ(catalog_.begin(late_, now_, true), session::postgres::catalog_scan_sql());
  EXPECT_FALSE(late_.differs);
  ASSERT_TRUE(catalog_.finish(late_, found("2:2", "other"), now_, true));
  EXPECT_FALSE(late_.differs);
  EXPECT_TRUE(is_hazard("other") && !is_hazard("sees"));
  EXPECT_EQ(catalog_.begin(late_, now_, true), session::postgres::catalog_fingerprint_sql());
}

TEST_F(CatalogReadings, AWholeOneMayFindItChangedOnceMore) {
  ASSERT_TRUE(catalog_.finish(early_, found("2:2"), now_, true));
  catalog_.begin(early_, now_, true);
  ASSERT_TRUE(catalog_.finish(early_, found("3:3", "newest"), now_, true));
  EXPECT_TRUE(is_hazard("newest") && !is_hazard("sees"));
}

TEST_F(CatalogReadings, OneThatBeganEarlierAndComesLaterChangesNothing) {
  change(late_, "3:3", "newest");
  EXPECT_TRUE(catalog_.finish(early_, found("2:2"), now_, true));
  EXPECT_FALSE(early_.differs);
  EXPECT_TRUE(is_hazard("newest"));
}

TEST_F(CatalogReadings, AWholeOneThatBeganEarlierChangesNothingEither) {
  ASSERT_TRUE(catalog_.finish(early_, found("2:2"), now_, true));
  catalog_.begin(early_, now_, true);
  ASSERT_TRUE(catalog_.finish(late_, found("3:3"), now_, true));
  change(late_, "3:3", "newest");
  EXPECT_TRUE(catalog_.finish(early_, found("2:2", "other"), now_, true));
  EXPECT_TRUE(is_hazard("newest") && !is_hazard("other"));
}

// Seen otherwise in between, by one that began before: what was known when it began is no longer in force.
TEST_F(CatalogReadings, OneThatFindsItBackAsItWasReadsItAll) {
  ASSERT_TRUE(catalog_.finish(early_, found("2:2"), now_, true));
  catalog_.begin(early_, now_, true);
  catalog_.begin(late_, now_, true);
  ASSERT_TRUE(catalog_.finish(early_, found("2:2", "other"), now_, true));
  EXPECT_TRUE(is_hazard("other") && !is_hazard("sees"));
  change(late_, "1:1", "sees");
  EXPECT_TRUE(is_hazard("sees") && !is_hazard("other"));
}

}  // namespace
}  // namespace dbproxy::worker::postgres
