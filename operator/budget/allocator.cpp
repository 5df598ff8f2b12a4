#include "operator/budget/allocator.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace dbproxy::operator_budget {
namespace {

constexpr Slots kMost = 262'143;  // connections of a PostgreSQL server; as such, sums over 5,000 sidecars cannot wrap

Slots beyond(Slots a, Slots b) {
  return a > b ? a - b : 0;
}

Slots at(const std::map<Lane, Slots>& slots, const Lane& lane) {
  const auto found = slots.find(lane);
  return found == slots.end() ? 0 : found->second;
}

}  // namespace

Allocator::Allocator(AllocatorOptions options, std::uint64_t epoch, Ceilings saved)
    : options_(options), epoch_(epoch), kept_(std::move(saved)) {
  for (const auto& [name, lanes] : kept_) {
    for (const auto& [lane, slots] : lanes) pods_[name].lanes[lane].held = slots;
  }
}

void Allocator::set_limits(std::map<std::string, Slots> members, Slots per_pod) {
  members_ = std::move(members);
  per_pod_ = per_pod;
}

budget::Open Allocator::hello(const budget::Hello& hello) {
  Pod& pod = pods_[hello.pod];
  const bool successor = pod.incarnation != hello.incarnation;
  std::erase_if(pod.lanes, [](const auto& item) { return item.second.charge() == 0; });
  for (auto& [lane, entry] : pod.lanes) {
    entry.held = entry.own();
    if (successor) entry.remains += std::exchange(entry.held, 0);
    entry.sent = 0;
    entry.number = 0;
  }
  pod.incarnation = hello.incarnation;
  if (successor) pod.confirmed_by = saves_ + 1;
  pod.session = ++sessions_;
  pod.reports = 0;
  pod.usable = false;
  return {pod.incarnation, epoch_, pod.session};
}

bool Allocator::report(const budget::Report& report, TimePoint now) {
  const auto found = pods_.find(report.pod);
  if (found == pods_.end()) return false;
  Pod& pod = found->second;
  if (report.epoch != epoch_ || report.incarnation != pod.incarnation || report.session != pod.session) return false;
  if (report.number <= pod.reports) return false;
  pod.reports = report.number;
  for (const auto& [lane, said] : report.lanes) pod.lanes[lane];
  for (auto& [lane, entry] : pod.lanes) {
    const auto it = report.lanes.find(lane);
    const budget::LaneReport said = it == report.lanes.end() ? budget::LaneReport{} : it->second;
    // More than it was ever allowed it cannot have; saying so must not take anything from the others.
    const Slots held = std::min({said.held, std::max(per_pod_, entry.charge()), kMost});
    // All that its processes hold is charged: what this one turns out to have, the others have not.
    if (!pod.usable) entry.remains = std::min(entry.remains, beyond(entry.charge(), held));
    if (said.seen >= entry.number) entry.sent = 0;
    entry.held = held;
    entry.want = std::min(said.want, kMost);
    if (report.complete) entry.remains = 0;
    if (!pod.usable || entry.goal > entry.held) entry.goal = entry.held;
    const bool waits = entry.want > entry.own();
    if (waits && !entry.waits) entry.waiting = now;
    entry.waits = waits;
    if (entry.own() == 0) entry.served = {};
  }
  pod.usable = true;
  return true;
}

void Allocator::silent(const std::string& pod) {
  const auto found = pods_.find(pod);
  if (found == pods_.end()) return;
  found->second.usable = false;
  found->second.session = ++sessions_;  // that nobody has heard of: what is still on its way counts no more
}

Slots Allocator::bury(const std::string& pod, Slots left) {
  const auto found = pods_.find(pod);
  if (found == pods_.end()) return 0;
  Slots most = 0;
  for (auto& [lane, entry] : found->second.lanes) {
    // What it holds itself may be among what remains, until it says so.
    if (found->second.usable) entry.remains = std::min(entry.remains, left);
    most = std::max(most, entry.remains);
  }
  return most;
}

