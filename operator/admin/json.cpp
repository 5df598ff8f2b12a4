#include "operator/admin/json.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <set>
#include <tuple>

#include "proxy/http/json_rows.hpp"
#include "proxy/metrics/registry.hpp"

namespace dbproxy::operator_admin {
namespace {

namespace json = boost::json;
using http::json_array;
using http::json_text;

json::object condition(const ConditionRow& row) {
  json::object out;
  out["type"] = json_text(row.type);
  out["status"] = json_text(row.status);
  out["reason"] = json_text(row.reason);
  out["message"] = json_text(row.message);
  return out;
}

json::object endpoint(const EndpointRow& row) {
  return http::json_endpoint(row.name, row.address, row.port, row.role);
}

json::object proxy(const ProxyRow& row) {
  json::object out;
  out["namespace"] = json_text(row.name_space);
  out["name"] = json_text(row.name);
  out["engine"] = json_text(row.engine);
  out["ready"] = row.ready;
  out["paused"] = row.paused;
  out["version"] = row.version;
  out["targets"] = http::json_targets_summary(row.targets_available, row.targets, row.writer);
  json::object sidecars;
  sidecars["connected"] = row.sidecars.connected;
  sidecars["updated"] = row.sidecars.updated;
  sidecars["rejected"] = row.sidecars.rejected;
  out["sidecars"] = std::move(sidecars);
  json::object connections;
  connections["open"] = row.connections;
  connections["inUse"] = row.connections_in_use;
  connections["pinned"] = row.pinned;
  connections["limit"] = row.connections_limit;
  connections["granted"] = row.connections_granted;
  if (row.connections_foreign) connections["foreign"] = *row.connections_foreign;
  connections["exhaustedSeconds"] = row.exhausted_seconds;
  out["connections"] = std::move(connections);
  json::object clients;
  clients["connected"] = row.clients;
  clients["waiting"] = row.clients_waiting;
  out["clients"] = std::move(clients);
  out["conditions"] = json_array(row.conditions, condition);
  out["endpoints"] = json_array(row.endpoints, endpoint);
  out["errors"] = json_array(row.errors, json_text);
  return out;
}

json::object sidecar(const SidecarRow& row) {
  json::object out;
  out["identity"] = json_text(row.identity);
  out["proxy"] = json_text(row.proxy);
  out["peer"] = json_text(row.peer);
  out["softwareVersion"] = json_text(row.software_version);
  out["connected"] = row.connected;
  out["version"] = row.version;
  out["updated"] = row.updated;
  out["error"] = json_text(row.error);
  out["connectedSeconds"] = row.connected_seconds;
  http::add_json_use(out, row);
  out["granted"] = row.granted;
  out["asked"] = row.asked;
  return out;
}

json::object target(const TargetRow& row) {
  json::object out = http::json_target(row);
  out["granted"] = row.granted;
  out["asked"] = row.asked;
  out["unknown"] = row.unknown;
  return out;
}

json::object diagnostic(const DiagnosticRow& row) {
  json::object out;
  out["file"] = json_text(row.file);
  out["line"] = row.line;
  out["column"] = row.column;
  out["object"] = json_text(row.object);
  out["field"] = json_text(row.field);
  out["message"] = json_text(row.message);
  out["severity"] = row.warning ? "warning" : "error";
  return out;
}

json::object event(const EventRow& row) {
  json::object out;
  out["ageSeconds"] = row.age_seconds;
  out["about"] = json_text(row.about);
  out["reason"] = json_text(row.reason);
  out["message"] = json_text(row.message);
  out["severity"] = row.warning ? "warning" : "normal";
  out["count"] = row.count;
  return out;
}

json::object pin(const PinRow& row) {
  json::object out;
  out["proxy"] = json_text(row.proxy);
  out["reasons"] = json_array(row.reasons, json_text);
  out["statementDigest"] = json_text(row.statement_digest);
  out["sessions"] = row.sessions;
  out["sidecars"] = row.sidecars;
  out["pinnedSeconds"] = row.pinned_seconds;
  return out;
}

// The first rows in the order of `key`, which is smaller the more a row wants to be looked at.
template <class Row, class Key>
std::vector<const Row*> first(const std::vector<Row>& rows, std::size_t most, Key key) {
  std::vector<std::pair<decltype(key(rows.front())), const Row*>> order;
  order.reserve(rows.size());
  for (const Row& row : rows) order.emplace_back(key(row), &row);
  const std::size_t shown = std::min(most, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown), order.end());
  std::vector<const Row*> out;
  for (std::size_t i = 0; i < shown; ++i) out.push_back(order[i].second);
  return out;
}

template <class Row, class Make>
std::string part(const std::vector<const Row*>& shown, std::size_t total, Make make) {
  json::object out;
  out["source"] = "operator";
  out["total"] = total;
  out["items"] = json_array(shown, [&](const Row* row) { return make(*row); });
  return json::serialize(out);
}

// And how many there are.
template <class Row, class Key, class Make>
std::string most_wanted(const std::vector<Row>& rows, std::size_t most, Key key, Make make) {
  return part(first(rows, most, key), rows.size(), make);
}

template <class Wanted>
json::object latencies(const std::vector<LatencyRow>& rows, Wanted wanted) {
  json::array items;
  for (const LatencyRow& row : rows) {
    if (!wanted(row.proxy)) continue;
    json::object item;
    item["proxy"] = json_text(row.proxy);
    item["query"] = json::array(row.query.begin(), row.query.end());
    item["borrow"] = json::array(row.borrow.begin(), row.borrow.end());
    items.emplace_back(std::move(item));
  }
  return http::json_latencies<metrics::Histogram>("operator", std::move(items));
}

}  // namespace

