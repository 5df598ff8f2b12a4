// ClientTokens with keys that the process has; STS and the whole table are in tests/integration/test_iam_clients.py.
#include "proxy/aws/client_tokens.hpp"

#include <gtest/gtest.h>

#include "proxy/aws/database_token.hpp"
#include "proxy/aws/database_tokens.hpp"

namespace dbproxy::aws {
namespace {

using namespace std::chrono_literals;

Environment environment(std::map<std::string, std::string> more = {}) {
  more.insert({{"AWS_ACCESS_KEY_ID", "AKIA"}, {"AWS_SECRET_ACCESS_KEY", "s"}});
  return [more = std::move(more)](const std::string& name) {
    const auto found = more.find(name);
    return found == more.end() ? std::string() : found->second;
  };
}

const Credentials kKeys{"AKIA", Secret("s"), {}, {}, ""};
const ClientTokenSubject kSubject{"orders.shop.dbproxy", 5432, "app", "us-east-2", "", {}};

class ClientTokensTest : public testing::Test {
 protected:
  SystemClock clock_;
  ClientTokens tokens_{environment(), clock_};

  Secret made(const std::string& user = "app", WallTime::duration ago = {}) const {
    return make_database_token(kSubject.host, kSubject.port, user, "us-east-2", kKeys, clock_.wall() - ago);
  }
};

TEST_F(ClientTokensTest, TakesWhatIsSignedWithItsOwnKeys) {
  EXPECT_EQ(iam_host("shop", "orders"), kSubject.host);
  const auto who = tokens_.verify(made(), kSubject);
  EXPECT_TRUE(who.ok()) << who.failure.what;
  EXPECT_EQ(who.value, "keys AKIA");
  EXPECT_TRUE(tokens_.verify(made("app", 14min), kSubject).ok());
}

TEST_F(ClientTokensTest, RefusesInWordsThatHoldNothingOfTheToken) {
  for (const auto& [token, words] : {std::pair{made("app", 16min), "has expired"},
                                     {made("app", -6min), "from the future"},
                                     {made("other"), "another user"},
                                     {Secret("X-Amz-Signature=1"), "cannot be read"},
                                     {Secret(std::string(9000, 'a')), "longer"},
                                     {Secret("a\nb"), "characters"}}) {
    const auto who = tokens_.verify(token, kSubject);
    ASSERT_FALSE(who.ok());
    EXPECT_NE(who.failure.what.find(words), std::string::npos) << who.failure.what;
    EXPECT_EQ(who.failure.what.find("Signature"), std::string::npos);
  }
}

TEST_F(ClientTokensTest, EveryByteOfATokenCounts) {
  const std::string good(made().reveal());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == 'a' ? 'b' : 'a';
    EXPECT_FALSE(tokens_.verify(Secret(bad), kSubject).ok()) << bad;
  }
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(tokens_.verify(Secret(good.substr(0, size)), kSubject).ok()) << size;
}

TEST_F(ClientTokensTest, SendsNothingToWhereATokenWantsIt) {
  ClientTokenSubject listed = kSubject;
  listed.principals = {"*"};
  const auto made_for = make_client_token(environment(), listed, kKeys, clock_.wall());
  ASSERT_TRUE(made_for.ok());
  std::string elsewhere(made_for.value.reveal());
  elsewhere.replace(elsewhere.find("sts.us-east-2.amazonaws.com"), 27, "127.0.0.1");
  const auto who = tokens_.verify(Secret(elsewhere), listed);
  EXPECT_NE(who.failure.what.find("not for STS at https://sts.us-east-2.amazonaws.com"), std::string::npos)
      << who.failure.what;
}

TEST(DatabaseTokens, NeedARegionAndCredentials) {
  SystemClock clock;
  DatabaseTokens tokens(environment(), clock);
  EXPECT_NE(tokens.make({"db.example", 5432, "app", "", "", ""}).failure.what.find("region"), std::string::npos);
  EXPECT_TRUE(tokens.make({"db.example", 5432, "app", "us-east-2", "", ""}).ok());
  EXPECT_TRUE(tokens.make({"a.b.us-east-2.rds.amazonaws.com", 5432, "app", "", "", ""}).ok());
  DatabaseTokens nobody([](const std::string& name) { return name == "AWS_EC2_METADATA_DISABLED" ? "true" : ""; },
                        clock);
  EXPECT_EQ(nobody.make({"db.example", 5432, "app", "us-east-2", "", ""}).failure.kind, Failure::Kind::kNotConfigured);
}

}  // namespace
}  // namespace dbproxy::aws
