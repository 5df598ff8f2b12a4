#include "proxy/source/hand_over.hpp"

#include <gtest/gtest.h>

namespace dbproxy::source {
namespace {

using config::TargetHealth;
using config::TargetRole;

topology::Observation member(const std::string& id, TargetRole role, TargetHealth health = TargetHealth::kAvailable) {
  topology::Observation seen;
  seen.target = id;
  seen.role = role;
  seen.health = health;
  seen.system_identifier = "7";
  return seen;
}

const topology::Observation kWriter = member("a", TargetRole::kReadWrite);
const topology::Observation kReader = member("b", TargetRole::kReadOnly);

TEST(HandOver, AnotherWriterEndsIt) {
  HandOver work({kWriter, kReader});
  EXPECT_FALSE(work.over({kWriter, kReader}));
  EXPECT_FALSE(work.over({kWriter, member("b", TargetRole::kReadOnly, TargetHealth::kUnavailable)}));
  EXPECT_TRUE(work.over({member("a", TargetRole::kReadOnly), member("b", TargetRole::kReadWrite)}));
}

TEST(HandOver, TheSameOneAgainEndsItOnceItWasAway) {
  HandOver work({kWriter, kReader});
  EXPECT_FALSE(work.over({member("a", TargetRole::kReadWrite, TargetHealth::kUnavailable), kReader}));
  EXPECT_FALSE(work.over({member("a", TargetRole::kReadWrite, TargetHealth::kRegistering), kReader}));
  EXPECT_TRUE(work.over({kWriter, kReader}));
}

TEST(HandOver, AnotherServerUnderTheSameNamesEndsIt) {
  topology::Observation green = kWriter;
  green.system_identifier = "8";
  HandOver work({kWriter});
  EXPECT_FALSE(work.over({kWriter}));
  EXPECT_TRUE(work.over({green}));

  green = kWriter;
  green.server_version = "8.4.3";
  EXPECT_TRUE(HandOver({kWriter}).over({green}));
  green = kWriter;
  green.host = "green.example";
  EXPECT_TRUE(HandOver({kWriter}).over({green}));
}

TEST(HandOver, WithOtherMembersTheFirstWriterThereEndsIt) {
  HandOver work({kWriter});
  work.forget();
  EXPECT_FALSE(work.over({kReader}));
  EXPECT_TRUE(work.over({kWriter}));
}

TEST(HandOver, WhereNoWriterIsKnownTheFirstEndsIt) {
  HandOver work({});
  EXPECT_FALSE(work.over({kReader}));
  EXPECT_TRUE(work.over({kReader, kWriter}));
}

}  // namespace
}  // namespace dbproxy::source
