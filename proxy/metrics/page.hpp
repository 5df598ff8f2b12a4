// What a /metrics page has besides the registry: facts that are read or computed when it is asked for.
//
// Functions without state; any thread.
#pragma once

#include <cstdint>
#include <prometheus/metric_family.h>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/metrics/registry.hpp"

namespace dbproxy::metrics {

// The registry and the extra families, in Prometheus' text format. Families without series are left out.
std::string page(const Registry& registry, std::vector<prometheus::MetricFamily> extra);

// Families alone, in the same format.
std::string text_of(const std::vector<prometheus::MetricFamily>& families);

// The same page in OpenMetrics 1.0: https://prometheus.io/docs/specs/om/open_metrics_spec/. What counts is called
// …_total there only in its samples, and the page says where it ends.
std::string open_metrics(std::string_view text);

struct Rendered {
  std::string content_type;
  std::string body;
};
// In the format that the Accept header of a scrape asks for: OpenMetrics, or else `text` as it is.
Rendered rendered(std::string text, std::string_view accept);

// A family of one type: a value for each set of labels.
using Series = std::vector<std::pair<Labels, double>>;
prometheus::MetricFamily gauge_family(std::string name, std::string help, const Series& series);
prometheus::MetricFamily counter_family(std::string name, std::string help, const Series& series);

// What the registry has of one name, with its labels: counters and gauges as they are, histograms by their sum.
Series series_of(const Registry& registry, std::string_view name);

// The same of a histogram, by buckets: how many observations are in each alone; the last one has no upper bound.
struct Buckets {
  Labels labels;
  std::vector<std::uint64_t> counts;
};
std::vector<Buckets> buckets_of(const Registry& registry, std::string_view name);

// A gauge that is always 1 and speaks by its labels: one series per entry.
prometheus::MetricFamily info_family(std::string name, std::string help, const std::vector<Labels>& series);

// dbproxy_build_info{version,revision,compiler} 1
prometheus::MetricFamily build_info_family();

// process_resident_memory_bytes, process_virtual_memory_bytes, process_cpu_seconds_total, process_open_fds,
// process_max_fds, process_start_time_seconds and process_threads, read from /proc. What cannot be read is left out.
std::vector<prometheus::MetricFamily> process_families();

// prefix + name with everything that a label name may not hold replaced by '_', at most 64 bytes.
std::string label_name(std::string_view prefix, std::string_view name);

}  // namespace dbproxy::metrics
