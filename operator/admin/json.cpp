#include "operator/admin/json.hpp"

#include <boost/json.hpp>

#include "proxy/http/json_rows.hpp"

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
  connections["limit"] = row.connections_limit;
  out["connections"] = std::move(connections);
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

}  // namespace

std::string proxies_json(const OperatorView& view) {
  return http::json_page("operator", view.proxies, proxy);
}
std::string targets_json(const OperatorView& view) {
  return http::json_page("operator", view.targets, http::json_target<TargetRow>);
}
std::string sidecars_json(const OperatorView& view) {
  return http::json_page("operator", view.sidecars, sidecar);
}
std::string diagnostics_json(const OperatorView& view) {
  return http::json_page("operator", view.diagnostics, diagnostic);
}

}  // namespace dbproxy::operator_admin
