// What is wrong with DBProxies only in the company of others. Pure.
#pragma once

#include <map>
#include <set>
#include <string>

#include "operator/status/status.hpp"

namespace dbproxy::operator_status {

// Fills in `degraded`: where DBProxies want more than 100 percent of one database together, where one sidecar is to
// listen on one port for two of them, and where others leave a database too few connections. `all`: by namespace/name.
// `served`: the DBProxies of each sidecar. `servers`: by "host:port", how the server there calls itself, where it does.
void compare(std::map<std::string, Facts>& all, const std::map<std::string, std::set<std::string>>& served,
             const std::map<std::string, std::string>& servers = {});

}  // namespace dbproxy::operator_status
