#include "operator/admin/json.hpp"

#include <boost/json.hpp>

#include "proxy/http/text.hpp"

namespace dbproxy::operator_admin {
namespace {

namespace json = boost::json;

json::string text(const std::string& value) {
  return json::string(http::valid_utf8(value));
}

template <class Rows, class Make>
json::array array_of(const Rows& rows, Make make) {
  json::array out;
  out.reserve(rows.size());
  for (const auto& row : rows) out.emplace_back(make(row));
  return out;
}

std::string list(json::array items) {
  json::object out;
  out["source"] = "operator";
  out["items"] = std::move(items);
  return json::serialize(out) + "\n";
}

json::object condition(const ConditionRow& row) {
  json::object out;
  out["type"] = text(row.type);
  out["status"] = text(row.status);
  out["reason"] = text(row.reason);
  out["message"] = text(row.message);
  return out;
}

json::object endpoint(const EndpointRow& row) {
  json::object out;
  out["name"] = text(row.name);
  out["address"] = text(row.address);
  out["port"] = row.port;
  out["targetRole"] = text(row.role);
  return out;
}

json::object proxy(const ProxyRow& row) {
  json::object out;
  out["namespace"] = text(row.name_space);
  out["name"] = text(row.name);
  out["engine"] = text(row.engine);
  out["ready"] = row.ready;
  out["version"] = row.version;
  json::object targets;
  targets["available"] = row.targets_available;
  targets["total"] = row.targets;
  targets["writer"] = text(row.writer);
  out["targets"] = std::move(targets);
  json::object sidecars;
  sidecars["connected"] = row.sidecars.connected;
  sidecars["updated"] = row.sidecars.updated;
  sidecars["rejected"] = row.sidecars.rejected;
  out["sidecars"] = std::move(sidecars);
  json::object connections;
  connections["open"] = row.connections;
  connections["limit"] = row.connections_limit;
  out["connections"] = std::move(connections);
  out["conditions"] = array_of(row.conditions, condition);
  out["endpoints"] = array_of(row.endpoints, endpoint);
  out["errors"] = array_of(row.errors, text);
  return out;
}

json::object target(const TargetRow& row) {
  json::object out;
  out["proxy"] = text(row.proxy);
  out["id"] = text(row.id);
  out["host"] = text(row.host);
  out["port"] = row.port;
  out["role"] = text(row.role);
  out["health"] = text(row.health);
  out["reason"] = text(row.reason);
  out["maxConnections"] = row.max_connections;
  out["limit"] = row.limit;
  out["servers"] = row.servers;
  out["lagSeconds"] = row.lag_seconds;
  return out;
}

json::object sidecar(const SidecarRow& row) {
  json::object out;
  out["identity"] = text(row.identity);
  out["proxy"] = text(row.proxy);
  out["peer"] = text(row.peer);
  out["softwareVersion"] = text(row.software_version);
  out["connected"] = row.connected;
  out["version"] = row.version;
  out["updated"] = row.updated;
  out["error"] = text(row.error);
  out["connectedSeconds"] = row.connected_seconds;
  out["clients"] = row.clients;
  out["clientsWaiting"] = row.clients_waiting;
  out["servers"] = row.servers;
  out["serversInUse"] = row.servers_in_use;
  out["pinned"] = row.pinned;
  return out;
}

json::object diagnostic(const DiagnosticRow& row) {
  json::object out;
  out["file"] = text(row.file);
  out["line"] = row.line;
  out["column"] = row.column;
  out["object"] = text(row.object);
  out["field"] = text(row.field);
  out["message"] = text(row.message);
  out["severity"] = row.warning ? "warning" : "error";
  return out;
}

}  // namespace

std::string proxies_json(const OperatorView& view) {
  return list(array_of(view.proxies, proxy));
}
std::string targets_json(const OperatorView& view) {
  return list(array_of(view.targets, target));
}
std::string sidecars_json(const OperatorView& view) {
  return list(array_of(view.sidecars, sidecar));
}
std::string diagnostics_json(const OperatorView& view) {
  return list(array_of(view.diagnostics, diagnostic));
}

}  // namespace dbproxy::operator_admin
