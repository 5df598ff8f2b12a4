// Rows of the data plane as JSON: {"source": "sidecar", "items": […]}, names in the API's camelCase.
//
// Texts that come from clients are made valid UTF-8. At most kMaxItems of each; then `truncated` is true.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "proxy/config/snapshot.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/worker/service.hpp"

namespace dbproxy::admin {

inline constexpr std::size_t kMaxItems = 5000;

using Snapshots = std::map<std::string, config::SnapshotPtr>;  // by namespace/name

struct SidecarState {
  std::string identity;
  bool configured = false;
  bool connected = false;  // to an operator
};

std::string proxies_json(const std::vector<worker::ProxyRow>& rows, const std::vector<worker::TargetRow>& targets,
                         const Snapshots& snapshots, const SidecarState& state);
std::string targets_json(const std::vector<worker::TargetRow>& rows);
std::string pools_json(const std::vector<worker::PoolRow>& rows);
std::string pins_json(const std::vector<worker::PinRow>& rows);
// How long queries took and clients waited, since the start: counts by bucket, so that whoever asks twice has what was
// in between. {"source": …, "bounds": [seconds…], "items": [{"proxy": …, "query": […], "borrow": […]}]}
std::string latency_json(const metrics::Registry& registry);
// This sidecar alone, one row for each DBProxy in force.
std::string sidecars_json(const std::vector<worker::ProxyRow>& rows, const SidecarState& state);

}  // namespace dbproxy::admin
