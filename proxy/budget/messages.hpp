// What the two sides of the connection budget say to each other about one DBProxy. Plain data; no I/O.
//
// Every message states what is, never what is to be added, so that one that is lost, late or doubled does no harm. An
// operator is known by its epoch, a process of a sidecar by its incarnation, and a dialogue of the two by its session.
// docs/decisions/0019-connection-budget.md has the reasons.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace dbproxy::budget {

using Slots = std::uint32_t;  // each is the right to one server connection

// Slots are good for the role READ_WRITE on whichever member has it (the empty lane), or for reading on one member.
using Lane = std::string;
inline const Lane kReadWrite{};
using Holdings = std::map<Lane, Slots>;

// A sidecar is there. Holds nothing that could be out of date: what it holds it says when asked by Open.
struct Hello {
  std::string pod;                // namespace/pod, or the identity
  std::uint64_t incarnation = 0;  // drawn at random by each process
};

// The operator's answer: from now on nothing of earlier sessions is good. To be answered with a Report.
struct Open {
  std::uint64_t incarnation = 0, epoch = 0, session = 0;
};

struct Allowance {
  std::uint64_t incarnation = 0, epoch = 0, session = 0;
  std::uint64_t number = 0;  // counts up within session and lane
  Lane lane;
  Slots slots = 0;  // may be held from now on, all together
  Slots goal = 0;   // less than `slots`: come down to this, idle connections first, then as they are released
  Slots floor = 0;  // need not be given back for want of use
};

struct LaneReport {
  std::uint64_t seen = 0;  // the Allowance taken last; older ones will not be taken any more
  Slots held = 0;          // and no more than this without a newer one, for what predecessors left included
  Slots want = 0;          // in use and waited for; what is idle besides may go to whoever waits
};

struct Report {
  std::string pod;
  std::uint64_t incarnation = 0, epoch = 0, session = 0;
  std::uint64_t number = 0;          // counts up within the incarnation
  bool complete = true;              // what predecessors left is known and part of `held`
  bool leaving = false;              // the last one: the process ends, and none of its connections is left
  std::map<Lane, LaneReport> lanes;  // all of them: of others nothing is held
};

}  // namespace dbproxy::budget
