// Several DBProxies of one server, and sessions of others.
#include <algorithm>

#include "budgets_fixture.hpp"

namespace dbproxy::operator_control {
namespace {

// Of the 96 connections that anybody may have.
TEST_F(BudgetsTest, GrantsLeaveTheLastFreeConnectionsOfTheServer) {
  limit(60);
  const auto first = sidecar("a");
  std::optional<Budgets::Question> question;
  ASSERT_TRUE(eventually([&] { return (question = budgets_->question("db", 5432, "app")).has_value(); }));
  budgets_->answer(*question, 0, 50);
  first->want(60);
  ASSERT_TRUE(eventually([&] { return first->open() == 41; }));
  EXPECT_TRUE(eventually([&] { return budgets_->rows().at(0).crowded; }));
  EXPECT_EQ(budgets_->rows().at(0).limit, 41u);
  budgets_->answer(*question, 0, 54);
  EXPECT_EQ(first->open(), 41u) << "nothing is taken back for others";
  budgets_->answer(*question, 0, 40);
  ASSERT_TRUE(eventually([&] { return first->open() == 52; }));
  budgets_->answer(*question, 0, 0);
  ASSERT_TRUE(eventually([&] { return first->open() == 60; }));
  EXPECT_FALSE(budgets_->rows().at(0).crowded);
}

TEST_F(BudgetsTest, WhatASilentSidecarMayHaveOpenIsNotCountedTwice) {
  limit(90);
  auto first = sidecar("a");
  first->want(40);
  ASSERT_TRUE(eventually([&] { return first->open() == 40; }));
  const auto second = sidecar("b");
  budgets_->silent("a", first.get());
  std::optional<Budgets::Question> question;
  ASSERT_TRUE(eventually([&] { return (question = budgets_->question("db", 5432, "app")).has_value(); }));
  budgets_->answer(*question, 40, 45);
  second->want(90);
  ASSERT_TRUE(eventually([&] { return second->open() == 50; }));  // five are others', and one is left free
}

// Each may have all of it by its own percentage.
TEST_F(BudgetsTest, DBProxiesOfOneServerShareItByWhateverNamesTheyHaveForIt) {
  constexpr const char* kOther = "pay/orders";
  limit(100);
  config::Snapshot other = snapshot_;
  other.name_space = "pay";
  other.targets[0].id = "elsewhere";
  other.targets[0].host = "Alias.example";
  budgets_->publish(kOther, std::make_shared<config::Snapshot>(other));
  budgets_->identify("db", 5432, "server 1");
  budgets_->identify("alias.example", 5432, "server 1");
  EXPECT_EQ(budgets_->servers(), (ServerNames{{"db:5432", "server 1"}, {"alias.example:5432", "server 1"}}));
  const auto first = sidecar("a");
  const auto second = sidecar("b", 1, kOther);
  first->want(96);
  ASSERT_TRUE(eventually([&] { return first->open() == 95; }));  // all but the floor of the other one
  second->want(10);
  ASSERT_TRUE(eventually([&] { return second->open() == 10 && first->open() == 86; }));
  second->want(96);
  ASSERT_TRUE(eventually([&] { return second->open() == 48 && first->open() == 48; }));
  first->want(0);
  ASSERT_TRUE(eventually([&] { return second->open() == 95; }));
  budgets_->backends(kProxy, "a", {{"writer", {1}}});
  budgets_->backends(kOther, "b", {{"elsewhere", {2, 3}}});
  std::optional<Budgets::Question> question;
  ASSERT_TRUE(eventually([&] { return (question = budgets_->question("db", 5432, "app")).has_value(); }));
  std::sort(question->known.begin(), question->known.end());
  EXPECT_EQ(question->known, (std::vector<std::uint32_t>{1, 2, 3})) << "those of both are known";
  budgets_->identify("alias.example", 5432, "server 2");  // it leads to another one now
  first->want(96);
  ASSERT_TRUE(eventually([&] { return first->open() == 96 && second->open() == 96; }));
}

}  // namespace
}  // namespace dbproxy::operator_control
