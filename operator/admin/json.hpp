// OperatorView as JSON: {"source": "operator", "items": […]}, names in the API's camelCase.
#pragma once

#include <string>

#include "operator/admin/view.hpp"
#include "proxy/live/live.hpp"

namespace dbproxy::operator_admin {

// What the live page and `dbproxyctl top` show: of each kind the rows that want to be looked at first, and how many
// there are ("total"), so that a fleet of thousands costs the page no more than a small one.
inline constexpr std::size_t kShownProxies = 100, kShownTargets = 100, kShownSidecars = 50, kShownDiagnostics = 50,
                             kShownPins = 50;
live::Parts live_parts(const OperatorView& view);

std::string pins_json(const OperatorView& view);
// As the sidecar's: {"source": …, "bounds": [seconds…], "items": [{"proxy": …, "query": […], "borrow": […]}]}
std::string latency_json(const OperatorView& view);
std::string events_json(const OperatorView& view);
std::string proxies_json(const OperatorView& view);
std::string targets_json(const OperatorView& view);
std::string sidecars_json(const OperatorView& view);
std::string diagnostics_json(const OperatorView& view);

}  // namespace dbproxy::operator_admin
