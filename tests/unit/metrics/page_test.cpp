#include "proxy/metrics/page.hpp"

#include <algorithm>
#include <ctime>
#include <gmock/gmock.h>

#include "tests/unit/metrics/promtool.hpp"

namespace dbproxy::metrics {
namespace {

using testing::HasSubstr;
using testing::Not;

double value_of(const std::vector<prometheus::MetricFamily>& families, const std::string& name) {
  const auto found = std::find_if(families.begin(), families.end(), [&](const auto& f) { return f.name == name; });
  return found == families.end() ? -1 : found->metric.at(0).gauge.value;
}

TEST(Page, ProcessFactsAreReasonable) {
  const auto families = process_families();
  EXPECT_GT(value_of(families, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(value_of(families, "process_open_fds"), 2);
  EXPECT_GE(value_of(families, "process_threads"), 1);
  const double now = static_cast<double>(std::time(nullptr));
  EXPECT_NEAR(value_of(families, "process_start_time_seconds"), now, 3600);
  EXPECT_GE(value_of(families, "process_cpu_seconds_total"), 0);
}

TEST(Page, HoldsTheRegistryAndTheRest) {
  Registry registry;
  registry.counter("dbproxy_a_total", "A.").add();
  std::vector<prometheus::MetricFamily> extra = process_families();
  extra.push_back(build_info_family());
  extra.push_back(info_family("dbproxy_none_info", "None.", {}));
  const std::string text = page(registry, extra);
  EXPECT_THAT(text, HasSubstr("dbproxy_a_total 1"));
  EXPECT_THAT(text, HasSubstr("dbproxy_build_info{version=\"0."));
  EXPECT_THAT(text, Not(HasSubstr("dbproxy_none_info")));
  if (have_promtool()) {
    EXPECT_EQ(promtool_complaints(text), "");
  }
}

TEST(Page, LabelNamesAreMadeValid) {
  EXPECT_EQ(label_name("tag_", "team"), "tag_team");
  EXPECT_EQ(label_name("tag_", "cost-center/é"), "tag_cost_center___");
  EXPECT_EQ(label_name("", "9a"), "_9a");
  EXPECT_EQ(label_name("", ""), "_");
  EXPECT_LE(label_name("tag_", std::string(500, 'x')).size(), 64U);
}

TEST(Page, IsOpenMetricsForWhoAsks) {
  Registry registry;
  registry.counter("dbproxy_a_total", "What is \"a\".", {{"proxy", "x"}}).add();
  registry.gauge("dbproxy_b", "B.").set(2);
  const std::string text = registry.text();
  const auto plain = rendered(text, "text/plain;version=0.0.4");
  EXPECT_EQ(plain.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(plain.body, text);
  const auto open = rendered(text, "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5");
  EXPECT_EQ(open.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
  EXPECT_EQ(open.body,
            "# HELP dbproxy_a What is \\\"a\\\".\n# TYPE dbproxy_a counter\ndbproxy_a_total{proxy=\"x\"} 1\n"
            "# HELP dbproxy_b B.\n# TYPE dbproxy_b gauge\ndbproxy_b 2\n# EOF\n");
  EXPECT_EQ(open_metrics(""), "# EOF\n");
}

TEST(Page, SeriesCanBeReadBack) {
  Registry registry;
  registry.counter("dbproxy_a_total", "A.", {{"proxy", "x"}}).add(3);
  registry.histogram("dbproxy_h_seconds", "H.").observe(std::chrono::milliseconds(1500));
  EXPECT_EQ(series_of(registry, "dbproxy_a_total"), (Series{{{{"proxy", "x"}}, 3}}));
  EXPECT_EQ(series_of(registry, "dbproxy_h_seconds"), (Series{{{}, 1.5}}));
  EXPECT_TRUE(series_of(registry, "dbproxy_none").empty());
}

}  // namespace
}  // namespace dbproxy::metrics
