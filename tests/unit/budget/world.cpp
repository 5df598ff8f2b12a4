#include "world.hpp"

#include <algorithm>

namespace dbproxy::model {
namespace {

constexpr std::size_t kBag = 24;

// The decisions inside one step, all of them made by its number.
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : state_(seed + 0x9e3779b97f4a7c15ULL) {}
  std::uint32_t roll(std::size_t sides) {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return static_cast<std::uint32_t>((z ^ (z >> 31)) % sides);
  }

 private:
  std::uint64_t state_;
};

bool any(const std::map<std::string, Slots>& counts) {
  return std::any_of(counts.begin(), counts.end(), [](const auto& item) { return item.second > 0; });
}

}  // namespace

World::World(Shape shape) : shape_(std::move(shape)) {
  bounds_ = shape_.limits;
  pods_.resize(static_cast<std::size_t>(shape_.pods));
  for (std::size_t i = 0; i < pods_.size(); ++i) {
    pods_[i].name = "pod" + std::to_string(i);
    pods_[i].volume.emplace();
  }
  start_operator();
}

World::Operator* World::find(int uid) {
  for (Operator& op : operators_) {
    if (op.uid == uid) return &op;
  }
  return nullptr;
}

// And with it the list of connections.
void World::lose_volume(Pod& pod) {
  pod.volume.reset();
  for (auto& [member, count] : pod.lingering) pod.orphans[member] += std::exchange(count, 0);
}

void World::start_operator() {
  Operator op;
  op.uid = ++uids_;
  op.version = version_;
  op.allocator = std::make_unique<operator_budget::Allocator>(
      operator_budget::AllocatorOptions{.chunk = static_cast<Slots>(op.uid % 3)}, ++epochs_, kept_);
  op.allocator->set_limits(shape_.limits, shape_.per_pod);
  operators_.push_back(std::move(op));
  if (operators_.size() > 2) operators_.pop_front();
}

void World::start_process(Pod& pod) {
  if (!pod.volume) {
    pod.volume.emplace();
    pod.complete = false;  // from now on, whatever is in it: a volume keeps that it was made late
  }
  pod.incarnation = ++incarnations_;
  pod.ledger =
      std::make_unique<budget::Ledger>(budget::LedgerOptions{.pod = pod.name,
                                                             .incarnation = pod.incarnation,
                                                             .own = *pod.volume,
                                                             .complete = pod.complete,
                                                             .save = [this, &pod](const budget::Holdings& held) {
                                                               if (disk_full_) return false;
                                                               pod.volume = held;
                                                               return true;
                                                             }});
  pod.open.clear();
  for (const auto& [member, limit] : shape_.limits) use(pod, member);
  greet(pod);
}

void World::kill(Pod& pod) {
  pod.ledger.reset();
  for (auto& [member, count] : pod.open) pod.lingering[member] += std::exchange(count, 0);
}

// Perhaps one that does not know that another leads.
void World::greet(Pod& pod, bool outdated) {
  if (!operators_.empty()) pod.talks_to = outdated ? operators_.front().uid : operators_.back().uid;
  bag_.emplace_back(ToOperator{pod.talks_to, pod.ledger->hello()});
}

void World::say(Pod& pod) {
  if (auto report = pod.ledger->report()) bag_.emplace_back(ToOperator{pod.talks_to, *report});
}

void World::use(Pod& pod, const std::string& member) {
  const Slots open = pod.open[member];
  const Slots demand = pod.demand[member];
  pod.ledger->set_use(member,
                      {pod.writer == member, open + pod.lingering[member], demand > open ? demand - open : 0,
                       open > demand ? open - demand : 0},
                      now_);
}

// One connection more, or one less.
void World::work(Pod& pod, const std::string& member) {
  const Slots all = pod.ledger->limit(member);
  const Slots limit = all - std::min(all, pod.lingering[member]);
  Slots& open = pod.open[member];
  if (open < pod.demand[member] && open < limit) {
    ++open;
  } else if (open > pod.demand[member] || open > limit) {
    --open;
  }
  use(pod, member);
}

