#include "proxy/topology/changes.hpp"

#include <algorithm>

#include "proxy/base/log.hpp"

namespace dbproxy::topology {

using config::TargetHealth;

void log_changes(const std::string& proxy, const std::vector<Observation>& before,
                 const std::vector<Observation>& after) {
  for (const auto& now : after) {
    auto was = std::find_if(before.begin(), before.end(), [&](const Observation& o) { return o.target == now.target; });
    bool same = was != before.end() && was->health == now.health && was->reason == now.reason && was->role == now.role;
    if (same || now.health == TargetHealth::kRegistering) continue;
    if (now.health == TargetHealth::kAvailable) {
      log::info("topology", "target available",
                {{"proxy", proxy},
                 {"target", now.target},
                 {"role", config::to_string(now.role)},
                 {"max_connections", now.max_connections}});
    } else {
      log::warn("topology", "target unavailable",
                {{"proxy", proxy},
                 {"target", now.target},
                 {"reason", config::to_string(now.reason)},
                 {"detail", now.detail}});
    }
  }
}

}  // namespace dbproxy::topology
