#include <algorithm>
#include <map>
#include <tuple>

#include "operator/manifest_mode/view.hpp"
#include "operator/status/status.hpp"

namespace dbproxy::manifest_mode {

// Slots of the role READ_WRITE are shown at the member that has it now.
void add_budgets(operator_admin::OperatorView& view, const std::vector<operator_control::BudgetRow>& budgets) {
  std::map<std::pair<std::string, std::string>, std::vector<operator_admin::TargetRow*>> targets;  // by lane
  std::map<std::pair<std::string, std::string>, operator_admin::SidecarRow*> sidecars;
  std::map<std::string, operator_admin::ProxyRow*> proxies;
  for (operator_admin::TargetRow& row : view.targets) {
    targets[{row.proxy, row.id}].push_back(&row);
    if (row.role == "READ_WRITE") targets[{row.proxy, ""}].push_back(&row);
  }
  for (operator_admin::SidecarRow& row : view.sidecars) sidecars[{row.proxy, row.identity}] = &row;
  for (operator_admin::ProxyRow& row : view.proxies) proxies[row.name_space + "/" + row.name] = &row;
  for (const operator_control::BudgetRow& each : budgets) {
    if (!each.identity.empty()) {
      const auto sidecar = sidecars.find({each.proxy, each.identity});
      if (sidecar == sidecars.end()) continue;
      sidecar->second->granted += each.granted;
      sidecar->second->asked += each.wanted;
      continue;
    }
    if (const auto lane = targets.find({each.proxy, each.lane}); lane != targets.end()) {
      for (operator_admin::TargetRow* row : lane->second) {
        row->granted += each.granted;
        row->asked += each.wanted;
        row->unknown += each.unknown;
        if (each.full_seconds >= 1) row->reason = "PENDING_PROXY_CAPACITY";
      }
    }
    if (const auto proxy = proxies.find(each.proxy); proxy != proxies.end()) {
      proxy->second->connections_granted += each.granted;
      if (each.foreign) proxy->second->connections_foreign = each.foreign;
      proxy->second->exhausted_seconds = std::max(proxy->second->exhausted_seconds, each.full_seconds);
      if (each.crowded && each.full_seconds >= 1) {
        proxy->second->conditions.push_back(
            {"Degraded", "True", operator_status::kConnectionsTaken, operator_status::kConnectionsTakenText});
      }
    }
  }
}

}  // namespace dbproxy::manifest_mode
