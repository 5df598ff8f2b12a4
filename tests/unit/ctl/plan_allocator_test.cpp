// What `plan connections` foretells is what the allocator does.
#include <gmock/gmock.h>

#include "operator/budget/allocator.hpp"
#include "operator/ctl/plan_connections.hpp"
#include "proxy/budget/ledger.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::ctl {
namespace {

using budget::Slots;

struct Outcome {
  Slots used = 0, served = 0;  // connections; sidecars that have one
  bool turns = false;          // sidecars have to take turns
};

// Every pod wants `each` connections, for good.
Outcome allocate(std::uint32_t pods, Slots limit, Slots each) {
  operator_budget::Allocator allocator({}, 1, {});
  allocator.set_limits({{"a", limit}}, limit);
  std::vector<std::unique_ptr<budget::Ledger>> ledgers;
  TimePoint now{std::chrono::hours(1)};
  for (std::uint32_t i = 0; i < pods; ++i) {
    budget::LedgerOptions options;
    options.pod = std::to_string(i);
    options.incarnation = i + 1;
    ledgers.push_back(std::make_unique<budget::Ledger>(std::move(options)));
    ledgers.back()->take(allocator.hello(ledgers.back()->hello()));
  }
  for (int round = 0; round < 10; ++round) {
    for (const auto& ledger : ledgers) {
      const Slots open = std::min(each, ledger->limit("a"));
      ledger->set_use("a", {true, open, each - open}, now);
      if (const auto report = ledger->report()) allocator.report(*report, now);
    }
    const operator_budget::Actions actions = allocator.step(now);
    for (const auto& [name, allowance] : actions.allowances) ledgers.at(std::stoul(name))->take(allowance, now);
    if (actions.save) allocator.saved(true);
  }
  Outcome out;
  for (const auto& ledger : ledgers) {
    out.used += ledger->limit("a");
    out.served += ledger->limit("a") > 0 ? 1 : 0;
  }
  out.turns = allocator.next_step().has_value();
  return out;
}

struct Case {
  std::uint32_t pods, max_connections, percent;
};
class PlanAndAllocator : public testing::TestWithParam<Case> {};

TEST_P(PlanAndAllocator, Agree) {
  const Case& given = GetParam();
  const Load load{.pods = given.pods, .max_connections = given.max_connections, .percent = given.percent};
  std::string error;
  const std::string text = plan_connections(load, error);
  ASSERT_EQ(error, "");

  config::Target target;
  target.max_connections = given.max_connections;
  target.reserved_connections = load.reserved;
  config::ConnectionPool pool;
  pool.max_connections_percent = given.percent;
  const Slots limit = config::connection_limit(target, pool);
  const Outcome outcome = allocate(given.pods, limit, limit);
  EXPECT_EQ(outcome.used, limit);
  EXPECT_THAT(text, testing::HasSubstr("limit                             " + std::to_string(outcome.used) + "  ("));
  EXPECT_EQ(outcome.served, std::min(given.pods, limit));
  EXPECT_EQ(outcome.turns, text.find("they take turns") != std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(Fleets, PlanAndAllocator,
                         testing::Values(Case{1, 100, 100}, Case{20, 100, 50}, Case{50, 100, 50}, Case{51, 100, 50},
                                         Case{96, 100, 100}, Case{97, 100, 100}, Case{200, 1000, 90}, Case{7, 5, 80}));

}  // namespace
}  // namespace dbproxy::ctl
