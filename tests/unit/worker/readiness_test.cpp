// When a sidecar is ready that asks an operator for slots.
#include "tests/unit/worker/bench.hpp"

namespace dbproxy::worker::testing {
namespace {

constexpr std::uint64_t kProcess = 7;

class Readiness : public Bench {
 protected:
  Readiness() {
    auto with = options();
    with.budget.incarnation = kProcess;
    service_ = std::make_unique<Service>(engines(), with, registry_, clock_);
  }
  void allow(budget::Slots slots) {
    service_->take("default/shop", budget::Open{.incarnation = kProcess, .epoch = 1, .session = 1});
    service_->take("default/shop", budget::Allowance{.incarnation = kProcess,
                                                     .epoch = 1,
                                                     .session = 1,
                                                     .number = 1,
                                                     .lane = budget::kReadWrite,
                                                     .slots = slots,
                                                     .goal = slots,
                                                     .floor = 1});
  }
};

TEST_F(Readiness, ComesWithTheFirstSlot) {
  ASSERT_EQ(apply(), "");
  EXPECT_TRUE(service_->listening());
  allow(1);
  EXPECT_TRUE(eventually([&] { return service_->configured(); }));
  EXPECT_EQ(types(client().ask("SELECT 1")), "TDCZ");
}

TEST_F(Readiness, ComesWithoutASlotAfterAWhile) {
  const auto begun = clock_.now();
  ASSERT_EQ(apply(), "");
  EXPECT_TRUE(eventually([&] { return service_->configured(); }));
  EXPECT_GE(clock_.now() - begun, std::chrono::seconds(2));
}

TEST_F(Readiness, WaitsForNoSlotWhereThereIsNoFloor) {
  snapshot_.pool.floor = 0;
  ASSERT_EQ(apply(), "");
  EXPECT_TRUE(service_->configured());
}

TEST_F(Readiness, WaitsForNoSlotWhereNoneIsLeased) {
  service_->count_alone();
  ASSERT_EQ(apply(), "");
  EXPECT_TRUE(service_->configured());
}

}  // namespace
}  // namespace dbproxy::worker::testing
