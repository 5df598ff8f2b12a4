#include "proxy/topology/policy.hpp"

#include <gtest/gtest.h>

namespace dbproxy::topology {
namespace {

using config::HealthReason;
using config::TargetHealth;
using config::TargetRole;

ProbeResult writer(std::string system = "1") {
  ProbeResult out;
  out.ok = true;
  out.max_connections = 100;
  out.reserved = 3;
  out.system_identifier = std::move(system);
  return out;
}

ProbeResult reader(double lag = 0, std::string system = "1") {
  ProbeResult out = writer(std::move(system));
  out.in_recovery = true;
  out.lag_seconds = lag;
  return out;
}

ProbeResult failed(HealthReason reason) {
  ProbeResult out;
  out.reason = reason;
  return out;
}

class Policy : public testing::Test {
 protected:
  Policy() { state_.set_members({{"a", "a.example", 5432}, {"b", "b.example", 5432}}); }
  Observation seen(std::size_t i) const { return state_.observations().at(i); }
  ClusterState state_;
};

TEST_F(Policy, BeginsWithNothingKnown) {
  EXPECT_EQ(seen(0).health, TargetHealth::kRegistering);
  EXPECT_EQ(seen(0).max_connections, 0u);
}

TEST_F(Policy, RolesAreWhatTheDatabasesSay) {
  state_.apply("a", writer());
  state_.apply("b", reader(0.25));
  EXPECT_EQ(seen(0).role, TargetRole::kReadWrite);
  EXPECT_EQ(seen(0).health, TargetHealth::kAvailable);
  EXPECT_EQ(seen(0).max_connections, 100u);
  EXPECT_EQ(seen(0).reserved, 3u);
  EXPECT_EQ(seen(1).role, TargetRole::kReadOnly);
  EXPECT_EQ(seen(1).lag_seconds, 0.25);
}

TEST_F(Policy, AnUnreachableWriterStaysTheWriterUntilAnotherClaims) {
  state_.apply("a", writer());
  state_.apply("b", reader());
  state_.apply("a", failed(HealthReason::kUnreachable));
  EXPECT_EQ(seen(0).role, TargetRole::kReadWrite);
  EXPECT_EQ(seen(0).health, TargetHealth::kUnavailable);
  EXPECT_EQ(seen(0).reason, HealthReason::kUnreachable);
  EXPECT_EQ(seen(0).max_connections, 100u);
  state_.apply("b", writer());
  EXPECT_EQ(seen(0).role, TargetRole::kReadOnly);
  EXPECT_EQ(seen(0).reason, HealthReason::kUnreachable);
  EXPECT_EQ(seen(1).role, TargetRole::kReadWrite);
}

TEST_F(Policy, OfTwoWritersTheNewestChangeCounts) {
  state_.apply("a", writer());
  state_.apply("b", reader());
  state_.apply("b", writer());
  state_.apply("a", writer());  // it claims still
  EXPECT_EQ(seen(1).role, TargetRole::kReadWrite);
  EXPECT_EQ(seen(0).role, TargetRole::kReadOnly);
  EXPECT_EQ(seen(0).health, TargetHealth::kUnavailable);
  EXPECT_EQ(seen(0).reason, HealthReason::kInvalidReplicationState);
  EXPECT_EQ(seen(0).detail, "it is not in recovery, and b became the writer after it");
}

TEST_F(Policy, TheOldWriterDoesNotComeBackWhileTheNewOneIsAway) {
  state_.apply("a", writer());
  state_.apply("b", reader());
  state_.apply("b", writer());
  state_.apply("b", failed(HealthReason::kUnreachable));
  state_.apply("a", writer());
  EXPECT_EQ(seen(0).reason, HealthReason::kInvalidReplicationState);
  EXPECT_EQ(seen(1).role, TargetRole::kReadWrite);
}

TEST_F(Policy, AStrangersClaimAtFirstSightDoesNotTakeTheRole) {
  state_.apply("b", writer());
  state_.apply("a", writer());
  EXPECT_EQ(seen(1).role, TargetRole::kReadWrite);
  EXPECT_EQ(seen(0).reason, HealthReason::kInvalidReplicationState);
}

TEST_F(Policy, FailsOverAndBack) {
  state_.apply("a", writer());
  state_.apply("b", reader());
  state_.apply("b", writer());
  state_.apply("a", reader());
  EXPECT_EQ(seen(0).health, TargetHealth::kAvailable);
  state_.apply("a", writer());
  EXPECT_EQ(seen(0).role, TargetRole::kReadWrite);
  EXPECT_EQ(seen(1).reason, HealthReason::kInvalidReplicationState);
  state_.apply("b", reader());
  EXPECT_EQ(seen(1).health, TargetHealth::kAvailable);
}

TEST_F(Policy, AReaderOfAnotherClusterIsNotUsed) {
  state_.apply("a", writer("1"));
  state_.apply("b", reader(0, "2"));
  EXPECT_EQ(seen(1).health, TargetHealth::kUnavailable);
  EXPECT_EQ(seen(1).reason, HealthReason::kInvalidReplicationState);
}

TEST_F(Policy, AFailureWithoutAReasonIsAFailedConnection) {
  state_.apply("a", failed(HealthReason::kNone));
  EXPECT_EQ(seen(0).reason, HealthReason::kConnectionFailed);
}

TEST_F(Policy, MembersThatStayKeepWhatIsKnown) {
  state_.apply("a", writer());
  state_.set_members({{"c", "c.example", 1}, {"a", "a.example", 5432}});
  EXPECT_EQ(seen(0).health, TargetHealth::kRegistering);
  EXPECT_EQ(seen(1).max_connections, 100u);
  state_.set_members({{"a", "elsewhere.example", 5432}});
  EXPECT_EQ(seen(0).health, TargetHealth::kRegistering);
}

TEST_F(Policy, SmallLagIsNoChange) {
  state_.apply("b", reader(0.1));
  auto before = state_.observations();
  state_.apply("b", reader(0.55));
  EXPECT_FALSE(differs(before, state_.observations()));
  state_.apply("b", reader(0.7));
  EXPECT_TRUE(differs(before, state_.observations()));
}

}  // namespace
}  // namespace dbproxy::topology