void World::deliver(const Message& message) {
  if (const auto* to = std::get_if<ToPod>(&message)) {
    Pod& pod = pods_[to->pod];
    if (!pod.ledger) return;
    if (const auto* open = std::get_if<budget::Open>(&to->body)) {
      pod.ledger->take(*open);
    } else {
      pod.ledger->take(std::get<budget::Allowance>(to->body), now_);
    }
    say(pod);
    return;
  }
  const auto& to = std::get<ToOperator>(message);
  Operator* op = find(to.uid);
  if (op == nullptr) return;
  if (const auto* hello = std::get_if<budget::Hello>(&to.body)) {
    const auto which = static_cast<std::size_t>(std::stoi(hello->pod.substr(3)));
    bag_.emplace_back(ToPod{which, op->allocator->hello(*hello)});
  } else {
    op->allocator->report(std::get<budget::Report>(to.body), now_);
  }
  run(*op);
}

void World::run(Operator& op) {
  operator_budget::Actions actions = op.allocator->step(now_);
  for (const auto& [name, allowance] : actions.allowances) {
    bag_.emplace_back(ToPod{static_cast<std::size_t>(std::stoi(name.substr(3))), allowance});
  }
  if (actions.save) writes_.push_back({op.uid, op.version, std::move(*actions.save)});
}

// At the store: compare and swap.
void World::land(Write& write) {
  write.landed = true;
  write.good = write.expects == version_;
  if (!write.good) return;
  ++version_;
  kept_ = write.ceilings;
}

// The answer comes to who wrote, if it is still there.
bool World::answer(Write& write) {
  if (!write.landed) return false;
  if (Operator* op = find(write.by)) {
    if (write.good) op->version = write.expects + 1;
    op->allocator->saved(write.good);
    run(*op);
  }
  return true;
}

Slots World::kept(const operator_budget::Ceilings& ceilings, const std::string& member) const {
  Slots sum = 0;
  for (const auto& [name, lanes] : ceilings) {
    for (const auto& [lane, slots] : lanes) {
      if (lane == budget::kReadWrite || lane == member) sum += slots;
    }
  }
  return sum;
}

// After a limit shrank what is out may stay, and may never become more.
void World::bound() {
  for (auto& [member, most] : bounds_) {
    Slots out = kept(kept_, member);
    for (const Write& write : writes_) {
      if (!write.landed && write.expects == version_) out = std::max(out, kept(write.ceilings, member));
    }
    most = std::max(shape_.limits[member], std::min(most, out));
  }
}

void World::set_limit(const std::string& member, Slots limit) {
  shape_.limits[member] = limit;
  for (auto& [name, most] : bounds_) most = std::max(most, shape_.limits[name]);
  for (Operator& op : operators_) {
    // Whoever cannot write any more may be as frozen as it likes.
    const bool heard = std::none_of(writes_.begin(), writes_.end(),
                                    [&](const Write& write) { return write.by == op.uid && write.good; });
    const bool fenced = op.version != version_ && heard && &op != &operators_.back();
    if (!fenced) op.allocator->set_limits(shape_.limits, shape_.per_pod);
  }
  if (!operators_.empty()) run(operators_.back());
}

