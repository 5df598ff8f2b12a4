#include "proxy/worker/postgres/catalog.hpp"

#include <gtest/gtest.h>

namespace dbproxy::worker::postgres {
namespace {

using session::postgres::ClassifyOptions;
using session::postgres::PinReason;

TEST(Catalog, WhatCannotBeReadMayHideAnything) {
  Catalog catalog("shop/orders", "orders", std::chrono::minutes(1));
  const TimePoint now{};
  EXPECT_FALSE(catalog.known());
  catalog.begin(now, true);
  session::postgres::ServerSession::Rows rows;
  rows.failed = true;
  rows.error = "57014: canceling statement due to statement timeout";
  EXPECT_FALSE(catalog.finish(rows, now, true));
  EXPECT_TRUE(catalog.known());
  ClassifyOptions options;
  catalog.describe(options);
  EXPECT_TRUE(session::postgres::classify("DELETE FROM parent", options).pinned_by(PinReason::kOpaque));
  EXPECT_TRUE(catalog.due(now + std::chrono::seconds(5), true));
}

}  // namespace
}  // namespace dbproxy::worker::postgres
