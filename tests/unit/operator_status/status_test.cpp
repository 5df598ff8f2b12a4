#include "operator/status/status.hpp"

#include <gtest/gtest.h>

namespace dbproxy::operator_status {
namespace {

using config::HealthReason;
using config::TargetHealth;
using config::TargetRole;
using kubernetes::text_at;

config::Target target(const std::string& id, TargetRole role, TargetHealth health = TargetHealth::kAvailable,
                      HealthReason reason = HealthReason::kNone) {
  config::Target out;
  out.id = id;
  out.role = role;
  out.health = health;
  out.reason = reason;
  out.max_connections = 100;
  return out;
}

Facts facts(std::vector<config::Target> targets) {
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->targets = std::move(targets);
  snapshot->endpoints = {{"default", 5432, TargetRole::kReadWrite, false}};
  snapshot->pool.max_connections_percent = 50;
  Facts out;
  out.generation = 3;
  out.snapshot = snapshot;
  out.sidecars.connected = out.sidecars.updated = 2;
  return out;
}

Facts good() {
  return facts({target("a", TargetRole::kReadWrite), target("b", TargetRole::kReadOnly)});
}

manifest::Diagnostic error(const std::string& object, const std::string& field) {
  manifest::Diagnostic out;
  out.object = object;
  out.field = field;
  out.rule = "is wrong";
  return out;
}

std::map<std::string, std::string> states(const Facts& of) {
  std::map<std::string, std::string> out;
  for (const Condition& each : conditions(of)) out[each.type] = each.status + " " + each.reason;
  return out;
}

TEST(Conditions, AllIsWell) {
  EXPECT_EQ(states(good()), (std::map<std::string, std::string>{{"Accepted", "True Accepted"},
                                                                {"ResolvedRefs", "True ResolvedRefs"},
                                                                {"Programmed", "True Updated"},
                                                                {"TargetsAvailable", "True Available"},
                                                                {"Ready", "True Ready"}}));
}

TEST(Conditions, ARefusedAddressIsSaidToBeOne) {
  const Facts refused =
      facts({target("a", TargetRole::kReadWrite, TargetHealth::kUnavailable, HealthReason::kEndpointRefused)});
  EXPECT_EQ(states(refused)["TargetsAvailable"], "False EndpointRefused");
  const auto told = notes(facts({target("a", TargetRole::kReadWrite)}), refused);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].reason, "EndpointRefused");
  EXPECT_NE(told[0].text.find("metadata"), std::string::npos);
}

TEST(Conditions, ErrorsStandWhereTheyBelong) {
  Facts broken = good();
  broken.diagnostics = {error("DBProxy shop/orders", "spec.auth[1]"), error("Secret shop/app", "data.username"),
                        error("DBProxy shop/orders", "spec.auth[0].secretRef.name")};
  const auto all = conditions(broken);
  EXPECT_EQ(all[0].status, "False");
  EXPECT_NE(all[0].message.find("spec.auth[1]: is wrong; the last good version stays in force"), std::string::npos);
  EXPECT_EQ(all[1].status, "False");
  EXPECT_NE(all[1].message.find("Secret shop/app"), std::string::npos);
  EXPECT_NE(all[1].message.find("secretRef"), std::string::npos);
  EXPECT_EQ(all[4].status, "True");  // clients are served all the same
  EXPECT_EQ(all[4].reason, "Invalid");
  broken.diagnostics[0].severity = manifest::Severity::kWarning;
  EXPECT_EQ(conditions(broken)[0].status, "True");
  EXPECT_EQ(conditions(broken)[4].reason, "Unresolved");
}

TEST(Conditions, NothingGoodYet) {
  Facts none;
  none.diagnostics = {error("DBProxy shop/orders", "spec.port")};
  EXPECT_EQ(states(none)["Programmed"], "False NothingToProgram");
  EXPECT_EQ(states(none)["Ready"], "False NotReady");
  EXPECT_EQ(conditions(none)[0].message.find("last good"), std::string::npos);
}

TEST(Conditions, SidecarsAndTargets) {
  Facts rejected = good();
  rejected.sidecars.rejected = 1;
  rejected.sidecars.rejected_by = "shop/web-1";
  rejected.sidecars.error = "port 5432 is taken";
  EXPECT_EQ(conditions(rejected)[2].message, "shop/web-1: port 5432 is taken");
  EXPECT_EQ(states(rejected)["Ready"], "False NotReady");
  Facts alone = good();
  alone.sidecars = {};
  EXPECT_EQ(states(alone)["Programmed"], "Unknown NoSidecar");
  EXPECT_EQ(states(alone)["Ready"], "True Ready");
  EXPECT_EQ(states(facts({target("b", TargetRole::kReadOnly)}))["TargetsAvailable"], "False NoWriter");
}