void World::step(std::uint32_t number) {
  Dice dice(number);
  Pod& pod = pods_[dice.roll(pods_.size())];
  const std::string member = dice.roll(3) == 0 ? "b" : "a";
  const std::uint32_t what = dice.roll(100);
  const std::uint32_t luck = dice.roll(1000);
  now_ += std::chrono::milliseconds(dice.roll(20));
  last_ = "nothing";
  if (what < 40) {
    if (!bag_.empty()) {
      const std::size_t which = luck < 600 ? 0 : dice.roll(bag_.size());
      const Message message = bag_[which];
      if (dice.roll(8) != 0) bag_.erase(bag_.begin() + static_cast<std::ptrdiff_t>(which));
      if (dice.roll(4) == 0) late_.at(late_next_++ % late_.size()) = message;
      last_ = "deliver message " + std::to_string(which);
      if (dice.roll(20) != 0) deliver(message);
    }
  } else if (what < 44) {
    const std::size_t which = dice.roll(late_.size());
    last_ = "deliver once more what came long ago, " + std::to_string(which) + (luck < 300 ? " and on" : "");
    for (std::size_t i = which; i < late_.size() && (i == which || luck < 300); ++i) {
      if (late_.at(i)) deliver(*late_.at(i));
    }
  } else if (what < 66) {
    last_ = pod.name + " works at " + member;
    if (pod.ledger) work(pod, member), say(pod);
  } else if (what < 76) {
    pod.demand[member] = dice.roll(9);
    last_ = pod.name + " wants " + std::to_string(pod.demand[member]) + " at " + member;
    if (pod.ledger) use(pod, member), say(pod);
  } else if (what < 80) {
    last_ = pod.name + " ticks";
    if (pod.ledger) pod.ledger->tick(now_), say(pod);
  } else if (what < 84) {
    last_ = pod.name + (pod.ledger ? " greets" : " starts");
    pod.ledger ? greet(pod, luck < 300) : start_process(pod);
  } else if (what < 86) {
    last_ = pod.name + (luck < 250 ? " is killed and loses its volume" : " is killed");
    if (pod.ledger) kill(pod);
    if (!pod.ledger && luck < 250) lose_volume(pod);
  } else if (what < 90) {
    last_ = "the server ends a session that " + pod.name + " left at " + member;
    if (Slots& from = pod.orphans[member] > 0 ? pod.orphans[member] : pod.lingering[member]; from > 0) --from;
    if (!any(pod.orphans) && (pod.ledger || !any(pod.lingering))) {
      for (Operator& op : operators_) op.allocator->bury(pod.name);
    }
    if (pod.ledger) use(pod, member), say(pod);
  } else if (what < 91) {
    if (!pod.ledger && !any(pod.lingering) && !any(pod.orphans) && luck < 300) {
      last_ = pod.name + " is gone for ever";
      pod.volume.emplace();
      pod.complete = true;
      for (Operator& op : operators_) op.allocator->forget(pod.name);
    } else if (!pod.ledger && luck < 600) {
      last_ = pod.name + " is taken for lost, and its volume with it";
      lose_volume(pod);
      for (Operator& op : operators_) op.allocator->silent(pod.name), op.allocator->lose(pod.name);
    } else if (!operators_.empty()) {
      last_ = "the leader loses sight of " + pod.name;
      operators_.back().allocator->silent(pod.name);
      if (pod.ledger && luck < 800) pod.ledger->unheard();
    }
  } else if (what < 97) {
    if (!writes_.empty()) {
      Write& write = writes_[dice.roll(writes_.size())];
      last_ = write.landed ? "an operator hears of its write" : "a write lands";
      if (!write.landed) {
        land(write);
      } else if (answer(write)) {
        writes_.erase(std::find_if(writes_.begin(), writes_.end(), [&](const Write& each) { return &each == &write; }));
      }
    }
  } else if (what < 98) {
    if (luck < 300) {
      last_ = "the leader dies";
      if (!operators_.empty()) operators_.pop_back();
    } else if (luck < 600 || operators_.empty() || operators_.back().allocator->deposed()) {
      last_ = "another leads";
      start_operator();
      run(operators_.back());
    }
  } else if (what < 99) {
    const Slots limit = dice.roll(12);
    if (luck < 300) shape_.per_pod = 1 + dice.roll(9);
    last_ = "one sidecar may have " + std::to_string(shape_.per_pod) + ", the limit of " + member + " is " +
            std::to_string(limit);
    set_limit(member, limit);
  } else if (luck < 500) {
    pod.writer = pod.writer == "a" ? "b" : "a";
    last_ = pod.name + " takes " + pod.writer + " for the writer";
    if (pod.ledger) use(pod, "a"), use(pod, "b"), say(pod);
  } else {
    disk_full_ = !disk_full_ && luck < 700;
    last_ = disk_full_ ? "volumes are full" : "volumes are not full";
  }
  if (bag_.size() > kBag) bag_.erase(bag_.begin(), bag_.begin() + static_cast<std::ptrdiff_t>(bag_.size() - kBag));
  bound();
}

