// What one DBProxy may have of a server that others use too: other DBProxies of this operator, and sessions that are no
// sidecar's. Pure.
//
// Nothing is granted beyond what the server has free, but for a few connections that whoever comes next finds free.
// What is held is not taken back for sessions of others: who takes all that they can get would take it all. Among
// DBProxies shares are max-min fair in proportion to their limits: one that waits gets its own from those that have
// more than theirs.
#pragma once

#include <map>
#include <string>

#include "proxy/budget/messages.hpp"

namespace dbproxy::operator_budget {

// Of one DBProxy at one server.
struct Claim {
  budget::Slots limit = 0;    // by its own percentage
  budget::Slots charged = 0;  // may be open at most
  budget::Slots needed = 0;   // wanted, and floors
  bool operator==(const Claim&) const = default;
};

// `usable`: connections that are not reserved for anybody. `others`: sessions that are no sidecar's. A tenth as many as
// these, at least one, stay free: they come and go between two counts.
budget::Slots available(budget::Slots usable, budget::Slots others);

// The most that `who` may be charged now, by name in `claims`. Where a claim is renewed before the next one asks, what
// is charged grows only while the sum is below `available`.
budget::Slots share(const std::map<std::string, Claim>& claims, const std::string& who, budget::Slots available);

}  // namespace dbproxy::operator_budget
