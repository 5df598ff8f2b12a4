#include <gtest/gtest.h>

#include "proxy/config/snapshot.hpp"

namespace dbproxy::config {
namespace {

using std::chrono::hours;

constexpr WallTime kNow{hours(1'000'000 / 24)};

Snapshot with(const std::string& password, const std::string& previous = {}, WallTime until = {}) {
  Snapshot out;
  out.credential_grace = hours(24);
  User& user = out.users.emplace_back();
  user.name = "app";
  user.password = Secret(password);
  user.previous_password = Secret(previous);
  user.previous_until = until;
  return out;
}

TEST(PreviousPasswords, AreThoseOfTheSnapshotBefore) {
  Snapshot next = with("new");
  keep_previous_passwords(next, with("old"), kNow);
  EXPECT_EQ(next.users[0].previous_password.reveal(), "old");
  EXPECT_EQ(next.users[0].previous_until, kNow + hours(24));
}

TEST(PreviousPasswords, StayForTheRestOfTheirTime) {
  Snapshot next = with("new");
  keep_previous_passwords(next, with("new", "old", kNow + hours(5)), kNow);
  EXPECT_EQ(next.users[0].previous_password.reveal(), "old");
  EXPECT_EQ(next.users[0].previous_until, kNow + hours(5));
  next = with("new");
  next.credential_grace = hours(20);  // and no longer than it is said now
  keep_previous_passwords(next, with("new", "old", kNow + hours(5)), kNow);
  EXPECT_EQ(next.users[0].previous_until, kNow + hours(1));
  next = with("new");
  keep_previous_passwords(next, with("new", "old", kNow - hours(1)), kNow);
  EXPECT_TRUE(next.users[0].previous_password.empty());
}

TEST(PreviousPasswords, WhoeverTellsThemKnowsBetter) {
  Snapshot next = with("new", "other", kNow + hours(1));
  keep_previous_passwords(next, with("old"), kNow);
  EXPECT_EQ(next.users[0].previous_password.reveal(), "other");
  EXPECT_EQ(next.users[0].previous_until, kNow + hours(1));
}

TEST(PreviousPasswords, AreNoneWithoutGrace) {
  Snapshot next = with("new");
  next.credential_grace = hours(0);
  keep_previous_passwords(next, with("old"), kNow);
  EXPECT_TRUE(next.users[0].previous_password.empty());
  next = with("new");
  next.users[0].auth_scheme = AuthScheme::kIam;
  keep_previous_passwords(next, with("old"), kNow);
  EXPECT_TRUE(next.users[0].previous_password.empty());
}

TEST(Snapshot, FindsAUserByTheNameFromBeforeARotation) {
  Snapshot snapshot = with("new", "old", kNow);
  snapshot.users[0].previous_name = "app_old";
  ASSERT_NE(snapshot.find_user("app_old"), nullptr);
  EXPECT_EQ(snapshot.find_user("app_old")->name, "app");
  User other;
  other.name = "app_old";
  snapshot.users.push_back(other);
  EXPECT_EQ(snapshot.find_user("app_old"), &snapshot.users[1]);
  EXPECT_EQ(snapshot.find_user(""), nullptr);
}

}  // namespace
}  // namespace dbproxy::config
