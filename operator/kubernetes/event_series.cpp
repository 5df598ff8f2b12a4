#include "operator/kubernetes/event_series.hpp"

#include <algorithm>

namespace dbproxy::kubernetes {
namespace {

constexpr std::chrono::minutes kSeries{6};
constexpr std::chrono::seconds kWriteEvery{60};
constexpr double kBurst = 25;
constexpr double kPerSecond = 1.0 / 300;
constexpr std::size_t kMost = 4096;

}  // namespace

EventSeries::Verdict EventSeries::seen(const std::string& what, const std::string& object, TimePoint now) {
  if (const auto found = entries_.find(what); found != entries_.end() && now - found->second.last_seen < kSeries) {
    Entry& entry = found->second;
    ++entry.count;
    entry.last_seen = now;
    if (entry.name.empty()) return {Verdict::Kind::kWithhold, "", entry.count};
    if (entry.count > 2 && now - entry.last_written < kWriteEvery)
      return {Verdict::Kind::kWait, entry.name, entry.count};
    entry.last_written = now;
    return {Verdict::Kind::kUpdate, entry.name, entry.count};
  }
  bound(now);
  const auto [bucket, fresh] = buckets_.emplace(object, Bucket{kBurst, now});
  Bucket& has = bucket->second;
  has.tokens = std::min(kBurst, has.tokens + std::chrono::duration<double>(now - has.last).count() * kPerSecond);
  has.last = now;
  if (has.tokens < 1) return {};
  has.tokens -= 1;
  entries_[what] = {"", 1, now, now};
  return {Verdict::Kind::kCreate, "", 1};
}

void EventSeries::created(const std::string& what, const std::string& name) {
  if (const auto found = entries_.find(what); found != entries_.end()) found->second.name = name;
}

void EventSeries::forget(const std::string& what) {
  entries_.erase(what);
}

void EventSeries::bound(TimePoint now) {
  if (entries_.size() >= kMost) {
    std::erase_if(entries_, [&](const auto& each) { return now - each.second.last_seen >= kSeries; });
    if (entries_.size() >= kMost) entries_.clear();  // some will be told twice
  }
  if (buckets_.size() >= kMost) {
    // A bucket that is full again says nothing.
    std::erase_if(buckets_, [&](const auto& each) {
      return each.second.tokens + std::chrono::duration<double>(now - each.second.last).count() * kPerSecond >= kBurst;
    });
    if (buckets_.size() >= kMost) buckets_.clear();
  }
}

}  // namespace dbproxy::kubernetes
