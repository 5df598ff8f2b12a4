#include "proxy/metrics/registry.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sstream>

namespace dbproxy::metrics {
namespace {

constexpr std::uint64_t kFirstBoundNanoseconds = 50'000;

enum class Kind { kCounter, kGauge, kSecondsGauge, kHistogram };

prometheus::MetricType metric_type(Kind kind) {
  switch (kind) {
    case Kind::kCounter:
      return prometheus::MetricType::Counter;
    case Kind::kGauge:
    case Kind::kSecondsGauge:
      return prometheus::MetricType::Gauge;
    case Kind::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

struct Series {
  Cell cell;                             // of a counter or gauge
  std::unique_ptr<Histogram> histogram;  // of a histogram
  bool retired = false;
};

struct Family {
  Kind kind;
  std::string help;
  std::map<Labels, std::unique_ptr<Series>> series;  // labels sorted by name
};

prometheus::ClientMetric::Histogram snapshot_of(const Histogram& histogram) {
  prometheus::ClientMetric::Histogram out;
  // The count is the sum of what was read here, so that it never contradicts the buckets while a writer runs.
  std::uint64_t cumulative = 0;
  for (int i = 0; i < Histogram::kBuckets; ++i) {
    cumulative += histogram.bucket(i);
    prometheus::ClientMetric::Bucket bucket;
    bucket.cumulative_count = cumulative;
    bucket.upper_bound = Histogram::upper_bound(i);
    out.bucket.push_back(bucket);
  }
  out.sample_count = cumulative + histogram.bucket(Histogram::kBuckets);
  out.sample_sum = histogram.sum_seconds();
  return out;
}

prometheus::ClientMetric to_metric(Kind kind, const Labels& labels, const Series& series) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : labels) {
    prometheus::ClientMetric::Label label;
    label.name = name;
    label.value = value;
    metric.label.push_back(std::move(label));
  }
  switch (kind) {
    case Kind::kCounter:
      metric.counter.value = static_cast<double>(series.cell.get());
      break;
    case Kind::kGauge:
      metric.gauge.value = static_cast<double>(series.cell.get());
      break;
    case Kind::kSecondsGauge:
      metric.gauge.value = static_cast<double>(series.cell.get()) * 1e-9;
      break;
    case Kind::kHistogram:
      metric.histogram = snapshot_of(*series.histogram);
      break;
  }
  return metric;
}

}  // namespace

double Histogram::upper_bound(int bucket) {
  return static_cast<double>(kFirstBoundNanoseconds << static_cast<unsigned>(bucket)) * 1e-9;
}

void Histogram::observe(Duration duration) {
  const auto nanoseconds = static_cast<std::uint64_t>(std::max<Duration::rep>(duration.count(), 0));
  // (n − 1) / first is below 2^k exactly when n ≤ first × 2^k: bounds are inclusive, as `le` says.
  const auto index = nanoseconds == 0 ? 0 : std::bit_width((nanoseconds - 1) / kFirstBoundNanoseconds);
  counts_[std::min<std::size_t>(static_cast<std::size_t>(index), kBuckets)].add();
  sum_nanoseconds_.add(nanoseconds);
}

std::uint64_t Histogram::count() const {
  std::uint64_t sum = 0;
  for (const Cell& cell : counts_) sum += cell.get();
  return sum;
}

struct Registry::Impl {
  mutable std::mutex mutex;
  std::map<std::string, Family> families;

  Series& find_or_make(Kind kind, const std::string& name, const std::string& help, Labels labels) {
    std::sort(labels.begin(), labels.end());
    const std::lock_guard lock(mutex);
    auto [family, made] = families.try_emplace(name, Family{kind, help, {}});
    if (!made && family->second.kind != kind) {
      std::fprintf(stderr, "metric %s is registered as two kinds\n", name.c_str());
      std::abort();
    }
    auto& series = family->second.series[std::move(labels)];
    if (!series) {
      series = std::make_unique<Series>();
      if (kind == Kind::kHistogram) series->histogram = std::make_unique<Histogram>();
    }
    series->retired = false;  // what is asked for again is printed again
    return *series;
  }
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {}
Registry::~Registry() = default;

Cell& Registry::counter(const std::string& name, const std::string& help, const Labels& labels) {
  return impl_->find_or_make(Kind::kCounter, name, help, labels).cell;
}

Cell& Registry::gauge(const std::string& name, const std::string& help, const Labels& labels) {
  return impl_->find_or_make(Kind::kGauge, name, help, labels).cell;
}

Cell& Registry::seconds_gauge(const std::string& name, const std::string& help, const Labels& labels) {
  return impl_->find_or_make(Kind::kSecondsGauge, name, help, labels).cell;
}

Histogram& Registry::histogram(const std::string& name, const std::string& help, const Labels& labels) {
  return *impl_->find_or_make(Kind::kHistogram, name, help, labels).histogram;
}

void Registry::retire(const Labels& labels) {
  const std::lock_guard lock(impl_->mutex);
  for (auto& [name, family] : impl_->families) {
    for (auto& [have, series] : family.series) {
      const bool all = std::all_of(labels.begin(), labels.end(), [&have = have](const auto& wanted) {
        return std::find(have.begin(), have.end(), wanted) != have.end();
      });
      if (all) series->retired = true;
    }
  }
}

std::vector<prometheus::MetricFamily> Registry::Collect() const {
  std::vector<prometheus::MetricFamily> out;
  const std::lock_guard lock(impl_->mutex);
  for (const auto& [name, family] : impl_->families) {
    prometheus::MetricFamily printed;
    printed.name = name;
    printed.help = family.help;
    printed.type = metric_type(family.kind);
    for (const auto& [labels, series] : family.series) {
      if (!series->retired) printed.metric.push_back(to_metric(family.kind, labels, *series));
    }
    if (!printed.metric.empty()) out.push_back(std::move(printed));
  }
  return out;
}

std::string Registry::text() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, Collect());
  return std::move(out).str();
}

}  // namespace dbproxy::metrics
