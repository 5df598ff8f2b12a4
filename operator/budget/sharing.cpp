// Allocator: who gets how much of what there is, and who gives back.
#include <algorithm>
#include <limits>
#include <utility>

#include "operator/budget/allocator.hpp"
#include "operator/budget/slots.hpp"

namespace dbproxy::operator_budget {

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

}  // namespace dbproxy::operator_budget
