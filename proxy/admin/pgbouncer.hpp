// The metrics page under the names that PgBouncer's Prometheus exporter uses, for dashboards and alerts that exist.
//
// Pools and databases as PgBouncer has them: a pool is a user and a database. What is counted for a DBProxy as a whole
// has its name, namespace/name, as the label `database`.
#pragma once

#include <string>
#include <vector>

#include "proxy/metrics/registry.hpp"
#include "proxy/worker/service.hpp"

namespace dbproxy::admin {

std::string pgbouncer_page(const metrics::Registry& registry, const std::vector<worker::PoolRow>& pools,
                           const std::vector<worker::TargetRow>& targets);

}  // namespace dbproxy::admin
