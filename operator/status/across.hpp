// What is wrong with DBProxies only in the company of others. Pure.
#pragma once

#include <map>
#include <set>
#include <string>

#include "operator/status/status.hpp"

namespace dbproxy::operator_status {

// Fills in `degraded`: where DBProxies want more than 100 percent of one database together, and where one sidecar is
// to listen on one port for two of them. `all`: by namespace/name. `served`: the DBProxies of each sidecar.
void compare(std::map<std::string, Facts>& all, const std::map<std::string, std::set<std::string>>& served);

}  // namespace dbproxy::operator_status
