// What the log says of members whose health or role has changed.
#pragma once

#include <string>
#include <vector>

#include "proxy/topology/observation.hpp"

namespace dbproxy::topology {

void log_changes(const std::string& proxy, const std::vector<Observation>& before,
                 const std::vector<Observation>& after);

}  // namespace dbproxy::topology
