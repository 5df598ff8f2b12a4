#include <boost/json.hpp>
#include <map>

#include "proxy/admin/json.hpp"
#include "proxy/http/json_rows.hpp"
#include "proxy/metrics/page.hpp"

namespace dbproxy::admin {
namespace {

namespace json = boost::json;

void add(const metrics::Registry& registry, const char* metric, const char* name,
         std::map<std::string, json::object>& rows) {
  for (const metrics::Buckets& each : metrics::buckets_of(registry, metric)) {
    for (const auto& [label, value] : each.labels) {
      if (label == "proxy") rows[value][name] = json::array(each.counts.begin(), each.counts.end());
    }
  }
}

}  // namespace

std::string latency_json(const metrics::Registry& registry) {
  std::map<std::string, json::object> rows;
  add(registry, "dbproxy_query_seconds", "query", rows);
  add(registry, "dbproxy_borrow_seconds", "borrow", rows);
  json::array items;
  for (auto& [proxy, row] : rows) {
    row["proxy"] = http::json_text(proxy);
    items.emplace_back(std::move(row));
  }
  return json::serialize(http::json_latencies<metrics::Histogram>("sidecar", std::move(items))) + "\n";
}

}  // namespace dbproxy::admin