std::map<std::string, std::uint64_t> Allocator::haunted() const {
  std::map<std::string, std::uint64_t> out;
  for (const auto& [name, pod] : pods_) {
    const bool any =
        std::any_of(pod.lanes.begin(), pod.lanes.end(), [](const auto& i) { return i.second.remains > 0; });
    if (pod.usable && any) out[name] = pod.incarnation;
  }
  return out;
}

void Allocator::forget(const std::string& pod) {
  pods_.erase(pod);
  kept_.erase(pod);
}

void Allocator::saved(bool in_force) {
  if (!saving_) return;
  if (in_force) {
    kept_ = std::move(*saving_);
    saves_in_force_ = saves_;
  } else {
    deposed_ = true;
  }
  saving_.reset();
}

// What is certain whichever of the two is kept.
Slots Allocator::ceiling(const std::string& pod, const Lane& lane) const {
  const auto in = [&](const Ceilings& ceilings) {
    const auto found = ceilings.find(pod);
    return found == ceilings.end() ? 0 : at(found->second, lane);
  };
  return saving_ ? std::min(in(kept_), in(*saving_)) : in(kept_);
}

std::map<Lane, Slots> Allocator::charges() const {
  std::map<Lane, Slots> sums;
  for (const auto& [name, pod] : pods_) {
    for (const auto& [lane, entry] : pod.lanes) sums[lane] += entry.charge();
  }
  return sums;
}

// How many more this lane can have beside what is taken.
Slots Allocator::room(const Lane& lane, const std::map<Lane, Slots>& taken) const {
  const Slots written = at(taken, budget::kReadWrite);
  if (lane != budget::kReadWrite) {
    const auto member = members_.find(lane);
    return member == members_.end() ? 0 : beyond(member->second, written + at(taken, lane));
  }
  if (members_.empty()) return 0;
  Slots least = std::numeric_limits<Slots>::max();
  for (const auto& [member, limit] : members_) least = std::min(least, beyond(limit, written + at(taken, member)));
  return least;
}

Allocator::Claims Allocator::claims() {
  Claims out;
  for (auto& [name, pod] : pods_) {
    for (auto& [lane, entry] : pod.lanes) {
      entry.needed_ceiling = 0;
      if (!pod.usable) continue;
      const Slots most = beyond(per_pod_, entry.remains);
      out[lane].push_back({&name, &pod, &entry, &lane, std::min(entry.want, most), 0});
    }
  }
  return out;
}

// Reading and writing share each member: where both want more than there is, either gets half.
void Allocator::share_out(Claims& claims, TimePoint now) {
  std::map<Lane, Slots> fixed;
  for (const auto& [name, pod] : pods_) {
    for (const auto& [lane, entry] : pod.lanes) fixed[lane] += pod.usable ? entry.remains : entry.charge();
  }
  const auto wanted = [&](const Lane& lane) {
    std::uint64_t sum = 0;
    const auto found = claims.find(lane);
    if (found == claims.end()) return sum;
    for (const Claim& claim : found->second) sum += claim.want;
    return sum;
  };
  const auto free_at = [&](const std::string& member, Slots limit) {
    return beyond(limit, at(fixed, budget::kReadWrite) + at(fixed, member));
  };
  // A floor for everybody where it suffices for all, else for whoever asks.
  auto& writing = claims[budget::kReadWrite];
  Slots for_writing = members_.empty() ? 0 : std::numeric_limits<Slots>::max();
  for (const auto& [member, limit] : members_) {
    const Slots free = free_at(member, limit);
    const auto reading = static_cast<Slots>(std::min<std::uint64_t>(wanted(member), free));
    for_writing = std::min(for_writing, std::max(free - reading, (free + 1) / 2));
  }
  if (writing.size() * options_.floor <= for_writing) {
    for (Claim& claim : writing) claim.want = std::max(claim.want, std::min(options_.floor, per_pod_));
  }
  divide(writing, for_writing, now);
  Slots written = 0;
  for (const Claim& claim : writing) written += claim.share;
  for (auto& [lane, reading] : claims) {
    if (lane == budget::kReadWrite) continue;
    const auto member = members_.find(lane);
    divide(reading, member == members_.end() ? 0 : beyond(free_at(lane, member->second), written), now);
  }
}

