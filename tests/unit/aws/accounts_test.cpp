// Credentials by service accounts of Kubernetes, on a stand-in of STS on loopback.
#include "proxy/aws/accounts.hpp"

#include <gtest/gtest.h>

#include "proxy/aws/principals.hpp"
#include "proxy/http/server.hpp"

namespace dbproxy::aws {
namespace {

constexpr const char* kKeys =
    "<R><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    "<Expiration>2199-01-01T00:00:00Z</Expiration></R>";
constexpr const char* kDenied = "<E><Error><Code>AccessDenied</Code><Message>no</Message></Error></E>";

class AccountsTest : public testing::Test {
 protected:
  AccountsTest() {
    server_.route("POST", "/", [this](const http::Request& request) {
      asked_.push_back(request.body);
      return answer_;
    });
    EXPECT_EQ(server_.start(), "");
    accounts_->provide([this](const std::string& account) -> Outcome<AccountToken> {
      if (missing_)
        return Failure{Failure::Kind::kNotFound, "service account " + account + " does not exist", "make it"};
      return AccountToken{"arn:aws:iam::1:role/" + account.substr(account.find('/') + 1),
                          Secret("token of " + account)};
    });
    accounts_->listen([this](const std::string& account) { told_.push_back(account); });
  }

  Principals principals() {
    return {[url = "http://127.0.0.1:" + std::to_string(server_.port())](const std::string& name) {
              return name == "AWS_ENDPOINT_URL" ? url : std::string();
            },
            clock_, accounts_};
  }

  SystemClock clock_;
  bool missing_ = false;
  http::Response answer_{200, "text/xml", kKeys};
  std::vector<std::string> asked_, told_;
  http::Server server_{http::ServerOptions{}};
  std::shared_ptr<ServiceAccounts> accounts_ = std::make_shared<ServiceAccounts>();
};

TEST_F(AccountsTest, EachIsItsRoleAndNobodyElses) {
  Principals all = principals();
  for (const char* account : {"shop/a", "shop/b", "shop/a"}) {
    const auto keys = all.of({.account = account, .region = "us-east-2"})->get();
    ASSERT_TRUE(keys.ok()) << to_text(keys.failure);
    EXPECT_EQ(keys.value->access_key_id, "ASIA");
  }
  ASSERT_EQ(asked_.size(), 2U) << "each once";
  for (const char* part : {"Action=AssumeRoleWithWebIdentity", "role%2Fb", "WebIdentityToken=token%20of%20shop%2Fb"})
    EXPECT_NE(asked_[1].find(part), std::string::npos) << asked_[1];
  EXPECT_TRUE(told_.empty());
}

TEST_F(AccountsTest, WhatIsWrongWithOneIsKeptUntilItWorks) {
  Principals all = principals();
  missing_ = true;
  EXPECT_EQ(all.of({.account = "shop/a", .region = "us-east-2"})->get().failure.what,
            "service account shop/a does not exist");
  EXPECT_EQ(accounts_->trouble("shop/a").remedy, "make it");
  EXPECT_FALSE(accounts_->trouble("shop/b"));
  missing_ = false;
  answer_ = {403, "text/xml", kDenied};
  EXPECT_NE(all.of({.account = "shop/b", .region = "us-east-2"})->get().failure.remedy.find("trust policy"),
            std::string::npos);
  EXPECT_EQ(told_, (std::vector<std::string>{"shop/a", "shop/b"}));
  answer_ = {200, "text/xml", kKeys};
  EXPECT_TRUE(principals().of({.account = "shop/b", .region = "us-east-2"})->get().ok());
  EXPECT_FALSE(accounts_->trouble("shop/b"));
  EXPECT_EQ(told_.size(), 3U);
  accounts_->listen({});
  missing_ = true;
  EXPECT_FALSE(principals().of({.account = "shop/b", .region = "us-east-2"})->get().ok());
  EXPECT_EQ(told_.size(), 3U) << "nobody listens any more";
}

TEST_F(AccountsTest, WithoutKubernetesThereAreNone) {
  ServiceAccounts none;
  EXPECT_EQ(none.get("shop/a").failure.kind, Failure::Kind::kNotConfigured);
}

}  // namespace
}  // namespace dbproxy::aws
