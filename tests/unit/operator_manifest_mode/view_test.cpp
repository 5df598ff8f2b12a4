#include "operator/manifest_mode/view.hpp"

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

#include "operator/manifest_mode/chronicle.hpp"
#include "operator/manifest_mode/operator.hpp"

namespace dbproxy::manifest_mode {
namespace {

using operator_control::SidecarState;

source::Snapshots snapshots(config::TargetHealth health = config::TargetHealth::kAvailable) {
  auto s = std::make_shared<config::Snapshot>();
  s->name_space = "shop";
  s->name = "orders";
  s->version = 3;
  s->endpoints = {{"default", 5432, config::TargetRole::kReadWrite, false}};
  s->pool.max_connections_percent = 50;
  config::Target target;
  target.id = "db-1";
  target.health = health;
  target.max_connections = 100;
  s->targets = {target};
  return {{"shop/orders", s}};
}

operator_control::SidecarRow sidecar(const std::string& identity, SidecarState state) {
  operator_control::SidecarRow row;
  row.identity = identity;
  row.proxy = "shop/orders";
  row.state = state;
  row.servers = 4;
  if (state == SidecarState::kRejected) row.error = "port 5432 is in use";
  return row;
}

const operator_admin::ConditionRow& condition(const operator_admin::OperatorView& view, const std::string& type) {
  for (const auto& each : view.proxies.at(0).conditions) {
    if (each.type == type) return each;
  }
  throw std::out_of_range(type);
}

TEST(View, ReadyWhenTheWriterIsThereAndSidecarsHaveIt) {
  const auto view = make_view(snapshots(), {sidecar("a", SidecarState::kUpdated)}, {}, WallTime{});
  const auto& row = view.proxies.at(0);
  EXPECT_TRUE(row.ready);
  EXPECT_EQ(row.writer, "db-1");
  EXPECT_EQ(row.connections, 4u);
  EXPECT_EQ(row.connections_limit, 50u);
  EXPECT_EQ(row.sidecars.updated, 1u);
  EXPECT_EQ(condition(view, "Programmed").status, "True");
  EXPECT_EQ(view.targets.at(0).limit, 50u);
}

TEST(View, BudgetsAreShownWhereTheyAreHeld) {
  auto view = make_view(snapshots(), {sidecar("a", SidecarState::kUpdated)}, {}, WallTime{});
  add_budgets(view, {{"shop/orders", "", "", 50, 40, 3, 60, 2.5},
                     {"shop/orders", "", "a", 0, 40, 0, 60, 0},
                     {"shop/orders", "db-1", "", 10, 1, 0, 1, 0},
                     {"shop/other", "", "", 9, 9, 9, 9, 9}});
  EXPECT_EQ(view.targets.at(0).granted, 41u);
  EXPECT_EQ(view.targets.at(0).asked, 61u);
  EXPECT_EQ(view.targets.at(0).unknown, 3u);
  EXPECT_EQ(view.targets.at(0).reason, "PENDING_PROXY_CAPACITY");
  EXPECT_EQ(view.sidecars.at(0).granted, 40u);
  EXPECT_EQ(view.proxies.at(0).connections_granted, 41u);
  EXPECT_EQ(view.proxies.at(0).exhausted_seconds, 2.5);
}

TEST(Chronicle, TellsWhatHappenedToDatabasesNewestFirst) {
  ManualClock clock;
  Chronicle chronicle(clock);
  chronicle.note(snapshots());
  EXPECT_TRUE(chronicle.rows().empty());
  chronicle.note(snapshots(config::TargetHealth::kUnavailable));
  clock.advance(std::chrono::seconds(5));
  chronicle.note(snapshots());
  const auto rows = chronicle.rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].reason, "TargetAvailable");
  EXPECT_EQ(rows[1].reason, "TargetUnavailable");
  EXPECT_EQ(rows[1].about, "DBProxy shop/orders");
  EXPECT_TRUE(rows[1].warning);
  EXPECT_DOUBLE_EQ(rows[1].age_seconds, 5);
  for (int i = 0; i < 60; ++i) {
    chronicle.note(snapshots(i % 2 == 0 ? config::TargetHealth::kUnavailable : config::TargetHealth::kAvailable));
  }
  EXPECT_EQ(chronicle.rows().size(), 50u);
  chronicle.note({{"shop/orders", nullptr}});
  EXPECT_EQ(chronicle.rows().size(), 50u);
}

TEST(View, RefusalSpeaksInTheSidecarsWords) {
  const auto view = make_view(
      snapshots(), {sidecar("a", SidecarState::kUpdated), sidecar("b", SidecarState::kRejected)}, {}, WallTime{});
  EXPECT_FALSE(view.proxies.at(0).ready);
  EXPECT_EQ(condition(view, "Programmed").status, "False");
  EXPECT_EQ(condition(view, "Programmed").message, "b: port 5432 is in use");
}

TEST(View, NoWriterAndNoSidecar) {
  const auto view = make_view(snapshots(config::TargetHealth::kUnavailable), {}, {}, WallTime{});
  EXPECT_FALSE(view.proxies.at(0).ready);
  EXPECT_EQ(condition(view, "TargetsAvailable").reason, "NoWriter");
  EXPECT_EQ(condition(view, "Programmed").status, "Unknown");
}

TEST(View, ErrorsOfAnEditAreShownWhereTheyBelong) {
  manifest::Diagnostic error;
  error.file = "orders.yaml";
  error.line = 7;
  error.object = "DBProxy shop/orders";
  error.field = "spec.port";
  error.value = "0";
  error.rule = "is not between 1 and 65535";
  manifest::Diagnostic other = error;
  other.object = "DBProxy shop/billing";
  const auto view = make_view(snapshots(), {}, {error, other}, WallTime{});
  EXPECT_EQ(view.diagnostics.size(), 2u);
  EXPECT_EQ(view.diagnostics[0].message, "0 is not between 1 and 65535");
  EXPECT_EQ(view.proxies.at(0).errors.size(), 1u);
  EXPECT_EQ(condition(view, "Accepted").status, "False");
  EXPECT_TRUE(view.proxies.at(0).ready);  // the version before still serves
}

TEST(StateDir, IsMadePrivateAndMustNotBeOpen) {
  char name[] = "/tmp/dbproxy-state-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::filesystem::path path = std::filesystem::path(name) / "a" / "b";
  EXPECT_EQ(prepare_state_dir(path), "");
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms::owner_all);
  EXPECT_EQ(prepare_state_dir(path), "");
  std::filesystem::permissions(path, std::filesystem::perms::all);
  EXPECT_NE(prepare_state_dir(path), "");
  EXPECT_NE(prepare_state_dir(""), "");
  std::filesystem::remove_all(name);
}

}  // namespace
}  // namespace dbproxy::manifest_mode
