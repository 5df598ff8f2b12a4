#include "proxy/metrics/page.hpp"

#include <algorithm>
#include <dirent.h>
#include <fstream>
#include <optional>
#include <prometheus/text_serializer.h>
#include <sstream>
#include <sys/resource.h>
#include <unistd.h>

#include "proxy/metrics/build_info.hpp"

namespace dbproxy::metrics {
namespace {

constexpr std::size_t kMaxLabelName = 64;

prometheus::MetricFamily family(std::string name, std::string help, prometheus::MetricType type, const Series& series) {
  prometheus::MetricFamily out;
  out.name = std::move(name);
  out.help = std::move(help);
  out.type = type;
  for (const auto& [labels, value] : series) {
    auto& metric = out.metric.emplace_back();
    metric.gauge.value = value;
    metric.counter.value = value;
    for (const auto& [label, text] : labels) {
      auto& printed = metric.label.emplace_back();
      printed.name = label;
      printed.value = text;
    }
  }
  return out;
}

prometheus::MetricFamily single(std::string name, std::string help, prometheus::MetricType type, double value) {
  return family(std::move(name), std::move(help), type, {{{}, value}});
}

struct ProcessStat {
  double cpu_ticks = 0, start_ticks = 0, threads = 0, virtual_bytes = 0, resident_pages = 0;
};

// proc(5): the second field is the command in parentheses and may hold anything, so reading starts after the last ')'.
std::optional<ProcessStat> read_stat() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  const std::size_t end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(end_of_name + 1));
  std::string state;
  fields >> state;  // field 3
  ProcessStat stat;
  double value = 0;
  for (int field = 4; field <= 24 && fields >> value; ++field) {
    if (field == 14 || field == 15) stat.cpu_ticks += value;
    if (field == 20) stat.threads = value;
    if (field == 22) stat.start_ticks = value;
    if (field == 23) stat.virtual_bytes = value;
    if (field == 24) stat.resident_pages = value;
  }
  return fields ? std::optional(stat) : std::nullopt;
}

std::optional<double> boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("btime ", 0) == 0) return std::strtod(line.c_str() + 6, nullptr);
  }
  return std::nullopt;
}

std::optional<double> open_descriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return std::nullopt;
  double count = -1;  // the directory's own
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(directory);
  return count;
}

}  // namespace

std::string page(const Registry& registry, std::vector<prometheus::MetricFamily> extra) {
  std::vector<prometheus::MetricFamily> families = registry.Collect();
  for (auto& family : extra) {
    if (!family.metric.empty()) families.push_back(std::move(family));
  }
  return text_of(families);
}

std::string text_of(const std::vector<prometheus::MetricFamily>& families) {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return std::move(out).str();
}

prometheus::MetricFamily gauge_family(std::string name, std::string help, const Series& series) {
  return family(std::move(name), std::move(help), prometheus::MetricType::Gauge, series);
}

prometheus::MetricFamily counter_family(std::string name, std::string help, const Series& series) {
  return family(std::move(name), std::move(help), prometheus::MetricType::Counter, series);
}

Series series_of(const Registry& registry, std::string_view name) {
  Series out;
  for (const auto& each : registry.Collect()) {
    if (each.name != name) continue;
    for (const auto& metric : each.metric) {
      Labels labels;
      for (const auto& label : metric.label) labels.emplace_back(label.name, label.value);
      const double value = each.type == prometheus::MetricType::Histogram ? metric.histogram.sample_sum
                           : each.type == prometheus::MetricType::Counter ? metric.counter.value
                                                                          : metric.gauge.value;
      out.emplace_back(std::move(labels), value);
    }
  }
  return out;
}

std::vector<Buckets> buckets_of(const Registry& registry, std::string_view name) {
  std::vector<Buckets> out;
  for (const auto& each : registry.Collect()) {
    if (each.name != name || each.type != prometheus::MetricType::Histogram) continue;
    for (const auto& metric : each.metric) {
      Buckets& to = out.emplace_back();
      for (const auto& label : metric.label) to.labels.emplace_back(label.name, label.value);
      std::uint64_t below = 0;
      for (const auto& bucket : metric.histogram.bucket) {
        to.counts.push_back(bucket.cumulative_count - below);
        below = bucket.cumulative_count;
      }
      to.counts.push_back(metric.histogram.sample_count - below);
    }
  }
  return out;
}

prometheus::MetricFamily info_family(std::string name, std::string help, const std::vector<Labels>& series) {
  Series ones;
  for (const Labels& labels : series) ones.emplace_back(labels, 1);
  return gauge_family(std::move(name), std::move(help), ones);
}

prometheus::MetricFamily build_info_family() {
  return info_family("dbproxy_build_info", "What was built. Always 1.",
                     {{{"version", std::string(build_version())},
                       {"revision", std::string(build_revision())},
                       {"compiler", std::string(build_compiler())}}});
}

std::vector<prometheus::MetricFamily> process_families() {
  using Type = prometheus::MetricType;
  std::vector<prometheus::MetricFamily> out;
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  if (const auto stat = read_stat()) {
    out.push_back(
        single("process_cpu_seconds_total", "User and system CPU time.", Type::Counter, stat->cpu_ticks / ticks));
    out.push_back(single("process_resident_memory_bytes", "Resident memory.", Type::Gauge,
                         stat->resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE))));
    out.push_back(single("process_virtual_memory_bytes", "Virtual memory.", Type::Gauge, stat->virtual_bytes));
    out.push_back(single("process_threads", "Threads of the process.", Type::Gauge, stat->threads));
    if (const auto boot = boot_time()) {
      out.push_back(single("process_start_time_seconds", "Start of the process since the Unix epoch.", Type::Gauge,
                           *boot + stat->start_ticks / ticks));
    }
  }
  if (const auto open = open_descriptors()) {
    out.push_back(single("process_open_fds", "Open file descriptors.", Type::Gauge, *open));
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    out.push_back(single("process_max_fds", "Most file descriptors that may be open.", Type::Gauge,
                         static_cast<double>(limit.rlim_cur)));
  }
  return out;
}

std::string label_name(std::string_view prefix, std::string_view name) {
  std::string out(prefix);
  out += name;
  out.resize(std::min(out.size(), kMaxLabelName));
  for (char& c : out) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(c >= '0' && c <= '9')) c = '_';
  }
  if (out.empty() || (out[0] >= '0' && out[0] <= '9')) out.insert(out.begin(), '_');
  return out;
}

}  // namespace dbproxy::metrics
