// What the connection budget costs the operator, with as many sidecars as there are to be: both classes without the
// stream between them, and a store that answers at once.
#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "operator/budget/allocator.hpp"
#include "proxy/budget/ledger.hpp"

namespace {

using namespace dbproxy;
using budget::Slots;

class Fleet {
 public:
  Fleet(std::size_t sidecars, Slots limit) : allocator_({}, 1, {}), wanted_(sidecars), open_(sidecars) {
    allocator_.set_limits({{"a", limit}}, limit);
    for (std::size_t i = 0; i < sidecars; ++i) {
      budget::LedgerOptions options;
      options.pod = "shop/orders-" + std::to_string(100000 + i);
      options.incarnation = i + 1;
      ledgers_.push_back(std::make_unique<budget::Ledger>(std::move(options)));
      ledgers_.back()->take(allocator_.hello(ledgers_.back()->hello()));
    }
  }
  void want(std::size_t sidecar, Slots clients) { wanted_[sidecar] = clients; }
  // The sidecar does what it may, and says what is new.
  void act(std::size_t sidecar) {
    Slots& open = open_[sidecar];
    open = std::min(wanted_[sidecar], ledgers_[sidecar]->limit("a"));
    ledgers_[sidecar]->set_use("a", {true, open, wanted_[sidecar] - open}, now);
    if (const auto report = ledgers_[sidecar]->report()) allocator_.report(*report, now);
  }
  std::size_t step() {
    std::size_t messages = 0;
    for (bool again = true; again;) {
      const operator_budget::Actions actions = allocator_.step(now);
      for (const auto& [name, allowance] : actions.allowances) {
        ledgers_[std::stoul(name.substr(name.size() - 6)) - 100000]->take(allowance, now);
        ++messages;
      }
      again = actions.save.has_value();
      if (again) allocator_.saved(true);
    }
    return messages;
  }
  int settle() {
    for (int rounds = 1;; ++rounds) {
      now += std::chrono::milliseconds(1);
      for (std::size_t i = 0; i < ledgers_.size(); ++i) act(i);
      if (step() == 0) return rounds;
    }
  }
  Slots open(std::size_t sidecar) const { return open_[sidecar]; }
  TimePoint now{std::chrono::hours(1)};

 private:
  operator_budget::Allocator allocator_;
  std::vector<std::unique_ptr<budget::Ledger>> ledgers_;
  std::vector<Slots> wanted_, open_;
};

// All slots are taken; one is not needed any more, and another sidecar has been waiting for it.
void a_free_slot_reaches_who_waits(benchmark::State& state) {
  const auto sidecars = static_cast<std::size_t>(state.range(0));
  Fleet fleet(sidecars, static_cast<Slots>(sidecars * 3 / 2));  // each has a floor of one
  for (std::size_t i = 0; i < sidecars; ++i) fleet.want(i, i % 2 == 0 ? 2 : 0);
  fleet.settle();
  std::vector<double> milliseconds;
  std::size_t from = 0;
  for (auto _ : state) {
    const std::size_t to = from + 1;
    fleet.now += std::chrono::seconds(1);
    fleet.want(from, 1);
    fleet.want(to, 2);
    const auto begin = std::chrono::steady_clock::now();
    fleet.act(from);
    fleet.act(to);
    for (int turns = 0; fleet.open(to) < 2 && turns < 10; ++turns) {
      fleet.step();
      fleet.act(from);
      fleet.act(to);
    }
    milliseconds.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
    if (fleet.open(to) < 2) std::abort();
    state.PauseTiming();
    fleet.want(to, 0);
    fleet.want(from, 2);
    for (int i = 0; i < 3; ++i) fleet.now += std::chrono::seconds(1), fleet.settle();
    from = (from + 2) % (sidecars & ~std::size_t{1});
    state.ResumeTiming();
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  state.counters["p99_ms"] = milliseconds[milliseconds.size() * 99 / 100];
}
BENCHMARK(a_free_slot_reaches_who_waits)->Arg(100)->Arg(1000)->Iterations(300)->Unit(benchmark::kMicrosecond);

// All demand goes from one half of the sidecars to the other.
void a_swing_settles(benchmark::State& state) {
  const auto sidecars = static_cast<std::size_t>(state.range(0));
  Fleet fleet(sidecars, static_cast<Slots>(sidecars * 3 / 2));  // each has a floor of one
  int rounds = 0;
  bool second = false;
  for (auto _ : state) {
    for (std::size_t i = 0; i < sidecars; ++i) fleet.want(i, (i < sidecars / 2) == second ? 0 : 2);
    second = !second;
    rounds = std::max(rounds, fleet.settle());
  }
  state.counters["rounds"] = rounds;  // of messages there and back
}
BENCHMARK(a_swing_settles)->Arg(100)->Arg(1000)->Unit(benchmark::kMillisecond);

// Demand stays as it is: one look at everything, which nobody even asks for.
void a_step_with_nothing_to_do(benchmark::State& state) {
  const auto sidecars = static_cast<std::size_t>(state.range(0));
  Fleet fleet(sidecars, static_cast<Slots>(sidecars * 3 / 2));  // each has a floor of one
  for (std::size_t i = 0; i < sidecars; ++i) fleet.want(i, 3);
  fleet.settle();
  std::size_t messages = 0;
  for (auto _ : state) messages += fleet.step();
  state.counters["messages"] = static_cast<double>(messages);
}
BENCHMARK(a_step_with_nothing_to_do)->Arg(100)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
