// ClusterState: results of probes in, observations of a cluster's members out. Pure, single-threaded.
//
// At most one member is READ_WRITE. A member claims to be the writer while it says that it is not in recovery; of
// several claims the newest counts, where a claim is new when the same member was seen in recovery before. A claim at
// first sight is the oldest: it does not take the role from a writer that is known (an old primary that comes back
// after a failover claims it still); of several at first sight that of the higher timeline counts. Those whose claim
// does not count are UNAVAILABLE with INVALID_REPLICATION_STATE, for reads as well, since they serve another history.
// The same holds for a reader whose system identifier is not the writer's. A writer that cannot be reached stays the
// writer until another member claims.
//
// Where members tell of each other (Aurora), what they tell decides: of all that is said of one member the newest
// counts, and of two writers at first sight the one with the newer news. Who is named the writer and says of itself
// that it is in recovery is not the writer yet, and who was the writer before is not any more: nobody is. News of
// members that are older than 180 s are ignored (AWS's own bound), and so is what somebody said who has not answered
// for 10 s, unless nobody has. With a pattern for hosts, members that are told of join and those that are not leave;
// the members of the manifest are then only where to begin, and asked only while no other answers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.hpp"
#include "proxy/topology/observation.hpp"

namespace dbproxy::topology {

class ClusterState {
 public:
  // Members that stay keep what is known of them, unless host or port changed.
  void set_members(const std::vector<Member>& members, const Discovery& discovery = {});
  // Who was what when somebody else saw them last: as if it had been seen here. Once, before anything is applied.
  void remember(const std::string& writer, const std::vector<std::string>& readers);
  void apply(std::string_view member, const ProbeResult& result, TimePoint now = {});
  // Whom to ask.
  std::vector<Member> members() const;
  // In the order of the manifest's members; those that the cluster told of by their id.
  std::vector<Observation> observations() const;
  // A member takes writes and can be reached.
  bool has_writer() const;

 private:
  struct Said {
    bool writer = false;
    TimePoint updated{};
    double lag_seconds = 0;
  };
  struct State {
    Member member;
    Observation seen;  // as it says itself
    bool discovered = false;
    bool in_recovery = false;      // as it says itself
    bool claims = false;           // to be the writer; as far as is known now
    bool known = false;            // whether it claims was ever known
    bool read = false;             // it was in recovery at some time since its last claim
    std::uint32_t timeline = 0;    // as it says itself
    bool lags = false;             // more than is allowed
    std::uint64_t claimed_at = 0;  // order of claims; 0: at first sight
    TimePoint updated{};           // of the news of it
    TimePoint said_at{};           // when it told of others
    std::vector<MemberNews> said;
  };
  State* find(std::string_view id);
  const State* find(std::string_view id) const { return const_cast<ClusterState*>(this)->find(id); }
  std::map<std::string, Said> news(TimePoint now) const;
  void discover(const std::map<std::string, Said>& told);
  void claim(State& state, bool claims);
  void judge_lag(State& state);
  void elect();
  bool is_seed(const State& state) const;

  Discovery discovery_;
  std::vector<State> states_;
  bool told_ = false;   // members tell of each other
  std::string writer_;  // id; empty: none is known
  std::string last_;    // the writer of before, or the one that is going to be
  std::uint64_t claims_ = 0;
};

// Whether a change is worth telling: anything but a lag that moved by half a second or less, and the detail.
bool differs(const std::vector<Observation>& before, const std::vector<Observation>& after);

}  // namespace dbproxy::topology
