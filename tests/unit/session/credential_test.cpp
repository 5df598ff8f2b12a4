#include "proxy/session/credential.hpp"

#include <gtest/gtest.h>

namespace dbproxy::session {
namespace {

using std::chrono::hours;

constexpr WallTime kNow{hours(1'000'000 / 24)};

config::SnapshotPtr snapshot(const std::string& previous_name, WallTime until) {
  auto out = std::make_shared<config::Snapshot>();
  config::User& user = out->users.emplace_back();
  user.name = "app";
  user.password = Secret("new");
  user.previous_name = previous_name;
  user.previous_password = Secret("old");
  user.previous_until = until;
  return out;
}

TEST(Credential, TakesThePreviousPasswordForAsLongAsItIsSaid) {
  auto found = find_credential(snapshot("", kNow + hours(1)), "app", kNow);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->password().reveal(), "new");
  ASSERT_NE(found->other_password(), nullptr);
  EXPECT_EQ(found->other_password()->reveal(), "old");
  for (const WallTime until : {kNow, kNow - hours(1), WallTime{}}) {
    found = find_credential(snapshot("", until), "app", kNow);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->other_password(), nullptr);
  }
  EXPECT_FALSE(find_credential(snapshot("", kNow + hours(1)), "nobody", kNow));
}

TEST(Credential, APreviousNameHasItsOwnPasswordAndNoOther) {
  auto found = find_credential(snapshot("app_old", kNow + hours(1)), "app_old", kNow);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->user->name, "app");
  EXPECT_EQ(found->password().reveal(), "old");
  EXPECT_EQ(found->other_password(), nullptr);
  found = find_credential(snapshot("app_old", kNow + hours(1)), "app", kNow);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->password().reveal(), "new");
  EXPECT_EQ(found->other_password(), nullptr);
  EXPECT_FALSE(find_credential(snapshot("app_old", kNow), "app_old", kNow));
}

}  // namespace
}  // namespace dbproxy::session