TEST(Status, KeepsTheTimeOfAConditionThatStays) {
  const WallTime first{};
  const auto before = make_status(good(), nullptr, first);
  EXPECT_EQ(text_at(before, {"availableTargets"}), "2/2");
  EXPECT_EQ(kubernetes::integer_at(before, {"observedGeneration"}), 3);
  EXPECT_EQ(before.at("connections").at("limit").as_uint64(), 100U);
  const auto same = make_status(good(), &before, first + std::chrono::hours(1));
  EXPECT_EQ(boost::json::serialize(same), boost::json::serialize(before));
  const auto after = make_status(facts({target("a", TargetRole::kReadOnly)}), &before, first + std::chrono::hours(1));
  const auto& list = after.at("conditions").as_array();
  EXPECT_EQ(text_at(list[0].as_object(), {"lastTransitionTime"}), "1970-01-01T00:00:00Z");
  EXPECT_EQ(text_at(list[3].as_object(), {"lastTransitionTime"}), "1970-01-01T01:00:00Z");
}

std::vector<std::string> reasons(const Facts& before, const Facts& after) {
  std::vector<std::string> out;
  for (const Note& each : notes(before, after)) out.push_back(each.reason);
  return out;
}

TEST(Notes, TellWhatHappened) {
  using Reasons = std::vector<std::string>;
  EXPECT_EQ(reasons(good(), good()), Reasons{});
  EXPECT_EQ(reasons(good(), facts({target("a", TargetRole::kReadOnly), target("b", TargetRole::kReadWrite)})),
            Reasons{"FailedOver"});
  EXPECT_EQ(reasons(good(), facts({target("a", TargetRole::kReadWrite), target("c", TargetRole::kReadOnly)})),
            (Reasons{"TargetAdded", "TargetRemoved"}));
  const Facts refused =
      facts({target("a", TargetRole::kReadWrite, TargetHealth::kUnavailable, HealthReason::kAuthFailure),
             target("b", TargetRole::kReadOnly)});
  EXPECT_EQ(reasons(good(), refused), Reasons{"SecretRejected"});
  EXPECT_EQ(reasons(refused, good()), Reasons{"TargetAvailable"});
  // The writer is gone for a while before another is promoted.
  const auto lost = facts({target("a", TargetRole::kReadWrite, TargetHealth::kUnavailable, HealthReason::kUnreachable),
                           target("b", TargetRole::kReadOnly)});
  const auto promoted =
      facts({target("a", TargetRole::kReadOnly, TargetHealth::kUnavailable, HealthReason::kUnreachable),
             target("b", TargetRole::kReadWrite)});
  EXPECT_EQ(reasons(good(), lost), Reasons{"TargetUnavailable"});
  EXPECT_EQ(reasons(lost, promoted), Reasons{"FailedOver"});
  EXPECT_EQ(reasons(lost, good()), Reasons{"TargetAvailable"});
  Facts broken = good();
  broken.diagnostics = {error("DBProxy shop/orders", "spec.port"), error("Secret shop/app", "data")};
  EXPECT_EQ(reasons(good(), broken), (Reasons{"ReferencesUnresolved", "Invalid"}));
  EXPECT_EQ(reasons(broken, broken), Reasons{});
}

TEST(Notes, AReaderThatLags) {
  auto behind = target("b", TargetRole::kReadOnly, TargetHealth::kUnavailable, HealthReason::kInvalidReplicationState);
  behind.lag_seconds = 12;
  Facts after = facts({target("a", TargetRole::kReadWrite), behind});
  EXPECT_EQ(reasons(good(), after), std::vector<std::string>{"TargetUnavailable"});
  auto limited = *after.snapshot;
  limited.discovery.max_lag_seconds = 10;
  after.snapshot = std::make_shared<const config::Snapshot>(std::move(limited));
  EXPECT_EQ(reasons(good(), after), std::vector<std::string>{"TargetLagging"});
}

TEST(Notes, DebugLoggingThatEndedAndConnectionsThatRanOut) {
  Facts before;
  Facts after;
  after.debug_until = "2026-01-01T00:00:00Z";
  after.debug_ended = true;
  after.exhausted = true;
  const auto told = notes(before, after);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].reason, "DebugLoggingEnded");
  EXPECT_EQ(told[1].reason, "ConnectionsExhausted");
  EXPECT_TRUE(notes(after, after).empty());
  EXPECT_EQ(text_at(make_status(after, nullptr, WallTime{}), {"debugLoggingUntil"}), "2026-01-01T00:00:00Z");
}

}  // namespace
}  // namespace dbproxy::operator_status
