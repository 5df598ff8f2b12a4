#include "proxy/metrics/quantile.hpp"

#include <gtest/gtest.h>

namespace dbproxy::metrics {
namespace {

const std::vector<double> kBounds{1, 2, 4};

TEST(Quantile, SpreadsWhatABucketHoldsEvenly) {
  EXPECT_DOUBLE_EQ(quantile(0.5, kBounds, {10, 0, 0, 0}).value(), 0.5);
  EXPECT_DOUBLE_EQ(quantile(0.5, kBounds, {0, 10, 0, 0}).value(), 1.5);
  EXPECT_DOUBLE_EQ(quantile(0.75, kBounds, {5, 0, 5, 0}).value(), 3.0);
}

TEST(Quantile, IsNothingOfNothingAndTheLastBoundBeyondIt) {
  EXPECT_FALSE(quantile(0.99, kBounds, {0, 0, 0, 0}).has_value());
  EXPECT_FALSE(quantile(0.99, kBounds, {}).has_value());
  EXPECT_FALSE(quantile(0.99, {}, {1}).has_value());
  EXPECT_DOUBLE_EQ(quantile(0.99, kBounds, {0, 0, 0, 3}).value(), 4);
}

}  // namespace
}  // namespace dbproxy::metrics
