// OperatorView: what the operator shows of itself, as plain rows.
//
// operator/main.cpp fills it from the reconciler and the control server each time a page is asked for; the HTTP pages
// and so dbproxyctl are made of nothing else. Names are spelled as the API spells them ("POSTGRESQL", "READ_WRITE").
// No field ever holds a secret. Plain data: copyable, no behaviour.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dbproxy::operator_admin {

// As Kubernetes' conditions. `status` is "True", "False" or "Unknown".
struct ConditionRow {
  std::string type;  // Accepted, ResolvedRefs, Programmed, TargetsAvailable, Ready
  std::string status;
  std::string reason;   // CamelCase, one word
  std::string message;  // for people: what is wrong and what to do
};

struct EndpointRow {
  std::string name;
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  std::string role;  // READ_WRITE | READ_ONLY
};

struct TargetRow {
  std::string proxy;  // namespace/name
  std::string id, host, role, health, reason;
  std::uint16_t port = 0;
  std::uint32_t max_connections = 0;  // 0: not known
  std::uint32_t limit = 0;            // what maxConnectionsPercent leaves of it
  std::uint32_t servers = 0;          // open connections, as all sidecars report
  // Of the connection budget, all sidecars together: what they may have, what they have or wait for, and of the former
  // what is held by those that are not heard of. 0 where nothing is leased.
  std::uint32_t granted = 0, asked = 0, unknown = 0;
  double lag_seconds = 0;
};

// One per sidecar and DBProxy that it is bound to.
struct SidecarRow {
  std::string identity;  // namespace/pod, or the name given with --identity
  std::string proxy;     // namespace/name
  std::string peer;      // address it connects from
  std::string software_version;
  bool connected = true;
  std::uint64_t version = 0;  // of the configuration in force there
  bool updated = false;       // runs the newest version
  std::string error;          // the sidecar's own words of the last NACK; empty: none
  double connected_seconds = 0;
  std::uint32_t clients = 0, clients_waiting = 0, servers = 0, servers_in_use = 0, pinned = 0;
  std::uint32_t granted = 0, asked = 0;  // of the connection budget, at all targets together
};

// Of all sidecars of a DBProxy, by the buckets of metrics::Histogram: operator/control/rows.hpp has what they mean.
struct LatencyRow {
  std::string proxy;
  std::vector<std::uint64_t> query, borrow;
};

struct PinRow {
  std::string proxy;
  std::vector<std::string> reasons;
  std::string statement_digest;
  std::uint32_t sessions = 0, sidecars = 0;
  double pinned_seconds = 0;  // the longest
};

struct SidecarCounts {
  std::uint32_t connected = 0, updated = 0, rejected = 0;
};

// Something that happened, as Kubernetes' Events tell it.
struct EventRow {
  double age_seconds = 0;  // since it happened last
  std::string about;       // kind namespace/name, or namespace/name of a DBProxy
  std::string reason;      // CamelCase, one word
  std::string message;     // a sentence
  bool warning = false;
  std::uint32_t count = 1;
};

// One defect of a manifest file that is broken now.
struct DiagnosticRow {
  std::string file;
  std::uint32_t line = 0, column = 0;  // 1-based; 0: not known
  std::string object;                  // kind namespace/name, where that much could be read
  std::string field;                   // path such as spec.targetGroups[0].connectionPool.maxConnectionsPercent
  std::string message;                 // value, rule and remedy
  bool warning = false;                // true: the file is in force all the same
};

struct ProxyRow {
  std::string name_space, name;
  std::string engine;  // POSTGRESQL | MYSQL
  bool ready = false;
  bool paused = false;
  std::uint64_t version = 0;  // of the newest snapshot; 0: none yet
  std::vector<ConditionRow> conditions;
  std::vector<EndpointRow> endpoints;
  std::vector<std::string> errors;  // of its manifests while an older, good version stays in force
  SidecarCounts sidecars;
  std::uint32_t targets = 0, targets_available = 0;
  std::string writer;             // id of the target that is the writer; empty: none
  std::uint32_t connections = 0;  // open server connections, as all sidecars report
  std::uint32_t connections_in_use = 0, pinned = 0, clients = 0, clients_waiting = 0;  // likewise
  std::uint32_t connections_granted = 0;                  // of the connection budget; 0 where nothing is leased
  std::optional<std::uint32_t> connections_foreign = {};  // sessions of its users that are no sidecar's; not known
  double exhausted_seconds = 0;                           // for so long all of it was in use, and somebody waited
  std::uint32_t connections_limit = 0;                    // of all targets; 0: not known
};

struct OperatorView {
  bool ready = false;  // manifests were read once and the control server listens
  std::vector<ProxyRow> proxies;
  std::vector<TargetRow> targets;
  std::vector<SidecarRow> sidecars;
  std::vector<LatencyRow> latencies;
  std::vector<PinRow> pins;
  std::vector<DiagnosticRow> diagnostics;
  std::vector<EventRow> events;  // the last ones, newest first
  std::string notice;            // why all that may say little: this replica does not lead; empty: nothing
};

}  // namespace dbproxy::operator_admin
