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

TEST_F(Policy, WhileNobodyIsTheWriterTheOneOfBeforeIsWaitedForAndNotUsed) {
  state_.apply("a", writer());
  state_.apply("b", reader());
  state_.apply("a", reader());
  EXPECT_EQ(seen(0).role, TargetRole::kReadWrite);
  EXPECT_EQ(seen(0).health, TargetHealth::kUnavailable);
  EXPECT_EQ(seen(0).reason, HealthReason::kInvalidReplicationState);
  EXPECT_EQ(seen(1).health, TargetHealth::kAvailable);
  state_.apply("b", writer());
  EXPECT_EQ(seen(1).role, TargetRole::kReadWrite);
  EXPECT_EQ(seen(0).role, TargetRole::kReadOnly);
  EXPECT_EQ(seen(0).health, TargetHealth::kAvailable);
}

TEST_F(Policy, OfTwoWritersAtFirstSightTheHigherTimelineCounts) {
  auto newer = writer();
  newer.timeline = 3;
  auto older = writer();
  older.timeline = 2;
  state_.apply("a", older);
  state_.apply("b", newer);
  EXPECT_EQ(seen(1).role, TargetRole::kReadWrite);
  EXPECT_EQ(seen(0).reason, HealthReason::kInvalidReplicationState);
}

TEST_F(Policy, AnUnseenMemberIsNotTheWriterWhileAnotherIs) {
  EXPECT_EQ(seen(1).role, TargetRole::kReadWrite) << "nobody knows";
  state_.apply("a", writer());
  EXPECT_EQ(seen(1).role, TargetRole::kReadOnly);
  state_.apply("b", failed(HealthReason::kUnreachable));
  EXPECT_EQ(seen(1).role, TargetRole::kReadOnly);
}

TEST_F(Policy, WhatIsRememberedCountsAsSeen) {
  state_.remember("b", {});
  state_.apply("a", writer());  // it was no reader when it was seen last: an old claim
  EXPECT_EQ(seen(0).reason, HealthReason::kInvalidReplicationState);
  state_.apply("b", failed(HealthReason::kUnreachable));
  EXPECT_EQ(seen(1).role, TargetRole::kReadWrite);
  EXPECT_FALSE(state_.has_writer());
}

TEST_F(Policy, AReaderThatIsRememberedMayHaveBeenPromoted) {
  state_.remember("a", {"b"});
  state_.apply("b", writer());
  EXPECT_EQ(seen(1).role, TargetRole::kReadWrite);
  EXPECT_TRUE(state_.has_writer());
  state_.apply("a", writer());
  EXPECT_EQ(seen(0).reason, HealthReason::kInvalidReplicationState);
}

// Members that tell of each other, as Aurora's do.
class Told : public testing::Test {
 protected:
  Told() { state_.set_members({{"orders", "orders.cluster-abc.example", 5432}}, {"?.abc.example", 5432, "", 0}); }

  static ProbeResult tells(ProbeResult result, std::vector<MemberNews> members) {
    result.members = std::move(members);
    return result;
  }
  void apply(std::string_view member, const ProbeResult& result) { state_.apply(member, result, now_); }
  Observation seen(std::string_view id) const {
    for (const auto& observation : state_.observations()) {
      if (observation.target == id) return observation;
    }
    return {};
  }
  std::string hosts() const {
    std::string out;
    for (const auto& member : state_.members()) out += (out.empty() ? "" : " ") + member.host;
    return out;
  }
  std::string ids() const {
    std::string out;
    for (const auto& observation : state_.observations()) out += (out.empty() ? "" : " ") + observation.target;
    return out;
  }
  // a writes, b and c read, and everybody knows.
  void begin() {
    apply("orders", tells(writer(), well()));
    apply("a", tells(writer(), well()));
    apply("b", tells(reader(), well()));
    apply("c", tells(reader(), well()));
  }
  static std::vector<MemberNews> well() { return {{"a", true, 0, 0}, {"b", false, 0, 0.02}, {"c", false, 0, 0.5}}; }

  TimePoint now_ = TimePoint{} + std::chrono::hours(1);
  ClusterState state_;
};

TEST_F(Told, MembersThatAreToldOfJoin) {
  EXPECT_EQ(ids(), "orders");
  apply("orders", tells(writer(), well()));
  EXPECT_EQ(ids(), "a b c");
  EXPECT_EQ(hosts(), "orders.cluster-abc.example a.abc.example b.abc.example c.abc.example");
  EXPECT_EQ(seen("a").role, TargetRole::kReadWrite);
  EXPECT_EQ(seen("a").health, TargetHealth::kRegistering);
  EXPECT_EQ(seen("a").host, "a.abc.example");
  EXPECT_EQ(seen("b").role, TargetRole::kReadOnly);
  EXPECT_FALSE(state_.has_writer());
  apply("a", tells(writer(), well()));
  EXPECT_TRUE(state_.has_writer());
  EXPECT_EQ(hosts(), "a.abc.example b.abc.example c.abc.example");  // where it began is not asked any more
  EXPECT_EQ(seen("c").lag_seconds, 0.5);
}

