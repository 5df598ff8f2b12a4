#include "proxy/metrics/registry.hpp"

#include <chrono>
#include <gmock/gmock.h>
#include <prometheus/metric_family.h>
#include <thread>

#include "tests/unit/metrics/promtool.hpp"

namespace dbproxy::metrics {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST(Histogram, BoundsDoubleAndAreInclusive) {
  EXPECT_DOUBLE_EQ(Histogram::upper_bound(0), 50e-6);
  EXPECT_NEAR(Histogram::upper_bound(Histogram::kBuckets - 1), 104.8576, 1e-9);
  for (int i = 0; i < Histogram::kBuckets; ++i) {
    Histogram histogram;
    const Duration bound(50'000LL << i);
    histogram.observe(bound);
    EXPECT_EQ(histogram.bucket(i), 1U) << i;
    histogram.observe(bound + Duration(1));
    EXPECT_EQ(histogram.bucket(i + 1), 1U) << i;
  }
}

TEST(Histogram, ExtremesStayInTheFirstAndTheLastBucket) {
  Histogram histogram;
  histogram.observe(0ns);
  histogram.observe(-5s);
  histogram.observe(24h);
  EXPECT_EQ(histogram.bucket(0), 2U);
  EXPECT_EQ(histogram.bucket(Histogram::kBuckets), 1U);
  EXPECT_EQ(histogram.count(), 3U);
  EXPECT_DOUBLE_EQ(histogram.sum_seconds(), 86400.0);
}

TEST(Registry, SameNameAndLabelsInAnyOrderGiveTheSameCell) {
  Registry registry;
  Cell& one = registry.counter("a_total", "A", {{"x", "1"}, {"y", "2"}});
  EXPECT_EQ(&one, &registry.counter("a_total", "A", {{"y", "2"}, {"x", "1"}}));
  EXPECT_NE(&one, &registry.counter("a_total", "A", {{"x", "1"}, {"y", "3"}}));
}

TEST(Registry, PrintsEveryKind) {
  Registry registry;
  registry.counter("a_total", "Some help").add(3);
  registry.gauge("b", "Help of b", {{"l", "quote\" slash\\ line\nend"}}).set(7);
  registry.seconds_gauge("c_seconds", "Help of c").set(1'500'000'000);
  registry.histogram("d_seconds", "Help of d", {{"l", "v"}}).observe(1ms);
  const std::string text = registry.text();
  EXPECT_THAT(text, HasSubstr("# HELP a_total Some help\n# TYPE a_total counter\na_total 3"));
  EXPECT_THAT(text, HasSubstr(R"(b{l="quote\" slash\\ line\nend"} 7)"));
  EXPECT_THAT(text, HasSubstr("c_seconds 1.5"));
  EXPECT_THAT(text, HasSubstr("d_seconds_bucket{l=\"v\",le=\"+Inf\"} 1"));
  EXPECT_THAT(text, HasSubstr("d_seconds_count{l=\"v\"} 1"));
  EXPECT_THAT(text, HasSubstr("d_seconds_sum{l=\"v\"} 0.001"));
}

TEST(Registry, RetiredSeriesAreNotPrintedUntilTheyAreAskedForAgain) {
  Registry registry;
  Cell& one = registry.gauge("a", "A", {{"proxy", "p"}, {"target", "t1"}});
  registry.gauge("a", "A", {{"proxy", "p"}, {"target", "t2"}}).set(2);
  registry.gauge("b", "B", {{"proxy", "q"}, {"target", "t1"}}).set(3);
  registry.retire({{"target", "t1"}, {"proxy", "p"}});
  one.set(9);  // still a valid cell
  EXPECT_THAT(registry.text(), Not(HasSubstr("target=\"t1\"} 9")));
  EXPECT_THAT(registry.text(), HasSubstr("a{proxy=\"p\",target=\"t2\"} 2"));
  EXPECT_THAT(registry.text(), HasSubstr("b{proxy=\"q\",target=\"t1\"} 3"));
  registry.retire({{"proxy", "p"}});
  EXPECT_THAT(registry.text(), Not(HasSubstr("# HELP a ")));
  EXPECT_EQ(&registry.gauge("a", "A", {{"proxy", "p"}, {"target", "t1"}}), &one);
  EXPECT_THAT(registry.text(), HasSubstr("a{proxy=\"p\",target=\"t1\"} 9"));
}

TEST(Registry, OneNameOfTwoKindsAborts) {
  Registry registry;
  registry.counter("a_total", "A");
  EXPECT_DEATH(registry.gauge("a_total", "A"), "two kinds");
}

TEST(Registry, MayBeReadWhileAnotherThreadWrites) {
  Registry registry;
  Histogram& histogram = registry.histogram("h_seconds", "H");
  Cell& counter = registry.counter("c_total", "C");
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop) {
      histogram.observe(1ms);
      counter.add();
    }
  });
  for (int i = 0; i < 50; ++i) {
    registry.gauge("g", "G", {{"n", std::to_string(i)}}).set(1);
    const auto families = registry.Collect();
    for (const auto& family : families) {
      if (family.name != "h_seconds") continue;
      const auto& printed = family.metric.at(0).histogram;
      EXPECT_LE(printed.bucket.back().cumulative_count, printed.sample_count);
    }
  }
  stop = true;
  writer.join();
  EXPECT_EQ(histogram.count(), counter.get());
}

TEST(Registry, PromtoolIsContent) {
  if (!have_promtool()) GTEST_SKIP() << "promtool is not installed: run cmake/setup.sh test";
  Registry registry;
  registry.counter("dbproxy_queries_total", "Statements.", {{"proxy", "ns/a"}}).add(5);
  registry.gauge("dbproxy_clients", "Clients by state.", {{"state", "active"}}).set(2);
  registry.seconds_gauge("dbproxy_longest_wait_seconds", "Longest wait.").set(5);
  registry.histogram("dbproxy_borrow_seconds", "Time to get a server connection.").observe(3ms);
  EXPECT_EQ(promtool_complaints(registry.text()), "");
  registry.counter("no_suffix", "A counter without its suffix.");
  EXPECT_NE(promtool_complaints(registry.text()), "");  // the check itself works
}

}  // namespace
}  // namespace dbproxy::metrics
