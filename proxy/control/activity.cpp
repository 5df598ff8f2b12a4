#include "proxy/control/activity.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <tuple>

#include "proxy/metrics/page.hpp"

namespace dbproxy::control {
namespace {

using Reports = std::map<std::string, v1::ActivityReport>;  // by DBProxy
using Counts = google::protobuf::RepeatedField<std::uint64_t>;

void add_counts(const metrics::Registry& registry, const char* metric, Counts* (v1::ActivityReport::*to)(),
                Reports& reports) {
  for (const metrics::Buckets& each : metrics::buckets_of(registry, metric)) {
    for (const auto& [label, value] : each.labels) {
      if (label == "proxy") (reports[value].*to)()->Add(each.counts.begin(), each.counts.end());
    }
  }
}

// What happened `seconds` ago; rounded, so that the same is told of it each time.
std::int64_t began(WallTime now, double seconds) {
  const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::duration<double>(seconds));
  return std::chrono::round<std::chrono::seconds>(now - age).time_since_epoch().count();
}

}  // namespace

std::vector<v1::ActivityReport> activity_of(const metrics::Registry& registry, const std::vector<worker::PinRow>& pins,
                                            WallTime now) {
  Reports reports;
  add_counts(registry, "dbproxy_query_seconds", &v1::ActivityReport::mutable_query_counts, reports);
  add_counts(registry, "dbproxy_borrow_seconds", &v1::ActivityReport::mutable_borrow_counts, reports);

  std::map<std::tuple<std::string, std::vector<std::string>, std::string>, v1::PinnedSessions> kinds;
  for (const worker::PinRow& pin : pins) {
    v1::PinnedSessions& kind = kinds[{pin.proxy, pin.reasons, pin.statement_digest}];
    const std::int64_t since = began(now, pin.pinned_seconds);
    kind.set_since(kind.sessions() == 0 ? since : std::min(kind.since(), since));
    kind.set_sessions(kind.sessions() + 1);
  }
  std::map<std::string, std::vector<v1::PinnedSessions>> by_proxy;
  for (auto& [key, kind] : kinds) {
    const auto& [proxy, reasons, digest] = key;
    for (const std::string& reason : reasons) kind.add_reasons(reason);
    kind.set_statement_digest(digest);
    by_proxy[proxy].push_back(std::move(kind));
  }
  for (auto& [proxy, all] : by_proxy) {
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& one, const auto& other) { return one.sessions() > other.sessions(); });
    if (all.size() > kMostPins) all.resize(kMostPins);
    for (v1::PinnedSessions& kind : all) *reports[proxy].add_pins() = std::move(kind);
  }

  std::vector<v1::ActivityReport> out;
  for (auto& [proxy, report] : reports) {
    report.set_proxy(proxy);
    out.push_back(std::move(report));
  }
  return out;
}

}  // namespace dbproxy::control