TEST_F(Told, MembersThatAreWhereThePatternHasThemAreNoPlaceToBegin) {
  state_ = {};
  state_.set_members({{"a", "a.abc.example", 5432}, {"b", "b.abc.example", 5432}}, {"?.abc.example", 5432, "", 0});
  apply("a", tells(writer(), well()));
  EXPECT_EQ(ids(), "a b c");
  EXPECT_EQ(seen("b").host, "b.abc.example");
  EXPECT_EQ(seen("a").health, TargetHealth::kAvailable);
}

TEST_F(Told, WhereItBeganIsAskedAgainWhenNobodyElseAnswers) {
  begin();
  for (const auto* id : {"a", "b"}) apply(id, failed(HealthReason::kUnreachable));
  EXPECT_EQ(hosts().find("orders"), std::string::npos);
  apply("c", failed(HealthReason::kUnreachable));
  EXPECT_EQ(hosts(), "orders.cluster-abc.example a.abc.example b.abc.example c.abc.example");
  EXPECT_EQ(ids(), "a b c");
}

TEST_F(Told, MembersJoinAndLeave) {
  begin();
  auto news = well();
  news.push_back({"d", false, 0, 0});
  apply("a", tells(writer(), news));
  EXPECT_EQ(ids(), "a b c d");
  news.erase(news.begin() + 1);
  for (const auto* id : {"a", "c", "d"}) apply(id, tells(id[0] == 'a' ? writer() : reader(), news));
  EXPECT_EQ(ids(), "a b c d") << "b itself says that it is there";
  now_ += std::chrono::seconds(11);  // b has not said anything since
  for (const auto* id : {"a", "c", "d"}) apply(id, tells(id[0] == 'a' ? writer() : reader(), news));
  EXPECT_EQ(ids(), "a c d");
}

TEST_F(Told, NewsOlderThanThreeMinutesAreIgnored) {
  begin();
  auto news = well();
  news[1].age_seconds = 181;
  now_ += std::chrono::seconds(11);
  apply("a", tells(writer(), news));
  EXPECT_EQ(ids(), "a c");
}

TEST_F(Told, AFailover) {
  begin();
  now_ += std::chrono::seconds(1);
  apply("a", failed(HealthReason::kUnreachable));
  EXPECT_EQ(seen("a").role, TargetRole::kReadWrite);
  EXPECT_FALSE(state_.has_writer());
  // c has heard that b is the writer now; b has not been promoted yet.
  std::vector<MemberNews> news = {{"a", true, 5, 0}, {"b", true, 0, 0}, {"c", false, 0, 0.1}};
  apply("c", tells(reader(), news));
  EXPECT_EQ(seen("a").role, TargetRole::kReadOnly);
  EXPECT_EQ(seen("b").role, TargetRole::kReadWrite);
  EXPECT_EQ(seen("b").health, TargetHealth::kUnavailable);
  EXPECT_EQ(seen("b").reason, HealthReason::kInvalidReplicationState);
  EXPECT_FALSE(state_.has_writer());
  apply("b", tells(writer(), news));
  EXPECT_EQ(seen("b").role, TargetRole::kReadWrite);
  EXPECT_EQ(seen("b").health, TargetHealth::kAvailable);
  EXPECT_TRUE(state_.has_writer());
}

TEST_F(Told, OfTwoWritersWhoBecameItLaterCountsAndTheOtherIsNotUsed) {
  begin();
  now_ += std::chrono::seconds(1);
  apply("b", tells(writer(), {{"a", true, 3, 0}, {"b", true, 0, 0}, {"c", false, 0, 0}}));
  for (int i = 0; i < 3; ++i) {  // a still believes in itself
    now_ += std::chrono::seconds(1);
    apply("a", tells(writer(), {{"a", true, 0, 0}, {"b", false, 4, 0}, {"c", false, 4, 0}}));
    EXPECT_EQ(seen("b").role, TargetRole::kReadWrite);
    EXPECT_EQ(seen("a").health, TargetHealth::kUnavailable);
    EXPECT_EQ(seen("a").reason, HealthReason::kInvalidReplicationState);
    apply("b", tells(writer(), {{"a", true, 4, 0}, {"b", true, 0, 0}, {"c", false, 0, 0}}));
  }
}