live::Parts live_parts(const OperatorView& view) {
  live::Parts parts;
  const auto proxies = first(view.proxies, kShownProxies, [](const ProxyRow& row) {
    return std::tuple(row.ready && row.errors.empty(), -std::int64_t{row.clients_waiting}, row.name_space, row.name);
  });
  std::set<std::string> shown;
  for (const ProxyRow* row : proxies) shown.insert(row->name_space + "/" + row->name);
  parts.emplace_back("dbproxies", part(proxies, view.proxies.size(), proxy));
  parts.emplace_back("latency", json::serialize(latencies(
                                    view.latencies, [&](const std::string& name) { return shown.contains(name); })));
  parts.emplace_back("pins",
                     most_wanted(
                         view.pins, kShownPins,
                         [](const PinRow& row) { return std::tuple(-std::int64_t{row.sessions}, row.proxy); }, pin));
  parts.emplace_back(
      "targets",
      most_wanted(
          view.targets, kShownTargets,
          [](const TargetRow& row) { return std::tuple(row.health == "AVAILABLE", row.proxy, row.id); }, target));
  parts.emplace_back("sidecars", most_wanted(
                                     view.sidecars, kShownSidecars,
                                     [](const SidecarRow& row) {
                                       return std::tuple(row.error.empty(), row.updated,
                                                         -std::int64_t{row.clients_waiting}, -std::int64_t{row.pinned},
                                                         row.identity, row.proxy);
                                     },
                                     sidecar));
  parts.emplace_back(
      "diagnostics",
      most_wanted(
          view.diagnostics, kShownDiagnostics,
          [](const DiagnosticRow& row) { return std::tuple(row.warning, row.file, row.line); }, diagnostic));
  parts.emplace_back("events", events_json(view));
  parts.emplace_back("notice", json::serialize(json::value(json_text(view.notice))));
  return parts;
}

std::string pins_json(const OperatorView& view) {
  return http::json_page("operator", view.pins, pin);
}

std::string latency_json(const OperatorView& view) {
  return json::serialize(latencies(view.latencies, [](const std::string&) { return true; })) + "\n";
}

std::string events_json(const OperatorView& view) {
  return http::json_page("operator", view.events, event);
}

std::string proxies_json(const OperatorView& view) {
  return http::json_page("operator", view.proxies, proxy);
}
std::string targets_json(const OperatorView& view) {
  return http::json_page("operator", view.targets, target);
}
std::string sidecars_json(const OperatorView& view) {
  return http::json_page("operator", view.sidecars, sidecar);
}
std::string diagnostics_json(const OperatorView& view) {
  return http::json_page("operator", view.diagnostics, diagnostic);
}

}  // namespace dbproxy::operator_admin
