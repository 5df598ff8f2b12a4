// What ArnSecrets remembers of secrets that were rotated.
#include <gtest/gtest.h>

#include "proxy/source/arn_secrets.hpp"

namespace dbproxy::source {
namespace {

using std::chrono::hours;

std::string login(const std::string& secret, const std::string& user, const std::string& password) {
  return "\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: " + secret +
         ", namespace: shop}\nstringData: {username: " + user + ", password: " + password + "}\n";
}

class RotationTest : public ::testing::Test {
 protected:
  RotationTest()
      : secrets_(
            {}, [](const auto&) {}, nullptr, "dbproxy", clock_) {}

  // The users of a DBProxy with these secrets.
  std::vector<config::User> users(const std::string& secrets, const std::string& refs = "{secretRef: {name: app}}",
                                  const std::string& grace = "3600") {
    const std::string text =
        "apiVersion: dbproxy.io/v1alpha1\nkind: DBProxy\nmetadata: {name: orders, namespace: shop}\nspec:\n"
        "  engineFamily: POSTGRESQL\n  requireTLS: false\n  credentialGraceSeconds: " +
        grace + "\n  auth: [" + refs +
        "]\n  targetGroups:\n  - dbCluster: {endpoint: db.example, tls: {mode: disable}}\n" + secrets;
    const manifest::Manifests manifests = manifest::load_sources({{"orders.yaml", text}});
    for (const auto& diagnostic : manifests.diagnostics) {
      if (diagnostic.severity == manifest::Severity::kError) ADD_FAILURE() << to_text(diagnostic);
    }
    plan::Desired desired = secrets_.desired(manifests);
    return desired.proxies.at(0).snapshot.users;
  }

  ManualClock clock_;
  ArnSecrets secrets_;
};

TEST_F(RotationTest, ThePasswordFromBeforeIsGoodForTheGraceFromTheRotationOn) {
  EXPECT_TRUE(users(login("app", "app", "one")).at(0).previous_password.empty());
  clock_.advance(hours(5));
  const WallTime at = clock_.wall();
  config::User user = users(login("app", "app", "two")).at(0);
  EXPECT_EQ(user.password.reveal(), "two");
  EXPECT_EQ(user.previous_password.reveal(), "one");
  EXPECT_EQ(user.previous_name, "");
  EXPECT_EQ(user.previous_until, at + hours(1));
  clock_.advance(hours(5));
  EXPECT_EQ(users(login("app", "app", "two")).at(0), user) << "however often it is read";
  EXPECT_EQ(users(login("app", "app", "three")).at(0).previous_password.reveal(), "two");
}

TEST_F(RotationTest, AlternatingUsersGoByBothNames) {
  users(login("app", "app", "one"));
  const config::User user = users(login("app", "app_clone", "two")).at(0);
  EXPECT_EQ(user.name, "app_clone");
  EXPECT_EQ(user.previous_name, "app");
  EXPECT_EQ(user.previous_password.reveal(), "one");
  EXPECT_NE(user.previous_until, WallTime{});
}

TEST_F(RotationTest, ANameThatIsAnothersNowIsTheirs) {
  const std::string both = "{secretRef: {name: app}}, {secretRef: {name: other}}";
  users(login("app", "app", "one") + login("other", "other", "p1"), both);
  const auto now = users(login("app", "app_clone", "two") + login("other", "app", "p2"), both);
  EXPECT_EQ(now.at(0).previous_name, "");
  EXPECT_TRUE(now.at(0).previous_password.empty());
  EXPECT_EQ(now.at(1).name, "app");
  EXPECT_EQ(now.at(1).previous_name, "other");
}

TEST_F(RotationTest, ASecretThatWasAwayOrGoesByAnotherNameIsRotatedAllTheSame) {
  users(login("app", "app", "one"));
  const std::string both = "{secretRef: {name: app}}, {secretRef: {name: other}}";
  users(login("other", "other", "p1"), "{secretRef: {name: other}}");
  EXPECT_EQ(users(login("app", "app", "two") + login("other", "other", "p1"), both).at(0).previous_password.reveal(),
            "one");
  EXPECT_EQ(users(login("newer", "app", "three"), "{secretRef: {name: newer}}").at(0).previous_password.reveal(),
            "two");
}

TEST_F(RotationTest, WithoutGraceNoClientMayUseIt) {
  users(login("app", "app", "one"));
  const config::User user = users(login("app", "app", "two"), "{secretRef: {name: app}}", "0").at(0);
  EXPECT_EQ(user.previous_until, WallTime{});
}

}  // namespace
}  // namespace dbproxy::source
