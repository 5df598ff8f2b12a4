#include "proxy/admin/json.hpp"

#include <algorithm>
#include <boost/json.hpp>

#include "proxy/http/text.hpp"
#include "proxy/metrics/build_info.hpp"

namespace dbproxy::admin {
namespace {

namespace json = boost::json;

json::string text(const std::string& value) {
  return json::string(http::valid_utf8(value));
}

template <class Rows, class Make>
std::string list(const Rows& rows, Make make) {
  json::array items;
  items.reserve(std::min(rows.size(), kMaxItems));
  for (const auto& row : rows) {
    if (items.size() == kMaxItems) break;
    items.emplace_back(make(row));
  }
  json::object out;
  out["source"] = "sidecar";
  if (rows.size() > kMaxItems) out["truncated"] = true;
  out["items"] = std::move(items);
  return json::serialize(out) + "\n";
}

json::array endpoints(const worker::ProxyRow& row) {
  json::array out;
  for (const config::Endpoint& endpoint : row.endpoints) {
    json::object printed;
    printed["name"] = text(endpoint.name);
    printed["address"] = "127.0.0.1";
    printed["port"] = endpoint.port;
    printed["targetRole"] = json::string(config::to_string(endpoint.role));
    out.emplace_back(std::move(printed));
  }
  return out;
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
  json::object out;
  out["available"] = available;
  out["total"] = total;
  out["writer"] = text(writer);
  return out;
}

json::object proxy(const worker::ProxyRow& row, const std::vector<worker::TargetRow>& targets,
                   const Snapshots& snapshots, const SidecarState& state) {
  json::object out;
  const std::size_t slash = row.proxy.find('/');
  out["namespace"] = slash == std::string::npos ? json::string() : text(row.proxy.substr(0, slash));
  out["name"] = text(slash == std::string::npos ? row.proxy : row.proxy.substr(slash + 1));
  const auto snapshot = snapshots.find(row.proxy);
  out["engine"] = snapshot == snapshots.end() ? json::string() : json::string(to_string(snapshot->second->engine));
  out["ready"] = state.configured && !row.draining;
  out["draining"] = row.draining;
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
  out["endpoints"] = endpoints(row);
  json::object tags;
  if (snapshot != snapshots.end()) {
    for (const auto& [name, value] : snapshot->second->tags) tags[http::valid_utf8(name)] = text(value);
  }
  out["tags"] = std::move(tags);
  return out;
}

}  // namespace

std::string proxies_json(const std::vector<worker::ProxyRow>& rows, const std::vector<worker::TargetRow>& targets,
                         const Snapshots& snapshots, const SidecarState& state) {
  return list(rows, [&](const worker::ProxyRow& row) { return proxy(row, targets, snapshots, state); });
}

std::string targets_json(const std::vector<worker::TargetRow>& rows) {
  return list(rows, [](const worker::TargetRow& row) {
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
    out["serversInUse"] = row.servers_in_use;
    out["lagSeconds"] = row.lag_seconds;
    return out;
  });
}

std::string pools_json(const std::vector<worker::PoolRow>& rows) {
  return list(rows, [](const worker::PoolRow& row) {
    json::object out;
    out["proxy"] = text(row.proxy);
    out["target"] = text(row.target);
    out["role"] = text(row.role);
    out["user"] = text(row.user);
    out["database"] = text(row.database);
    out["clientsActive"] = row.clients_active;
    out["clientsWaiting"] = row.clients_waiting;
    out["serversIdle"] = row.servers_idle;
    out["serversActive"] = row.servers_active;
    out["serversPinned"] = row.servers_pinned;
    out["serversConnecting"] = row.servers_connecting;
    out["longestWaitSeconds"] = row.longest_wait_seconds;
    return out;
  });
}

std::string pins_json(const std::vector<worker::PinRow>& rows) {
  return list(rows, [](const worker::PinRow& row) {
    json::object out;
    out["proxy"] = text(row.proxy);
    out["endpoint"] = text(row.endpoint);
    out["client"] = text(row.client);
    out["user"] = text(row.user);
    out["database"] = text(row.database);
    out["target"] = text(row.target);
    out["applicationName"] = text(row.application_name);
    json::array reasons;
    for (const std::string& reason : row.reasons) reasons.emplace_back(text(reason));
    out["reasons"] = std::move(reasons);
    out["statementDigest"] = text(row.statement_digest);
    out["pinnedSeconds"] = row.pinned_seconds;
    return out;
  });
}

std::string sidecars_json(const std::vector<worker::ProxyRow>& rows, const SidecarState& state) {
  return list(rows, [&](const worker::ProxyRow& row) {
    json::object out;
    out["identity"] = text(state.identity);
    out["proxy"] = text(row.proxy);
    out["peer"] = "";
    out["softwareVersion"] = json::string(metrics::build_version());
    out["connected"] = state.connected;
    out["version"] = row.version;
    out["updated"] = true;
    out["error"] = "";
    out["clients"] = row.clients;
    out["clientsWaiting"] = row.clients_waiting;
    out["servers"] = row.servers;
    out["serversInUse"] = row.servers_in_use;
    out["pinned"] = row.pinned;
    return out;
  });
}

}  // namespace dbproxy::admin
