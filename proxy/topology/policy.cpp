#include "proxy/topology/policy.hpp"

#include <algorithm>
#include <cmath>

namespace dbproxy::topology {

using config::HealthReason;
using config::TargetHealth;
using config::TargetRole;

namespace {
constexpr double kLagStep = 0.5;  // seconds
constexpr Duration kStale = std::chrono::seconds(180);
constexpr Duration kHeard = std::chrono::seconds(10);
// Readers that lagged too much are used again below this share of the bound, so that they do not come and go.
constexpr double kCaughtUp = 0.8;
constexpr std::size_t kMaxDiscovered = 64;

// Of two claims at first sight.
constexpr Duration kClearlyNewer = std::chrono::seconds(1);

Duration to_duration(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::min(seconds, 1e6)));
}

bool fits_in_a_host(std::string_view id) {
  return !id.empty() && id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

std::string host_of(std::string pattern, std::string_view id) {
  const auto at = pattern.find('?');
  return at == std::string::npos ? pattern : pattern.replace(at, 1, id);
}

}  // namespace

void ClusterState::set_members(const std::vector<Member>& members, const Discovery& discovery) {
  std::vector<State> states;
  for (const auto& member : members) {
    auto it = std::find_if(states_.begin(), states_.end(), [&](const State& s) { return s.member == member; });
    if (it != states_.end()) {
      it->discovered = false;
      states.push_back(std::move(*it));
      continue;
    }
    State state;
    state.member = member;
    state.seen.target = member.id;
    states.push_back(std::move(state));
  }
  if (discovery.pattern == discovery_.pattern && discovery.port == discovery_.port) {
    for (auto& state : states_) {
      if (state.discovered) states.push_back(std::move(state));
    }
  }
  discovery_ = discovery;
  states_ = std::move(states);
  for (auto& state : states_) judge_lag(state);
  elect();
}

void ClusterState::remember(const std::string& writer, const std::vector<std::string>& readers) {
  for (const std::string& id : readers) {
    if (State* const state = find(id); state != nullptr && !state->known) {
      state->read = state->known = true;
      state->seen.role = TargetRole::kReadOnly;
    }
  }
  if (State* const state = find(writer); state != nullptr && !state->known) {
    state->claims = state->known = true;
    state->claimed_at = ++claims_;
  }
  elect();
}

ClusterState::State* ClusterState::find(std::string_view id) {
  auto it = std::find_if(states_.begin(), states_.end(), [&](const State& s) { return s.member.id == id; });
  return it == states_.end() ? nullptr : &*it;
}

// What is said of each member, the newest of it.
std::map<std::string, ClusterState::Said> ClusterState::news(TimePoint now) const {
  std::map<std::string, Said> out;
  for (const State& state : states_) {
    if (now - state.said_at > kHeard) continue;
    for (const auto& news : state.said) {
      const TimePoint updated = state.said_at - to_duration(news.age_seconds);
      if (now - updated > kStale) continue;
      auto [it, first] = out.try_emplace(news.id, Said{news.writer, updated, news.lag_seconds});
      if (!first && it->second.updated < updated) it->second = {news.writer, updated, news.lag_seconds};
    }
  }
  return out;
}

// Members join and leave as they are told of.
void ClusterState::discover(const std::map<std::string, Said>& told) {
  if (discovery_.pattern.empty()) return;
  std::erase_if(states_, [&](const State& state) { return state.discovered && !told.contains(state.member.id); });
  for (const auto& [id, said] : told) {
    if (State* const known = find(id); known != nullptr) {
      // One of the manifest that is where the cluster says that it is.
      const bool there = known->member.host == host_of(discovery_.pattern, id) && known->member.port == discovery_.port;
      if (there && !known->discovered) {
        known->discovered = true;
        known->seen.host = known->member.host;
        known->seen.port = known->member.port;
      }
      continue;
    }
    if (!fits_in_a_host(id) || states_.size() >= kMaxDiscovered) continue;
    State state;
    state.discovered = true;
    state.member = {id, host_of(discovery_.pattern, id), discovery_.port};
    state.seen.target = id;
    state.seen.role = said.writer ? TargetRole::kReadWrite : TargetRole::kReadOnly;
    state.seen.host = state.member.host;
    state.seen.port = state.member.port;
    states_.push_back(std::move(state));
  }
  const auto first =
      std::stable_partition(states_.begin(), states_.end(), [](const State& s) { return !s.discovered; });
  std::sort(first, states_.end(), [](const State& a, const State& b) { return a.member.id < b.member.id; });
}

void ClusterState::claim(State& state, bool claims) {
  // Who was not seen as a reader since its last claim comes back with that one.
  if (claims && !state.claims && state.read) state.claimed_at = ++claims_;
  if (claims && !state.in_recovery) state.read = false;
  state.claims = claims;
  state.known = true;
}

void ClusterState::judge_lag(State& state) {
  const double most = discovery_.max_lag_seconds;
  if (most <= 0 || state.claims) {
    state.lags = false;
  } else {
    state.lags = state.seen.lag_seconds > (state.lags ? most * kCaughtUp : most);
  }
}

