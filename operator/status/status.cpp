#include "operator/status/status.hpp"

#include <algorithm>
#include <cmath>

#include "proxy/aws/client_tokens.hpp"

namespace dbproxy::operator_status {
namespace {

namespace json = boost::json;
using config::TargetHealth;
using config::TargetRole;

constexpr std::size_t kMostTargets = 16;  // as the CRD has it
constexpr std::size_t kMostMessage = 4096;

constexpr const char* kRefusedAddress =
    " is refused: its name leads to a loopback, link-local or metadata address, to the pod itself, to a Service, or to "
    "none of the allowedEndpoints of this installation";

bool about_references(const manifest::Diagnostic& each) {
  const auto within = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  return each.object.rfind("Secret ", 0) == 0 || each.object.rfind("ConfigMap ", 0) == 0 ||
         within(each.field, "secretRef") || within(each.field, "secretArn") || within(each.field, "caRef") ||
         within(each.field, "clientCertificateRef") || within(each.field, "dbCluster.identifier") ||
         (within(each.field, "serviceAccountName") && each.rule.starts_with("cannot be used"));
}

// The errors of one sort as one sentence each; "" where there are none.
std::string errors(const Facts& facts, bool references) {
  std::string out;
  for (const manifest::Diagnostic& each : facts.diagnostics) {
    if (each.severity != manifest::Severity::kError || about_references(each) != references) continue;
    if (out.size() > kMostMessage / 2) return out + "; and more";
    std::string text = manifest::to_text(each);
    if (text.starts_with(": ")) text.erase(0, 2);  // an object of the API has no file
    out += (out.empty() ? "" : "; ") + text;
  }
  return out.size() > kMostMessage ? out.substr(0, kMostMessage) : out;
}

// The writer, whether or not it can be reached; "" where there is none, or none is known.
std::string writer_of(const config::Snapshot& snapshot) {
  std::string out;
  for (const config::Target& target : snapshot.targets) {
    if (target.role != TargetRole::kReadWrite || target.health == TargetHealth::kRegistering) continue;
    if (out.empty() || target.health == TargetHealth::kAvailable) out = target.id;
  }
  return out;
}

bool lags(const config::Target& target, const config::Snapshot& snapshot) {
  return snapshot.discovery.max_lag_seconds > 0 && target.role == TargetRole::kReadOnly &&
         target.reason == config::HealthReason::kInvalidReplicationState &&
         target.lag_seconds > snapshot.discovery.max_lag_seconds / 2;
}

struct Targets {
  std::uint32_t all = 0, available = 0, limit = 0;
  std::string writer, refused;  // ids
};

Targets count(const Facts& facts) {
  Targets out;
  if (!facts.snapshot) return out;
  for (const config::Target& target : facts.snapshot->targets) {
    ++out.all;
    out.limit += config::connection_limit(target, facts.snapshot->pool);
    if (target.reason == config::HealthReason::kEndpointRefused && out.refused.empty()) out.refused = target.id;
    if (target.health != TargetHealth::kAvailable) continue;
    ++out.available;
    if (target.role == TargetRole::kReadWrite) out.writer = target.id;
  }
  return out;
}

Condition programmed(const Facts& facts) {
  const Sidecars& sidecars = facts.sidecars;
  if (!facts.snapshot) return {"Programmed", "False", "NothingToProgram", "there is no good version of it yet"};
  if (sidecars.rejected > 0) {
    return {"Programmed", "False", "Rejected", sidecars.rejected_by + ": " + sidecars.error};
  }
  if (sidecars.connected == 0) return {"Programmed", "Unknown", "NoSidecar", "no sidecar is connected"};
  const bool all = sidecars.updated == sidecars.connected;
  return {"Programmed", all ? "True" : "False", all ? "Updated" : "Pending",
          std::to_string(sidecars.updated) + " of " + std::to_string(sidecars.connected) + " sidecars have it"};
}

// Of one that is well, and whose connections are all in use while somebody waits.
config::HealthReason reason_of(const Facts& facts, const config::Target& target) {
  const bool full = facts.exhausted && target.health == TargetHealth::kAvailable &&
                    target.role == TargetRole::kReadWrite && target.reason == config::HealthReason::kNone;
  return full ? config::HealthReason::kPendingProxyCapacity : target.reason;
}

std::string stays(const Facts& facts) {
  return facts.snapshot ? "; the last good version stays in force" : "";
}

}  // namespace

std::vector<Condition> conditions(const Facts& facts) {
  std::vector<Condition> out;
  const std::string invalid = errors(facts, false);
  out.push_back(invalid.empty() ? Condition{"Accepted", "True", "Accepted", "the manifest is good"}
                                : Condition{"Accepted", "False", "Invalid", invalid + stays(facts)});
  const std::string unresolved = errors(facts, true);
  out.push_back(unresolved.empty() ? Condition{"ResolvedRefs", "True", "ResolvedRefs", "all references are resolved"}
                                   : Condition{"ResolvedRefs", "False", "Unresolved", unresolved + stays(facts)});
  out.push_back(programmed(facts));
  const Targets targets = count(facts);
  const bool writable = !targets.writer.empty();
  const std::string available =
      std::to_string(targets.available) + " of " + std::to_string(targets.all) + " targets available";
  out.push_back({"TargetsAvailable", writable ? "True" : "False", writable ? "Available" : "NoWriter",
                 writable ? available : available + ", none of them is the writer"});
  if (!targets.refused.empty()) {
    out.back().message += "; the address of " + targets.refused + kRefusedAddress;
    if (!writable) out.back().reason = "EndpointRefused";
  }
  const bool ready = writable && out[2].status != "False";
  if (ready && !(invalid.empty() && unresolved.empty())) {
    out.push_back({"Ready", "True", out[invalid.empty() ? 1 : 0].reason,
                   "clients are served as the last good version says; see the conditions that are False"});
  } else {
    out.push_back({"Ready", ready ? "True" : "False", ready ? "Ready" : "NotReady",
                   ready ? "clients are served" : "see the conditions that are False"});
  }
  if (!facts.degraded.reason.empty()) out.push_back(facts.degraded);
  return out;
}

json::array to_json(const std::vector<Condition>& conditions, std::int64_t generation, const json::object* before,
                    WallTime now) {
  using kubernetes::text_at;
  json::array list;
  for (const Condition& each : conditions) {
    std::string since = kubernetes::second_time(now);
    const json::array* old = before == nullptr ? nullptr : kubernetes::array_at(*before, {"conditions"});
    for (const json::value& was : old == nullptr ? json::array() : *old) {
      if (!was.is_object() || text_at(was.get_object(), {"type"}) != each.type) continue;
      const std::string_view time = text_at(was.get_object(), {"lastTransitionTime"});
      if (text_at(was.get_object(), {"status"}) == each.status && !time.empty()) since = time;
    }
    list.push_back(json::object{{"type", each.type},
                                {"status", each.status},
                                {"observedGeneration", generation},
                                {"lastTransitionTime", since},
                                {"reason", each.reason},
                                {"message", each.message}});
  }
  return list;
}

json::object make_status(const Facts& facts, const json::object* before, WallTime now) {
  const Targets targets = count(facts);
  json::array endpoints;
  json::array rows;
  if (facts.snapshot) {
    for (const config::Endpoint& endpoint : facts.snapshot->endpoints) {
      endpoints.push_back(json::object{{"name", endpoint.name},
                                       {"address", "127.0.0.1"},
                                       {"port", endpoint.port},
                                       {"targetRole", std::string(config::to_string(endpoint.role))}});
      const auto& users = facts.snapshot->users;
      const bool iam = std::any_of(users.begin(), users.end(), [](const config::User& user) {
        return user.iam_auth != config::IamAuth::kDisabled;
      });
      if (iam)
        endpoints.back().get_object()["iamHost"] = aws::iam_host(facts.snapshot->name_space, facts.snapshot->name);
    }
    for (const config::Target& target : facts.snapshot->targets) {
      if (rows.size() == kMostTargets) break;
      rows.push_back(json::object{{"id", target.id},
                                  {"role", std::string(config::to_string(target.role))},
                                  {"health", std::string(config::to_string(target.health))},
                                  {"reason", std::string(config::to_string(reason_of(facts, target)))},
                                  {"maxConnections", target.max_connections},
                                  {"lagSeconds", static_cast<std::int64_t>(std::llround(target.lag_seconds))}});
    }
  }
  const Sidecars& sidecars = facts.sidecars;
  json::object connections{{"limit", targets.limit}, {"granted", facts.granted.value_or(sidecars.connections)}};
  if (facts.foreign) connections["foreign"] = *facts.foreign;
  json::object out{{"observedGeneration", facts.generation},
                   {"conditions", to_json(conditions(facts), facts.generation, before, now)},
                   {"endpoints", std::move(endpoints)},
                   {"targets", std::move(rows)},
                   {"availableTargets", std::to_string(targets.available) + "/" + std::to_string(targets.all)},
                   {"connections", std::move(connections)},
                   {"sidecars", json::object{{"connected", sidecars.connected},
                                             {"updated", sidecars.updated},
                                             {"rejected", sidecars.rejected},
                                             {"outdated", sidecars.outdated}}}};
  if (facts.snapshot) out["resourceId"] = aws::resource_id(facts.snapshot->name_space, facts.snapshot->name);
  if (!facts.debug_until.empty()) out["debugLoggingUntil"] = facts.debug_until;
  return out;
}

std::vector<Note> notes(const Facts& before, const Facts& after) {
  std::vector<Note> out;
  const std::string unresolved = errors(after, true);
  if (!unresolved.empty() && unresolved != errors(before, true)) {
    out.push_back({true, "ReferencesUnresolved", "Resolve", unresolved});
  }
  const std::string invalid = errors(after, false);
  if (!invalid.empty() && invalid != errors(before, false)) out.push_back({true, "Invalid", "Accept", invalid});
  if (after.sidecars.rejected > 0 && after.sidecars.error != before.sidecars.error) {
    out.push_back({true, "SnapshotRejected", "Program", after.sidecars.rejected_by + ": " + after.sidecars.error});
  }
  if (!after.degraded.reason.empty() && after.degraded != before.degraded) {
    out.push_back({true, after.degraded.reason, "Compare", after.degraded.message});
  }
  if (after.debug_ended && !before.debug_ended) {
    out.push_back({false, "DebugLoggingEnded", "Limit",
                   "debugLogging has turned itself off; set it to false, and to true again if it is still needed"});
  }
  if (after.exhausted && !before.exhausted) {
    out.push_back({true, "ConnectionsExhausted", "Borrow",
                   "clients wait, and every connection that maxConnectionsPercent leaves is in use: shorten "
                   "transactions, see dbproxyctl pins, or raise it"});
  }
  if (!before.snapshot || !after.snapshot) return out;
  const auto find = [](const config::Snapshot& in, const std::string& id) {
    return std::find_if(in.targets.begin(), in.targets.end(), [&](const auto& each) { return each.id == id; });
  };
  for (const config::Target& target : after.snapshot->targets) {
    const auto was = find(*before.snapshot, target.id);
    if (was == before.snapshot->targets.end()) {
      out.push_back({false, "TargetAdded", "Discover", "target " + target.id + " was added"});
      continue;
    }
    if (was->health == target.health && was->reason == target.reason) continue;
    if (target.health == TargetHealth::kUnavailable && target.reason == config::HealthReason::kAuthFailure) {
      out.push_back({true, "SecretRejected", "LogIn", "target " + target.id + " refuses the users of all secrets"});
    } else if (target.reason == config::HealthReason::kEndpointRefused) {
      out.push_back({true, "EndpointRefused", "Probe", "the address of " + target.id + kRefusedAddress});
    } else if (target.health == TargetHealth::kUnavailable && lags(target, *after.snapshot)) {
      out.push_back({true, "TargetLagging", "Probe",
                     "target " + target.id + " lags more than maxReplicaLagSeconds allows, and is not read from"});
    } else if (target.health == TargetHealth::kUnavailable) {
      out.push_back({true, "TargetUnavailable", "Probe",
                     "target " + target.id + " is unavailable: " + std::string(config::to_string(target.reason))});
    } else if (was->health == TargetHealth::kUnavailable && target.health == TargetHealth::kAvailable) {
      out.push_back({false, "TargetAvailable", "Probe", "target " + target.id + " is available again"});
    }
  }
  for (const config::Target& target : before.snapshot->targets) {
    if (find(*after.snapshot, target.id) != after.snapshot->targets.end()) continue;
    out.push_back({false, "TargetRemoved", "Discover", "target " + target.id + " was removed"});
  }
  const std::string old_writer = writer_of(*before.snapshot);
  const std::string new_writer = writer_of(*after.snapshot);
  if (!old_writer.empty() && !new_writer.empty() && old_writer != new_writer) {
    out.push_back({false, "FailedOver", "FailOver",
                   "target " + new_writer + " was promoted: the writer was " + old_writer + " and is " + new_writer});
  }
  return out;
}

}  // namespace dbproxy::operator_status
