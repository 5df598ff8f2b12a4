// The status of a DBProxyEndpoint. Pure.
#pragma once

#include <optional>
#include <string>

#include "operator/status/status.hpp"

namespace dbproxy::operator_status {

struct EndpointFacts {
  std::int64_t generation = 0;
  std::string name_space, name;
  std::string proxy;              // dbProxyName
  std::optional<Facts> of_proxy;  // none: there is no such DBProxy
  bool operator==(const EndpointFacts&) const = default;
};

// Accepted: the object is good. ResolvedRefs: its DBProxy exists. Ready: clients are served there.
std::vector<Condition> conditions(const EndpointFacts& facts);
// With the address and the port at which it is served, while it is.
kubernetes::json::object make_status(const EndpointFacts& facts, const kubernetes::json::object* before, WallTime now);

}  // namespace dbproxy::operator_status
