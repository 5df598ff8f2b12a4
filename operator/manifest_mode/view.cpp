#include "operator/manifest_mode/view.hpp"

#include <algorithm>
#include <map>
#include <string>

#include "operator/status/status.hpp"

namespace dbproxy::manifest_mode {
namespace {

using operator_admin::ConditionRow;
using operator_admin::ProxyRow;
using operator_control::SidecarState;

ConditionRow condition(std::string type, bool holds, std::string reason, std::string message) {
  return {std::move(type), holds ? "True" : "False", std::move(reason), std::move(message)};
}

// The object of a diagnostic is "Kind namespace/name".
bool concerns(const manifest::Diagnostic& each, const std::string& key) {
  return each.object == "DBProxy " + key;
}

// What the sidecars of one DBProxy report, together.
struct Fleet {
  operator_admin::SidecarCounts counts;
  std::uint32_t connections = 0, in_use = 0, pinned = 0, clients = 0, waiting = 0;
  std::map<std::string, std::uint32_t> connections_of;  // by target
  std::string rejection;                                // one of them, in the sidecar's own words
  std::string trouble;                                  // likewise: why it lets no client in
};

std::map<std::string, Fleet> by_proxy(const std::vector<operator_control::SidecarRow>& sidecars) {
  std::map<std::string, Fleet> out;
  for (const operator_control::SidecarRow& sidecar : sidecars) {
    Fleet& fleet = out[sidecar.proxy];
    ++fleet.counts.connected;
    if (sidecar.state == SidecarState::kUpdated) ++fleet.counts.updated;
    if (sidecar.state == SidecarState::kRejected) {
      ++fleet.counts.rejected;
      if (fleet.rejection.empty()) fleet.rejection = sidecar.identity + ": " + sidecar.error;
    }
    if (fleet.trouble.empty() && !sidecar.trouble.empty()) fleet.trouble = sidecar.identity + ": " + sidecar.trouble;
    fleet.connections += sidecar.servers;
    fleet.in_use += sidecar.servers_in_use;
    for (const auto& [target, open] : sidecar.servers_of) fleet.connections_of[target] += open;
    fleet.pinned += sidecar.pinned;
    fleet.clients += sidecar.clients;
    fleet.waiting += sidecar.clients_waiting;
  }
  return out;
}

ConditionRow programmed(const ProxyRow& row, const Fleet& fleet) {
  const auto& counts = row.sidecars;
  if (counts.rejected > 0) return condition("Programmed", false, "Rejected", fleet.rejection);
  if (counts.connected == 0) return {"Programmed", "Unknown", "NoSidecar", "no sidecar is connected"};
  const std::string message =
      std::to_string(counts.updated) + " of " + std::to_string(counts.connected) + " sidecars have it";
  return condition("Programmed", counts.updated == counts.connected,
                   counts.updated == counts.connected ? "Updated" : "Pending", message);
}

void add_targets(const config::Snapshot& snapshot, const Fleet& fleet, ProxyRow& row,
                 operator_admin::OperatorView& view) {
  for (const config::Target& target : snapshot.targets) {
    operator_admin::TargetRow to;
    to.proxy = row.name_space + "/" + row.name;
    to.id = target.id;
    to.host = target.host;
    to.port = target.port;
    to.role = config::to_string(target.role);
    to.health = config::to_string(target.health);
    to.reason = config::to_string(target.reason);
    to.max_connections = target.max_connections;
    to.limit = config::connection_limit(target, snapshot.pool);
    const auto open = fleet.connections_of.find(target.id);
    if (open != fleet.connections_of.end()) to.servers = open->second;
    to.lag_seconds = target.lag_seconds;
    row.connections_limit += to.limit;
    ++row.targets;
    if (target.health == config::TargetHealth::kAvailable) {
      ++row.targets_available;
      if (target.role == config::TargetRole::kReadWrite) row.writer = target.id;
    }
    view.targets.push_back(std::move(to));
  }
}

void add_conditions(const config::Snapshot& snapshot, const Fleet& fleet, ProxyRow& row) {
  const bool accepted = row.errors.empty();
  row.conditions.push_back(condition("Accepted", accepted, accepted ? "Accepted" : "Invalid",
                                     accepted ? "the manifest is good"
                                              : "the manifest has errors; version " + std::to_string(row.version) +
                                                    " stays in force: " + row.errors.front()));
  row.conditions.push_back(condition("ResolvedRefs", true, "ResolvedRefs", "all references are resolved"));
  row.conditions.push_back(programmed(row, fleet));
  const bool writable = !row.writer.empty();
  const std::string available =
      std::to_string(row.targets_available) + " of " + std::to_string(snapshot.targets.size()) + " targets available";
  row.conditions.push_back(condition("TargetsAvailable", writable, writable ? "Available" : "NoWriter",
                                     writable ? available : available + ", none of them is the writer"));
  row.ready = writable && row.conditions[2].status != "False";
  row.conditions.push_back(condition("Ready", row.ready, row.ready ? "Ready" : "NotReady",
                                     row.ready ? "clients are served" : "see the conditions that are False"));
  if (!fleet.trouble.empty())
    row.conditions.push_back(condition("Degraded", true, operator_status::kIamAuthImpossible, fleet.trouble));
}

}  // namespace

operator_admin::OperatorView make_view(const source::Snapshots& snapshots,
                                       const std::vector<operator_control::SidecarRow>& sidecars,
                                       const std::vector<manifest::Diagnostic>& diagnostics, WallTime now) {
  operator_admin::OperatorView view;
  for (const manifest::Diagnostic& each : diagnostics) {
    operator_admin::DiagnosticRow& row = view.diagnostics.emplace_back();
    row.file = each.file;
    row.line = static_cast<std::uint32_t>(std::max(each.line, 0));
    row.column = static_cast<std::uint32_t>(std::max(each.column, 0));
    row.object = each.object;
    row.field = each.field;
    row.message = each.value.empty() ? each.rule : each.value + " " + each.rule;
    if (!each.remedy.empty()) row.message += "; " + each.remedy;
    row.warning = each.severity == manifest::Severity::kWarning;
  }
  for (const operator_control::SidecarRow& each : sidecars) {
    operator_admin::SidecarRow& row = view.sidecars.emplace_back();
    row.identity = each.identity;
    row.proxy = each.proxy;
    row.peer = each.peer;
    row.software_version = each.software_version;
    row.version = each.version_in_force;
    row.updated = each.state == SidecarState::kUpdated;
    row.error = each.error;
    row.connected_seconds = std::max(0.0, std::chrono::duration<double>(now - each.connected_since).count());
    row.clients = each.clients;
    row.clients_waiting = each.clients_waiting;
    row.servers = each.servers;
    row.servers_in_use = each.servers_in_use;
    row.pinned = each.pinned;
  }
  static const Fleet kNone;
  const std::map<std::string, Fleet> fleets = by_proxy(sidecars);
  for (const auto& [key, snapshot] : snapshots) {
    ProxyRow row;
    row.name_space = snapshot->name_space;
    row.name = snapshot->name;
    row.engine = config::to_string(snapshot->engine);
    row.version = snapshot->version;
    row.paused = snapshot->maintenance.pause != 0;
    for (const config::Endpoint& endpoint : snapshot->endpoints) {
      row.endpoints.push_back(
          {endpoint.name, "127.0.0.1", endpoint.port, std::string(config::to_string(endpoint.role))});
    }
    for (const manifest::Diagnostic& each : diagnostics) {
      if (each.severity == manifest::Severity::kError && concerns(each, key)) {
        row.errors.push_back(manifest::to_text(each));
      }
    }
    const auto found = fleets.find(key);
    const Fleet& fleet = found == fleets.end() ? kNone : found->second;
    row.sidecars = fleet.counts;
    row.connections = fleet.connections;
    row.connections_in_use = fleet.in_use;
    row.pinned = fleet.pinned;
    row.clients = fleet.clients;
    row.clients_waiting = fleet.waiting;
    add_targets(*snapshot, fleet, row, view);
    add_conditions(*snapshot, fleet, row);
    view.proxies.push_back(std::move(row));
  }
  return view;
}

void add_activity(const std::vector<operator_control::LatencyRow>& latencies,
                  const std::vector<operator_control::PinnedRow>& pins, operator_admin::OperatorView& view) {
  for (const operator_control::LatencyRow& each : latencies) {
    view.latencies.push_back({each.proxy, each.query, each.borrow});
  }
  for (const operator_control::PinnedRow& each : pins) {
    view.pins.push_back(
        {each.proxy, each.reasons, each.statement_digest, each.sessions, each.sidecars, each.pinned_seconds});
  }
}

}  // namespace dbproxy::manifest_mode