// Max-min fair: nobody gets less than another unless it wants no more. What does not divide evenly stays where it is.
void Allocator::divide(std::vector<Claim>& claims, Slots slots, TimePoint now) {
  std::vector<Claim*> left;
  left.reserve(claims.size());
  for (Claim& claim : claims) left.push_back(&claim);
  std::stable_sort(left.begin(), left.end(), [](const Claim* a, const Claim* b) { return a->want < b->want; });
  std::size_t first = 0;
  while (first < left.size() && left[first]->want <= slots / (left.size() - first)) {
    left[first]->share = left[first]->want;
    slots -= left[first]->want;
    ++first;
  }
  left.erase(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(first));
  if (left.empty()) return;
  const auto level = static_cast<Slots>(slots / left.size());
  const std::size_t more = slots % left.size();
  const auto rank = [&](const Claim& claim) {
    const Entry& entry = *claim.entry;
    if (entry.own() <= level) return 1;
    return level > 0 || now - entry.served < options_.slice ? 0 : 2;
  };
  std::stable_sort(left.begin(), left.end(), [&](const Claim* a, const Claim* b) {
    const int ra = rank(*a);
    const int rb = rank(*b);
    if (ra != rb) return ra < rb;
    return ra == 1 ? a->entry->waiting < b->entry->waiting : a->entry->served > b->entry->served;
  });
  for (std::size_t i = 0; i < left.size(); ++i) left[i]->share = level + (i < more ? 1 : 0);
  if (level > 0) return;
  for (const Claim* claim : left) {
    if (rank(*claim) != 0) continue;
    const TimePoint over = claim->entry->served + options_.slice;
    if (!next_step_ || over < *next_step_) next_step_ = over;
  }
}

void Allocator::allow(const Claim& claim, Slots slots, Slots goal, Actions& actions) {
  Entry& entry = *claim.entry;
  entry.sent = slots;
  entry.goal = goal;
  const Slots floor = *claim.lane == budget::kReadWrite && claim.share >= options_.floor ? options_.floor : 0;
  actions.allowances.emplace_back(*claim.name, budget::Allowance{claim.pod->incarnation, epoch_, claim.pod->session,
                                                                 ++entry.number, *claim.lane, slots, goal, floor});
}

// True: somebody did not get its share, because others have it; or more is out than a limit that shrank.
bool Allocator::raise(Claims& claims, TimePoint now, Actions& actions) {
  std::vector<Claim*> order;
  for (auto& [lane, list] : claims) {
    for (Claim& claim : list) {
      if (claim.share > claim.entry->own()) order.push_back(&claim);
    }
  }
  std::stable_sort(order.begin(), order.end(), [](const Claim* a, const Claim* b) {
    const Slots own_a = a->entry->own();
    const Slots own_b = b->entry->own();
    return own_a != own_b ? own_a < own_b : a->entry->waiting < b->entry->waiting;
  });
  std::map<Lane, Slots> taken = charges();
  bool pressed = std::any_of(members_.begin(), members_.end(), [&](const auto& member) {
    return at(taken, budget::kReadWrite) + at(taken, member.first) > member.second;
  });
  for (Claim* claim : order) {
    Entry& entry = *claim->entry;
    const Slots missing = claim->share - entry.own();
    const Slots given = std::min(missing, room(*claim->lane, taken));
    if (given < missing) pressed = true;
    if (given == 0) continue;
    taken[*claim->lane] += given;
    const bool confirmed = saves_in_force_ >= claim->pod->confirmed_by;
    const Slots most = confirmed ? ceiling(*claim->name, *claim->lane) : 0;
    if (entry.charge() + given > most) {
      entry.needed_ceiling = entry.charge() + given;
      needs_ceilings_ = true;
    }
    const Slots now_given = std::min(given, beyond(most, entry.charge()));
    if (now_given == 0 || entry.sent != 0) continue;  // one at a time: the next when this one is known to be taken
    if (entry.own() == 0) entry.served = now;
    entry.waits = false;
    const Slots slots = entry.own() + now_given;
    allow(*claim, slots, slots, actions);
  }
  return pressed;
}