std::string World::violation() const {
  for (const auto& [member, most] : bounds_) {
    Slots connections = 0;
    Slots held = 0;
    for (const Pod& pod : pods_) {
      const auto count = [&here_at = member](const auto& map) {
        const auto found = map.find(here_at);
        return found == map.end() ? 0 : found->second;
      };
      const Slots here = count(pod.open) + count(pod.lingering);
      connections += here + count(pod.orphans);
      // Of a dead process: what its successor goes on with, whoever is away.
      Slots slots = 0;
      const budget::Holdings holdings = pod.ledger ? pod.ledger->holdings() : pod.volume.value_or(budget::Holdings{});
      for (const auto& [lane, each] : holdings) slots += lane == budget::kReadWrite || lane == member ? each : 0;
      if (here > slots) return pod.name + " has more connections to " + member + " than slots";
      slots += count(pod.orphans);
      held += slots;
      Slots ceiling = 0;
      if (const auto found = kept_.find(pod.name); found != kept_.end()) {
        for (const auto& [lane, each] : found->second)
          ceiling += lane == budget::kReadWrite || lane == member ? each : 0;
      }
      if (slots > ceiling) return pod.name + " holds more of " + member + " than its ceiling";
    }
    if (connections > most) return "more connections to " + member + " than its limit";
    if (held > most) return "more slots of " + member + " are out than its limit";
    if (kept(kept_, member) > most) return "ceilings for " + member + " add up to more than its limit";
  }
  return {};
}

void World::settle_round() {
  now_ += std::chrono::milliseconds(100);
  for (int turn = 0; turn < 1000 && !(bag_.empty() && writes_.empty()); ++turn) {
    std::vector<Message> messages = std::exchange(bag_, {});
    for (const Message& message : messages) deliver(message);
    for (std::deque<Write> writes = std::exchange(writes_, {}); Write & write : writes) {
      land(write);
      answer(write);
    }
  }
  for (Operator& op : operators_) run(op);
  for (Pod& pod : pods_) {
    for (int i = 0; i < 12; ++i) work(pod, pod.writer);
    work(pod, pod.writer == "a" ? "b" : "a");
    pod.ledger->tick(now_);
    say(pod);
  }
}

std::string World::settle() {
  disk_full_ = false;
  bag_.clear();
  writes_.clear();
  operators_.clear();
  start_operator();
  set_limit("a", 5);
  set_limit("b", 5);
  for (Pod& pod : pods_) {
    if (!pod.ledger) start_process(pod);
    pod.lingering.clear();
    pod.orphans.clear();
    pod.writer = "a";
    pod.demand = {{"a", 3}};
    use(pod, "a");
    use(pod, "b");
    greet(pod);
  }
  std::map<std::string, bool> served;
  for (int round = 0; round < 100; ++round) {
    settle_round();
    for (Pod& pod : pods_) {
      operators_.back().allocator->bury(pod.name);
      if (pod.open["a"] > 0) served[pod.name] = true;
    }
    bound();
    if (std::string error = violation(); !error.empty()) return error;
  }
  Slots used = 0;
  for (const Pod& pod : pods_) {
    if (!served[pod.name]) return pod.name + " waits for ever";
    used += pod.open.at("a");
  }
  const Slots most = std::min<Slots>(5, std::min<Slots>(3, shape_.per_pod) * static_cast<Slots>(pods_.size()));
  // Where sidecars outnumber slots, one may just be on its way.
  if (used + (pods_.size() > 5 ? pods_.size() : 0) < most) return "only " + std::to_string(used) + " slots are used";
  return {};
}

}  // namespace dbproxy::model