TEST_F(Told, AnOldWriterThatComesBackAndStillBelievesInItselfIsNotUsed) {
  begin();
  apply("a", failed(HealthReason::kUnreachable));
  for (int i = 0; i < 20; ++i) {
    now_ += std::chrono::seconds(1);
    apply("b", tells(writer(), {{"a", false, 1, 0}, {"b", true, 0, 0}, {"c", false, 1, 0}}));
    if (i > 1) apply("a", tells(writer(), {{"a", true, 0, 0}, {"b", false, 1, 0}, {"c", false, 1, 0}}));
    EXPECT_EQ(seen("b").role, TargetRole::kReadWrite) << i;
    EXPECT_EQ(seen("a").health, TargetHealth::kUnavailable) << i;
  }
  // As a reader of the new one it is welcome, and may be promoted again.
  now_ += std::chrono::seconds(1);
  apply("a", tells(reader(), {{"a", false, 0, 0}, {"b", true, 1, 0}, {"c", false, 1, 0}}));
  EXPECT_EQ(seen("a").health, TargetHealth::kAvailable);
  now_ += std::chrono::seconds(1);
  apply("a", tells(writer(), {{"a", true, 0, 0}, {"b", true, 1, 0}, {"c", false, 1, 0}}));
  EXPECT_EQ(seen("a").role, TargetRole::kReadWrite);
  EXPECT_EQ(seen("b").role, TargetRole::kReadOnly);
}

TEST_F(Told, OfTwoWritersAtFirstSightTheNewerNewsCount) {
  std::vector<MemberNews> news = {{"a", true, 40, 0}, {"b", true, 0, 0}};
  apply("orders", tells(writer(), news));
  EXPECT_EQ(seen("b").role, TargetRole::kReadWrite);
  EXPECT_EQ(seen("a").role, TargetRole::kReadOnly);
}

TEST_F(Told, DemotedInPlaceIsNoWriterFromThenOn) {
  begin();
  now_ += std::chrono::seconds(1);
  // It answers, is not in recovery, and says that b is it.
  apply("a", tells(writer(), {{"a", false, 0, 0}, {"b", true, 0, 0}, {"c", false, 0, 0}}));
  EXPECT_EQ(seen("a").health, TargetHealth::kUnavailable);
  EXPECT_EQ(seen("a").reason, HealthReason::kInvalidReplicationState);
  EXPECT_EQ(seen("b").health, TargetHealth::kUnavailable) << "not promoted";
}

TEST_F(Told, ListedMembersAreMatchedByTheirIds) {
  state_.set_members({{"a", "10.0.0.1", 5432}, {"b", "10.0.0.2", 5432}});
  apply("a", tells(writer(), well()));
  apply("b", tells(reader(), well()));
  EXPECT_EQ(ids(), "a b");
  now_ += std::chrono::seconds(1);
  apply("b", tells(reader(), {{"a", false, 0, 0}, {"b", true, 0, 0}}));
  EXPECT_EQ(seen("a").role, TargetRole::kReadOnly);
}

TEST_F(Told, NewsOfStrangersAreNoReasonToDistrustAServer) {
  state_.set_members({{"orders", "db.example", 5432}});
  apply("orders", tells(writer(), well()));
  EXPECT_EQ(seen("orders").role, TargetRole::kReadWrite);
  EXPECT_EQ(seen("orders").health, TargetHealth::kAvailable);
}

TEST_F(Told, IdsThatAreNoHostsAreLeftOut) {
  apply("orders", tells(writer(), {{"a", true, 0, 0}, {"x.evil.example/", false, 0, 0}, {"", false, 0, 0}}));
  EXPECT_EQ(ids(), "a");
}

TEST_F(Told, AReaderThatLagsIsLeftOutUntilItHasCaughtUp) {
  state_.set_members({{"a", "10.0.0.1", 5432}, {"b", "10.0.0.2", 5432}}, {"", 0, "", 10});
  apply("a", writer());
  apply("b", reader(10));
  EXPECT_EQ(seen("b").health, TargetHealth::kAvailable);
  apply("b", reader(10.5));
  EXPECT_EQ(seen("b").health, TargetHealth::kUnavailable);
  EXPECT_EQ(seen("b").reason, HealthReason::kInvalidReplicationState);
  apply("b", reader(9));
  EXPECT_EQ(seen("b").health, TargetHealth::kUnavailable);
  apply("b", reader(8));
  EXPECT_EQ(seen("b").health, TargetHealth::kAvailable);
}

}  // namespace
}  // namespace dbproxy::topology
