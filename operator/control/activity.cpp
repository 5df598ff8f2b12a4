#include "operator/control/activity.hpp"

#include <algorithm>
#include <chrono>
#include <tuple>

#include "proxy/metrics/registry.hpp"

namespace dbproxy::operator_control {
namespace {

constexpr int kMostKinds = 50;  // of pins, in a report
constexpr int kMostReasons = 16;
constexpr std::size_t kMostReason = 64, kMostDigest = 1024;  // bytes
constexpr std::size_t kMostRows = 200;                       // of one DBProxy that are told
constexpr std::size_t kCounts = metrics::Histogram::kBuckets + 1;

using Counts = google::protobuf::RepeatedField<std::uint64_t>;

// A sidecar of another version may have other buckets: its counts mean nothing here.
void count(const Counts& now, bool first, std::vector<std::uint64_t>& before, std::vector<std::uint64_t>& sum) {
  if (static_cast<std::size_t>(now.size()) != kCounts) return;
  sum.resize(kCounts);
  before.resize(kCounts);
  const bool anew = !std::equal(before.begin(), before.end(), now.begin(), std::less_equal<>());
  for (std::size_t i = 0; i < kCounts; ++i) {
    const std::uint64_t counted = now[static_cast<int>(i)];
    if (!first) sum[i] += anew ? counted : counted - before[i];
    before[i] = counted;
  }
}

v1::PinnedSessions bounded(const v1::PinnedSessions& pin) {
  v1::PinnedSessions out;
  for (const std::string& reason : pin.reasons()) {
    if (out.reasons_size() < kMostReasons) out.add_reasons(reason.substr(0, kMostReason));
  }
  out.set_statement_digest(pin.statement_digest().substr(0, kMostDigest));
  out.set_sessions(pin.sessions());
  out.set_since(pin.since());
  return out;
}

}  // namespace

void Activity::report(const void* stream, const v1::ActivityReport& report) {
  const std::lock_guard lock(mutex_);
  const auto [at, first] = told_[stream].try_emplace(report.proxy());
  Told& told = at->second;
  LatencyRow& sum = sums_[report.proxy()];
  sum.proxy = report.proxy();
  count(report.query_counts(), first, told.query, sum.query);
  count(report.borrow_counts(), first, told.borrow, sum.borrow);
  told.pins.clear();
  for (int i = 0; i < std::min(report.pins_size(), kMostKinds); ++i) told.pins.push_back(bounded(report.pins(i)));
}

void Activity::forget(const void* stream) {
  const std::lock_guard lock(mutex_);
  told_.erase(stream);
}

void Activity::clear() {
  const std::lock_guard lock(mutex_);
  told_.clear();
  sums_.clear();
}

std::vector<LatencyRow> Activity::latencies() const {
  const std::lock_guard lock(mutex_);
  std::vector<LatencyRow> out;
  for (const auto& [proxy, sum] : sums_) {
    if (!sum.query.empty() && !sum.borrow.empty()) out.push_back(sum);
  }
  return out;
}

std::vector<PinnedRow> Activity::pins(WallTime now) const {
  std::map<std::tuple<std::string, std::vector<std::string>, std::string>, PinnedRow> kinds;
  const auto today = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [stream, proxies] : told_) {
      for (const auto& [proxy, told] : proxies) {
        for (const v1::PinnedSessions& pin : told.pins) {
          std::vector<std::string> reasons(pin.reasons().begin(), pin.reasons().end());
          PinnedRow& row = kinds[{proxy, std::move(reasons), pin.statement_digest()}];
          row.sessions += pin.sessions();
          ++row.sidecars;
          row.pinned_seconds = std::max(row.pinned_seconds, static_cast<double>(today - std::min(today, pin.since())));
        }
      }
    }
  }
  std::vector<PinnedRow> out;
  for (auto& [key, row] : kinds) {
    std::tie(row.proxy, row.reasons, row.statement_digest) = key;
    out.push_back(std::move(row));
  }
  std::stable_sort(out.begin(), out.end(), [](const PinnedRow& one, const PinnedRow& other) {
    return std::tuple(one.proxy, other.sessions) < std::tuple(other.proxy, one.sessions);
  });
  std::map<std::string, std::size_t> shown;
  std::erase_if(out, [&](const PinnedRow& row) { return ++shown[row.proxy] > kMostRows; });
  return out;
}

}  // namespace dbproxy::operator_control