void ClusterState::apply(std::string_view member, const ProbeResult& result, TimePoint now) {
  State* const state = find(member);
  if (state == nullptr) return;
  Observation& seen = state->seen;
  seen.detail = result.detail;
  if (!result.ok) {
    // Role, max_connections and lag stay as last seen: nothing better is known.
    seen.health = TargetHealth::kUnavailable;
    seen.reason = result.reason == HealthReason::kNone ? HealthReason::kConnectionFailed : result.reason;
  } else {
    state->in_recovery = result.in_recovery;
    state->read = state->read || result.in_recovery;
    state->timeline = result.timeline;
    seen.health = TargetHealth::kAvailable;
    seen.reason = HealthReason::kNone;
    seen.max_connections = result.max_connections;
    seen.reserved = result.reserved;
    seen.lag_seconds = result.in_recovery ? result.lag_seconds : 0;
    seen.system_identifier = result.system_identifier;
    seen.server_version = result.server_version;
    seen.server_capabilities = result.server_capabilities;
    state->said = result.members;
    state->said_at = now;
  }
  const auto told = news(now);
  if (!told.empty()) discover(told);
  const bool any =
      std::any_of(states_.begin(), states_.end(), [&](const State& s) { return told.contains(s.member.id); });
  if (any) {
    told_ = true;
    for (State& each : states_) {
      const auto said = told.find(each.member.id);
      if (said == told.end()) {
        if (each.seen.health != TargetHealth::kRegistering) claim(each, false);
        continue;
      }
      each.updated = said->second.updated;
      claim(each, said->second.writer);
      each.seen.lag_seconds = each.claims ? 0 : said->second.lag_seconds;
      judge_lag(each);
    }
  } else if (result.ok && (result.members.empty() || !told_)) {  // or it tells of some whom nobody here knows
    told_ = false;
    State& asked = *find(member);
    claim(asked, !result.in_recovery);
    judge_lag(asked);
  }
  for (State& each : states_) {
    if (each.known) each.seen.role = each.claims ? TargetRole::kReadWrite : TargetRole::kReadOnly;
  }
  elect();
}

void ClusterState::elect() {
  const State* best = nullptr;
  for (const State& state : states_) {
    if (!state.claims) continue;
    if (best == nullptr || state.claimed_at > best->claimed_at) {
      best = &state;
    } else if (state.claimed_at == best->claimed_at && state.timeline != best->timeline) {
      if (state.timeline > best->timeline) best = &state;
    } else if (state.claimed_at == best->claimed_at) {
      const Duration newer = state.updated - best->updated;
      const bool incumbent = state.member.id == writer_ && newer > -kClearlyNewer;
      if (incumbent || newer > kClearlyNewer) best = &state;
    }
  }
  writer_ = best != nullptr ? best->member.id : std::string();
  if (!writer_.empty()) last_ = writer_;
}

// Where to begin, and no member itself.
bool ClusterState::is_seed(const State& state) const {
  return !state.discovered && !discovery_.pattern.empty() &&
         std::any_of(states_.begin(), states_.end(), [](const State& s) { return s.discovered; });
}

std::vector<Member> ClusterState::members() const {
  const bool answered = std::any_of(states_.begin(), states_.end(), [](const State& s) {
    return s.discovered && s.seen.health == TargetHealth::kAvailable;
  });
  std::vector<Member> out;
  for (const State& state : states_) {
    if (!answered || !is_seed(state)) out.push_back(state.member);
  }
  return out;
}

bool ClusterState::has_writer() const {
  const State* const writer = find(writer_);
  return writer != nullptr && writer->seen.health == TargetHealth::kAvailable && !writer->in_recovery;
}

std::vector<Observation> ClusterState::observations() const {
  const State* const writer = find(writer_);
  std::vector<Observation> out;
  for (const State& state : states_) {
    if (is_seed(state)) continue;
    Observation shown = state.seen;
    const bool asked = shown.health != TargetHealth::kRegistering;
    const bool awaited =
        state.member.id == last_ && asked && (writer == nullptr || (&state == writer && told_ && state.in_recovery));
    if (awaited) {
      shown.role = TargetRole::kReadWrite;
      shown.health = TargetHealth::kUnavailable;
      shown.reason = HealthReason::kInvalidReplicationState;
      shown.detail = writer == nullptr ? "it is not the writer any more, and no other is yet"
                                       : "it is going to be the writer, and is not promoted yet";
    } else if (&state != writer && state.known && (writer != nullptr || told_)) {
      shown.role = TargetRole::kReadOnly;
      const std::string& own = state.seen.system_identifier;
      const std::string_view writers = writer != nullptr ? std::string_view(writer->seen.system_identifier) : "";
      const bool stranger = !own.empty() && !writers.empty() && own != writers;
      const bool rival = state.claims || (told_ && asked && !state.in_recovery);
      if (shown.health == TargetHealth::kAvailable && (rival || stranger)) {
        shown.health = TargetHealth::kUnavailable;
        shown.reason = HealthReason::kInvalidReplicationState;
        if (stranger) {
          shown.detail = "it is not a copy of the writer " + writer_ + ": the system identifiers differ";
        } else if (writer != nullptr) {
          shown.detail = "it is not in recovery, and " + writer_ + " became the writer after it";
        } else {
          shown.detail = "it is not in recovery, and the cluster does not name it as the writer";
        }
      }
    }
    // One that nobody has ever seen may be the writer only as long as no other is.
    if (!state.known && writer != nullptr && &state != writer) shown.role = TargetRole::kReadOnly;
    if (state.lags && shown.health == TargetHealth::kAvailable && shown.role == TargetRole::kReadOnly) {
      shown.health = TargetHealth::kUnavailable;
      shown.reason = HealthReason::kInvalidReplicationState;
      shown.detail = "it lags more than maxReplicaLagSeconds allows";
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
