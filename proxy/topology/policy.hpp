// ClusterState: results of probes in, observations of a cluster's members out. Pure, single-threaded.
//
// At most one member is READ_WRITE. A member claims to be the writer while it says that it is not in recovery; of
// several claims the newest counts, where a claim is new when the same member was seen in recovery before. A claim at
// first sight is the oldest: it does not take the role from a writer that is known (an old primary that comes back
// after a failover claims it still). Those whose claim does not count are UNAVAILABLE with
// INVALID_REPLICATION_STATE, for reads as well, since they serve another history. The same holds for a reader whose
// system identifier is not the writer's. A writer that cannot be reached stays the writer until another member claims.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/topology/observation.hpp"

namespace dbproxy::topology {

class ClusterState {
 public:
  // Members that stay keep what is known of them, unless host or port changed.
  void set_members(const std::vector<Member>& members);
  void apply(std::string_view member, const ProbeResult& result);
  std::vector<Observation> observations() const;  // in the order of the members

 private:
  struct State {
    Member member;
    Observation seen;              // as it says itself
    bool claims = false;           // to be the writer, when it was last seen
    bool known = false;            // was ever seen
    std::uint64_t claimed_at = 0;  // order of claims; 0: at first sight
  };
  void elect();

  std::vector<State> states_;
  std::string writer_;  // id; empty: none is known
  std::uint64_t claims_ = 0;
};

// Whether a change is worth telling: anything but a lag that moved by half a second or less, and the detail.
bool differs(const std::vector<Observation>& before, const std::vector<Observation>& after);

}  // namespace dbproxy::topology
