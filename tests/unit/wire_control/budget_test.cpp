#include "proxy/wire/control/budget.hpp"

#include <gtest/gtest.h>

#include "proxy/wire/control/limits.hpp"

namespace dbproxy::wire_control {
namespace {

TEST(BudgetMessages, ComeOutAsTheyWentIn) {
  const budget::Report report{"shop/pod", 1, 2, 3, 4, false, true, {{"", {5, 6, 7}}, {"reader-1", {8, 9, 10}}}};
  const auto back = from_proto(to_proto("shop/orders", report), "shop/pod");
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->pod, "shop/pod");
  EXPECT_EQ(back->incarnation, 1u);
  EXPECT_EQ(back->epoch, 2u);
  EXPECT_EQ(back->session, 3u);
  EXPECT_EQ(back->number, 4u);
  EXPECT_FALSE(back->complete);
  EXPECT_TRUE(back->leaving);
  EXPECT_EQ(back->lanes.at("").held, 6u);
  EXPECT_EQ(back->lanes.at("reader-1").want, 10u);

  const auto open = from_proto(to_proto("shop/orders", budget::Open{1, 2, 3}));
  EXPECT_EQ(open.incarnation, 1u);
  EXPECT_EQ(open.epoch, 2u);
  EXPECT_EQ(open.session, 3u);

  const auto allowance = from_proto(to_proto("shop/orders", budget::Allowance{1, 2, 3, 4, "reader-1", 5, 6, 7}));
  ASSERT_TRUE(allowance.has_value());
  EXPECT_EQ(allowance->number, 4u);
  EXPECT_EQ(allowance->lane, "reader-1");
  EXPECT_EQ(allowance->slots, 5u);
  EXPECT_EQ(allowance->goal, 6u);
  EXPECT_EQ(allowance->floor, 7u);
}

TEST(BudgetMessages, NamesThatAreNoneAreRefused) {
  for (const std::string& lane : {std::string("a b"), std::string("a\nb"), std::string(kMaxTargetId + 1, 'a')}) {
    v1::BudgetReport report;
    report.add_lanes()->set_lane(lane);
    EXPECT_FALSE(from_proto(report, "pod").has_value());
    v1::BudgetAllowance allowance;
    allowance.set_lane(lane);
    EXPECT_FALSE(from_proto(allowance).has_value());
  }
  v1::BudgetReport many;
  for (int i = 0; i < kMaxTargets + 2; ++i) many.add_lanes()->set_lane("l" + std::to_string(i));
  EXPECT_FALSE(from_proto(many, "pod").has_value());
}

}  // namespace
}  // namespace dbproxy::wire_control
