#include "proxy/admin/json.hpp"

#include <boost/json.hpp>

#include "proxy/http/json_rows.hpp"
#include "proxy/metrics/build_info.hpp"

namespace dbproxy::admin {
namespace {

namespace json = boost::json;
using http::json_text;

template <class Rows, class Make>
std::string list(const Rows& rows, Make make) {
  return http::json_page("sidecar", rows, make, kMaxItems);
}

json::object endpoint(const config::Endpoint& row) {
  return http::json_endpoint(row.name, "127.0.0.1", row.port, config::to_string(row.role));
}

json::object targets_summary(const std::string& proxy, const std::vector<worker::TargetRow>& targets,
                             std::uint64_t& limit) {
  std::uint64_t total = 0, available = 0;
  std::string writer;
  for (const worker::TargetRow& target : targets) {
    if (target.proxy != proxy) continue;
    ++total;
    limit += target.limit;
    if (target.health == "AVAILABLE") ++available;
    if (target.role == "READ_WRITE") writer = target.id;
  }
  return http::json_targets_summary(available, total, writer);
}

json::object proxy(const worker::ProxyRow& row, const std::vector<worker::TargetRow>& targets,
                   const Snapshots& snapshots, const SidecarState& state) {
  json::object out;
  const std::size_t slash = row.proxy.find('/');
  out["namespace"] = slash == std::string::npos ? json::string() : json_text(row.proxy.substr(0, slash));
  out["name"] = json_text(slash == std::string::npos ? row.proxy : row.proxy.substr(slash + 1));
  const auto snapshot = snapshots.find(row.proxy);
  out["engine"] = snapshot == snapshots.end() ? json::string() : json::string(to_string(snapshot->second->engine));
  out["ready"] = state.configured && !row.draining;
  out["draining"] = row.draining;
  out["paused"] = row.paused;
  out["version"] = row.version;
  std::uint64_t limit = 0;
  out["targets"] = targets_summary(row.proxy, targets, limit);
  json::object connections;
  connections["open"] = row.servers;
  connections["inUse"] = row.servers_in_use;
  connections["pinned"] = row.pinned;
  connections["limit"] = limit;
  out["connections"] = std::move(connections);
  json::object clients;
  clients["connected"] = row.clients;
  clients["active"] = row.clients_active;
  clients["waiting"] = row.clients_waiting;
  out["clients"] = std::move(clients);
  out["endpoints"] = http::json_array(row.endpoints, endpoint);
  json::object tags;
  if (snapshot != snapshots.end()) {
    for (const auto& [name, value] : snapshot->second->tags) tags[http::valid_utf8(name)] = json_text(value);
  }
  out["tags"] = std::move(tags);
  if (!row.trouble.empty()) out["trouble"] = json_text(row.trouble);
  return out;
}

}  // namespace

std::string proxies_json(const std::vector<worker::ProxyRow>& rows, const std::vector<worker::TargetRow>& targets,
                         const Snapshots& snapshots, const SidecarState& state) {
  return list(rows, [&](const worker::ProxyRow& row) { return proxy(row, targets, snapshots, state); });
}

std::string targets_json(const std::vector<worker::TargetRow>& rows) {
  return list(rows, [](const worker::TargetRow& row) {
    auto out = http::json_target(row);
    out["serversInUse"] = row.servers_in_use;
    return out;
  });
}

std::string pools_json(const std::vector<worker::PoolRow>& rows) {
  return list(rows, [](const worker::PoolRow& row) {
    json::object out;
    out["proxy"] = json_text(row.proxy);
    out["target"] = json_text(row.target);
    out["role"] = json_text(row.role);
    out["user"] = json_text(row.user);
    out["database"] = json_text(row.database);
    out["clientsActive"] = row.clients_active;
    out["clientsWaiting"] = row.clients_waiting;
    out["serversIdle"] = row.servers_idle;
    out["serversActive"] = row.servers_active;
    out["serversPinned"] = row.servers_pinned;
    out["serversConnecting"] = row.servers_connecting;
    out["longestWaitSeconds"] = row.longest_wait_seconds;
    out["paused"] = row.paused;
    return out;
  });
}

std::string pins_json(const std::vector<worker::PinRow>& rows) {
  return list(rows, [](const worker::PinRow& row) {
    json::object out;
    out["proxy"] = json_text(row.proxy);
    out["endpoint"] = json_text(row.endpoint);
    out["client"] = json_text(row.client);
    out["user"] = json_text(row.user);
    out["database"] = json_text(row.database);
    out["target"] = json_text(row.target);
    out["applicationName"] = json_text(row.application_name);
    json::array reasons;
    for (const std::string& reason : row.reasons) reasons.emplace_back(json_text(reason));
    out["reasons"] = std::move(reasons);
    out["statementDigest"] = json_text(row.statement_digest);
    out["pinnedSeconds"] = row.pinned_seconds;
    return out;
  });
}

std::string sidecars_json(const std::vector<worker::ProxyRow>& rows, const SidecarState& state) {
  return list(rows, [&](const worker::ProxyRow& row) {
    json::object out;
    out["identity"] = json_text(state.identity);
    out["proxy"] = json_text(row.proxy);
    out["peer"] = "";
    out["softwareVersion"] = json::string(metrics::build_version());
    out["connected"] = state.connected;
    out["version"] = row.version;
    out["updated"] = true;
    out["error"] = "";
    http::add_json_use(out, row);
    return out;
  });
}

}  // namespace dbproxy::admin
