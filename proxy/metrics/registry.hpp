// Counters, gauges and histograms that cost the hot path one relaxed store: no lock, no allocation.
//
// A cell has one writer thread; any thread may read it. Cells are made at set-up time (make_* locks and allocates) and
// live as long as the registry, so references stay good; a series that is no longer wanted is dropped by `retire`.
// The registry is a prometheus::Collectable, so prometheus-cpp's own serialiser prints it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <prometheus/collectable.h>
#include <string>
#include <utility>
#include <vector>

#include "proxy/base/clock.hpp"

namespace dbproxy::metrics {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Cell {
 public:
  void add(std::uint64_t by = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  void sub(std::uint64_t by = 1) {
    value_.store(value_.load(std::memory_order_relaxed) - by, std::memory_order_relaxed);
  }
  void set(std::uint64_t to) { value_.store(to, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Durations in seconds, in buckets that double from 50 µs to about 105 s (22 of them and +Inf).
class Histogram {
 public:
  static constexpr int kBuckets = 22;
  static double upper_bound(int bucket);  // seconds
  void observe(Duration duration);
  std::uint64_t bucket(int index) const { return counts_[static_cast<std::size_t>(index)].get(); }  // kBuckets is +Inf
  std::uint64_t count() const;
  double sum_seconds() const { return static_cast<double>(sum_nanoseconds_.get()) * 1e-9; }

 private:
  Cell counts_[kBuckets + 1];
  Cell sum_nanoseconds_;
};

class Registry final : public prometheus::Collectable {
 public:
  Registry();
  ~Registry() override;

  // The same name and labels give the same cell. Names carry the unit and, for counters, `_total`. Thread-safe.
  Cell& counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Cell& gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram& histogram(const std::string& name, const std::string& help, const Labels& labels = {});
  // A gauge in seconds: the cell holds nanoseconds and is printed divided by 1e9.
  Cell& seconds_gauge(const std::string& name, const std::string& help, const Labels& labels = {});

  // No longer printed; the cell itself stays valid. Every series that has all of these labels.
  void retire(const Labels& labels);

  std::vector<prometheus::MetricFamily> Collect() const override;
  // The whole page in Prometheus' text format, version 0.0.4.
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::metrics
