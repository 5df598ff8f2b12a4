#include "proxy/topology/policy.hpp"

#include <algorithm>
#include <cmath>

namespace dbproxy::topology {

using config::HealthReason;
using config::TargetHealth;
using config::TargetRole;

namespace {
constexpr double kLagStep = 0.5;  // seconds
}

void ClusterState::set_members(const std::vector<Member>& members) {
  std::vector<State> states;
  for (const auto& member : members) {
    auto it = std::find_if(states_.begin(), states_.end(), [&](const State& s) { return s.member == member; });
    if (it != states_.end()) {
      states.push_back(std::move(*it));
      continue;
    }
    State state;
    state.member = member;
    state.seen.target = member.id;
    states.push_back(std::move(state));
  }
  states_ = std::move(states);
  elect();
}

void ClusterState::apply(std::string_view member, const ProbeResult& result) {
  auto it = std::find_if(states_.begin(), states_.end(), [&](const State& s) { return s.member.id == member; });
  if (it == states_.end()) return;
  State& state = *it;
  Observation& seen = state.seen;
  seen.detail = result.detail;
  if (!result.ok) {
    // Role, max_connections and lag stay as last seen: nothing better is known.
    seen.health = TargetHealth::kUnavailable;
    seen.reason = result.reason == HealthReason::kNone ? HealthReason::kConnectionFailed : result.reason;
    return;
  }
  bool claims = !result.in_recovery;
  if (claims && !state.claims) state.claimed_at = state.known ? ++claims_ : 0;
  state.claims = claims;
  state.known = true;
  seen.role = claims ? TargetRole::kReadWrite : TargetRole::kReadOnly;
  seen.health = TargetHealth::kAvailable;
  seen.reason = HealthReason::kNone;
  seen.max_connections = result.max_connections;
  seen.reserved = result.reserved;
  seen.lag_seconds = claims ? 0 : result.lag_seconds;
  seen.system_identifier = result.system_identifier;
  elect();
}

void ClusterState::elect() {
  const State* best = nullptr;
  for (const State& state : states_) {
    if (!state.claims) continue;
    bool newer = best == nullptr || state.claimed_at > best->claimed_at;
    bool incumbent = best != nullptr && state.claimed_at == best->claimed_at && state.member.id == writer_;
    if (newer || incumbent) best = &state;
  }
  writer_ = best != nullptr ? best->member.id : std::string();
}

std::vector<Observation> ClusterState::observations() const {
  auto writer = std::find_if(states_.begin(), states_.end(), [&](const State& s) { return s.member.id == writer_; });
  std::vector<Observation> out;
  for (const State& state : states_) {
    Observation shown = state.seen;
    bool other = writer != states_.end() && &*writer != &state && state.known;
    if (other) {
      shown.role = TargetRole::kReadOnly;
      const std::string& own = state.seen.system_identifier;
      const std::string& writers = writer->seen.system_identifier;
      bool stranger = !own.empty() && !writers.empty() && own != writers;
      if (shown.health == TargetHealth::kAvailable && (state.claims || stranger)) {
        shown.health = TargetHealth::kUnavailable;
        shown.reason = HealthReason::kInvalidReplicationState;
        shown.detail = stranger ? "it is not a copy of the writer " + writer_ + ": the system identifiers differ"
                                : "it is not in recovery, and " + writer_ + " became the writer after it";
      }
    }
    out.push_back(std::move(shown));
  }
  return out;
}

bool differs(const std::vector<Observation>& before, const std::vector<Observation>& after) {
  if (before.size() != after.size()) return true;
  for (std::size_t i = 0; i < before.size(); ++i) {
    Observation a = before[i];
    Observation b = after[i];
    if (std::abs(a.lag_seconds - b.lag_seconds) > kLagStep) return true;
    a.lag_seconds = b.lag_seconds = 0;
    a.detail = b.detail = "";
    if (!(a == b)) return true;
  }
  return false;
}

}  // namespace dbproxy::topology
