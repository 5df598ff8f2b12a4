// Allocator: what each sidecar is charged, and the ceilings that are kept; sharing.cpp has who gets what.
#include "operator/budget/allocator.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "operator/budget/slots.hpp"

namespace dbproxy::operator_budget {
namespace {

constexpr Slots kMost = 262'143;  // connections of a PostgreSQL server; as such, sums over 5,000 sidecars cannot wrap

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
  pod.usable = pod.lost = false;
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
    // What is on its way to it counts: it may have come down just before that reaches it.
    if (!pod.usable || entry.goal > entry.own()) entry.goal = entry.own();
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

void Allocator::lose(const std::string& pod) {
  const auto found = pods_.find(pod);
  if (found == pods_.end() || found->second.usable) return;
  for (auto& [lane, entry] : found->second.lanes) {
    entry.remains = entry.charge();
    entry.held = entry.sent = entry.want = 0;
  }
  found->second.incarnation = 0;  // whoever says Hello is another process
  found->second.session = ++sessions_;
  found->second.lost = true;
}

Slots Allocator::bury(const std::string& pod, Slots left) {
  const auto found = pods_.find(pod);
  if (found == pods_.end()) return 0;
  Slots most = 0;
  for (auto& [lane, entry] : found->second.lanes) {
    // What it holds itself may be among what remains, until it says so.
    if (found->second.usable || found->second.lost) entry.remains = std::min(entry.remains, left);
    most = std::max(most, entry.remains);
  }
  if (found->second.lost && most == 0) forget(pod);
  return most;
}

std::map<std::string, std::uint64_t> Allocator::haunted() const {
  std::map<std::string, std::uint64_t> out;
  for (const auto& [name, pod] : pods_) {
    const bool any =
        std::any_of(pod.lanes.begin(), pod.lanes.end(), [](const auto& i) { return i.second.remains > 0; });
    if ((pod.usable || pod.lost) && any) out[name] = pod.incarnation;
  }
  return out;
}

std::vector<std::string> Allocator::unheard() const {
  std::vector<std::string> out;
  for (const auto& [name, pod] : pods_) {
    if (pod.usable) continue;
    if (std::any_of(pod.lanes.begin(), pod.lanes.end(), [](const auto& i) { return i.second.charge() > 0; })) {
      out.push_back(name);
    }
  }
  return out;
}

Ceilings Allocator::known() const {
  Ceilings out = kept_;
  for (const auto& [name, pod] : pods_) {
    for (const auto& [lane, entry] : pod.lanes) {
      if (entry.charge() == 0) continue;
      Slots& slots = out[name][lane];
      slots = std::max(slots, entry.charge());
    }
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

Slots Allocator::charged(const std::string& pod) const {
  const auto found = pods_.find(pod);
  if (found == pods_.end()) return 0;
  Slots writing = 0;
  Slots reading = 0;
  for (const auto& [lane, entry] : found->second.lanes) {
    Slots& most = lane == budget::kReadWrite ? writing : reading;
    most = std::max(most, entry.charge());
  }
  return writing + reading;
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
