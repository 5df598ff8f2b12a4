// What the servers answer, arranged for people: one table for each kind of row, and the page of `describe`. Pure.
//
// Fields that a server of another version does not send are shown as <none>; nothing here throws over them.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "operator/ctl/table.hpp"

namespace dbproxy::ctl {

using Items = boost::json::array;

// A sidecar has clients where an operator has sidecars.
Table proxies_table(const Items& items, bool from_sidecar);
Table targets_table(const Items& items);
Table sidecars_table(const Items& items);
Table pools_table(const Items& items);
Table pins_table(const Items& items);
Table pin_kinds_table(const Items& items);  // an operator's: how many sessions are pinned for the same reasons

std::string joined(const Items& texts, const char* separator);

// `file:line: object: field: message`, one for each.
std::vector<std::string> diagnostic_lines(const Items& diagnostics);

struct Described {
  boost::json::value proxy;
  Items targets, sidecars, pools, pins;  // of this DBProxy only
  bool from_sidecar = false;
};
std::string describe(const Described& what);

// namespace/name
std::string full_name(const boost::json::value& proxy);
// `wanted` is a name or namespace/name; `full` is namespace/name.
bool is_named(const std::string& full, const std::string& wanted);

}  // namespace dbproxy::ctl
