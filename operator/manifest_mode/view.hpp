// What the operator's pages show, made of what its parts know. Pure.
#pragma once

#include <vector>

#include "operator/admin/view.hpp"
#include "operator/control/rows.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/manifest/diagnostic.hpp"
#include "proxy/source/manifest_source.hpp"

namespace dbproxy::manifest_mode {

operator_admin::OperatorView make_view(const source::Snapshots& snapshots,
                                       const std::vector<operator_control::SidecarRow>& sidecars,
                                       const std::vector<manifest::Diagnostic>& diagnostics, WallTime now);

// What all sidecars together report of how long queries take and of what is pinned.
void add_activity(const std::vector<operator_control::LatencyRow>& latencies,
                  const std::vector<operator_control::PinnedRow>& pins, operator_admin::OperatorView& view);
// The connection budgets, where something is leased: into targets, sidecars and DBProxies.
void add_budgets(operator_admin::OperatorView& view, const std::vector<operator_control::BudgetRow>& budgets);

}  // namespace dbproxy::manifest_mode