void Allocator::take_back(Claims& claims, bool pressed, Actions& actions) {
  for (auto& [lane, list] : claims) {
    for (Claim& claim : list) {
      Entry& entry = *claim.entry;
      if (entry.sent != 0 || entry.held == 0) continue;
      Slots goal = entry.held;
      if (entry.held > claim.share && (pressed || entry.goal < entry.held)) goal = pressed ? claim.share : entry.held;
      if (goal != entry.goal) allow(claim, entry.held, goal, actions);
    }
  }
}

// What each is charged or needs; then, as far as there is room, what it had, and something to spare for who needs more.
Ceilings Allocator::compose() const {
  Ceilings out;
  std::map<Lane, Slots> taken;
  for (const auto& [name, pod] : pods_) {
    for (const auto& [lane, entry] : pod.lanes) {
      const Slots slots = std::max(entry.charge(), entry.needed_ceiling);
      if (slots == 0) continue;
      out[name][lane] = slots;
      taken[lane] += slots;
    }
  }
  const auto spare = [&](const std::string& name, const Lane& lane, Slots wished) {
    Slots& slots = out[name][lane];
    const Slots more = std::min(beyond(std::min(wished, per_pod_), slots), room(lane, taken));
    slots += more;
    taken[lane] += more;
  };
  for (const auto& [name, pod] : pods_) {
    for (const auto& [lane, entry] : pod.lanes) {
      if (entry.needed_ceiling > 0) spare(name, lane, entry.needed_ceiling + options_.chunk);
    }
  }
  for (const auto& [name, lanes] : kept_) {
    if (!pods_.contains(name)) continue;
    for (const auto& [lane, slots] : lanes) spare(name, lane, slots);
  }
  return out;
}

Actions Allocator::step(TimePoint now) {
  Actions actions;
  next_step_.reset();
  if (deposed_) return actions;
  const bool armed = saves_in_force_ > 0;
  needs_ceilings_ = !armed;
  if (armed) {
    Claims all = claims();
    share_out(all, now);
    const bool pressed = raise(all, now, actions);
    take_back(all, pressed, actions);
  }
  if (needs_ceilings_ && !saving_) {
    saving_ = compose();
    ++saves_;
    actions.save = saving_;
  }
  return actions;
}

Slots Allocator::charged(const std::string& pod, const Lane& lane) const {
  const auto found = pods_.find(pod);
  if (found == pods_.end()) return 0;
  const auto entry = found->second.lanes.find(lane);
  return entry == found->second.lanes.end() ? 0 : entry->second.charge();
}

std::map<Lane, Totals> Allocator::totals() const {
  std::map<Lane, Totals> out;
  for (const auto& [member, limit] : members_) out[member];
  for (const auto& [name, pod] : pods_) {
    for (const auto& [lane, entry] : pod.lanes) {
      Totals& totals = out[lane];
      totals.charged += entry.charge();
      totals.wanted += entry.want;
      totals.unknown += pod.usable ? entry.remains : entry.charge();
    }
  }
  for (auto& [lane, totals] : out) totals.limit = room(lane, {});
  return out;
}

}  // namespace dbproxy::operator_budget
