// What the control server tells about its sidecars. Plain data; names as the API spells them.
#pragma once

#include <cstdint>
#include <string>

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
  WallTime connected_since{};
};

// One per DBProxy, lane of its connection budget, and sidecar that holds or wants something of it.
struct BudgetRow {
  std::string proxy, lane;  // empty lane: READ_WRITE
  std::string identity;     // empty: the sum over all
  std::uint32_t limit = 0;  // of the sum only: what all together may have
  std::uint32_t granted = 0, unknown = 0, wanted = 0;
  double full_seconds = 0;  // of the sum: for so long more was wanted than there is
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
