// What the control server tells about its sidecars. Plain data; names as the API spells them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/base/clock.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::operator_control {

enum class SidecarState { kUpdated, kPending, kRejected };
inline const char* to_string(SidecarState state) {
  switch (state) {
    case SidecarState::kUpdated:
      return "UPDATED";
    case SidecarState::kPending:
      return "PENDING";
    case SidecarState::kRejected:
      return "REJECTED";
  }
  return "";
}

// One per connected sidecar and DBProxy.
struct SidecarRow {
  std::string identity, peer, software_version, proxy;
  std::uint64_t version_in_force = 0, version_sent = 0;
  SidecarState state = SidecarState::kPending;
  std::string error;  // the sidecar's own words for REJECTED
  std::uint32_t clients = 0, clients_waiting = 0, servers = 0, servers_in_use = 0, pinned = 0;
  std::vector<std::pair<std::string, std::uint32_t>> servers_of;  // by target's id
  WallTime connected_since{};
  std::string trouble;  // what keeps its clients out and is not the database's fault, in its own words
  bool operator==(const SidecarRow&) const = default;
};

// One per DBProxy, lane of its connection budget, and sidecar that holds or wants something of it.
struct BudgetRow {
  std::string proxy, lane;  // empty lane: READ_WRITE
  std::string identity;     // empty: the sum over all
  std::uint32_t limit = 0;  // of the sum only: what all together may have
  std::uint32_t granted = 0, unknown = 0, wanted = 0;
  double full_seconds = 0;  // of the sum: for so long more was wanted than there is
  // Of the sum of READ_WRITE: sessions of the DBProxy's users, at all members, that are no sidecar's. Absent: not
  // known.
  std::optional<std::uint32_t> foreign = {};
  // Of the sum of READ_WRITE: others have so much of a server that less can be had than the percentage allows, and more
  // is wanted.
  bool crowded = false;
  bool operator==(const BudgetRow&) const = default;
};

// By address, "host:port" in lower case: how the server there calls itself, where it does.
using ServerNames = std::map<std::string, std::string>;

// Of all sidecars of a DBProxy: how many queries, and waits for a connection, were how long, by the buckets of
// metrics::Histogram; the last one has no bound. Counted since this replica leads.
struct LatencyRow {
  std::string proxy;
  std::vector<std::uint64_t> query, borrow;
};

// Sessions that are pinned for the same reasons since statements of the same digest.
struct PinnedRow {
  std::string proxy;
  std::vector<std::string> reasons;
  std::string statement_digest;  // literals replaced by ?
  std::uint32_t sessions = 0, sidecars = 0;
  double pinned_seconds = 0;  // the longest
};

// What became of a sidecar that is silent.
enum class Fate {
  kThere,  // it may be there and use what it has
  kEnded,  // it has ended, and its connections with it
  kGone,   // it will not come back; whether it has ended nobody knows
};

// What people should know of a connection budget.
struct BudgetNews {
  enum class Kind {
    kSilent,   // a sidecar that is there has not been heard of for 15 s: what it may have stays charged
    kLost,     // one that is gone may have left connections, and has for 5 minutes
    kGaveWay,  // one has ended idle transactions, so many, whose connections others waited for
  } kind = Kind::kSilent;
  std::string proxy, identity;
  std::uint32_t slots = 0;
};

struct SidecarCounts {
  std::uint32_t connected = 0, updated = 0, rejected = 0;
};

// What a sidecar saw of a target by using it.
struct TargetReport {
  std::string identity, proxy, target, user;
  config::TargetHealth health = config::TargetHealth::kAvailable;
  config::HealthReason reason = config::HealthReason::kNone;
};

}  // namespace dbproxy::operator_control
