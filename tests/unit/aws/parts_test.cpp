#include <gmock/gmock.h>

#include "proxy/aws/credential_cache.hpp"
#include "proxy/aws/endpoint.hpp"
#include "proxy/aws/secrets_manager.hpp"
#include "proxy/aws/service_error.hpp"

namespace dbproxy::aws {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;
using Kind = Failure::Kind;

TEST(Url, ReadsHostPortAndPath) {
  const Url url = parse_url("https://secretsmanager.us-east-2.amazonaws.com").value;
  EXPECT_EQ(url.host, "secretsmanager.us-east-2.amazonaws.com");
  EXPECT_EQ(url.port, 443);
  EXPECT_TRUE(url.tls);
  EXPECT_EQ(url.host_header(), "secretsmanager.us-east-2.amazonaws.com");
  const Url local = parse_url("http://[::1]:5000/a/b").value;
  EXPECT_EQ(local.host, "::1");
  EXPECT_EQ(local.port, 5000);
  EXPECT_EQ(local.path, "/a/b");
  EXPECT_EQ(local.host_header(), "[::1]:5000");
  for (const char* wrong : {"", "host", "ftp://h", "https://", "https://u@h", "https://h?q", "https://h#f",
                            "https://h:", "https://h:0", "https://h:70000", "https://h:1x", "https://::1",
                            "https://[::1", "https://[::1]x", "https://h\r\nX: y", "https://h h"}) {
    EXPECT_FALSE(parse_url(wrong).ok()) << wrong;
  }
}

Environment with(std::map<std::string, std::string> variables) {
  return [variables](const std::string& name) {
    const auto it = variables.find(name);
    return it == variables.end() ? std::string() : it->second;
  };
}

TEST(Endpoint, IsThatOfTheRegionUnlessToldOtherwise) {
  const auto host = [](const Environment& environment, const std::string& region, const std::string& url = {}) {
    return endpoint_of(environment, "secretsmanager", region, url).value.host;
  };
  EXPECT_EQ(host(with({}), "us-east-2"), "secretsmanager.us-east-2.amazonaws.com");
  EXPECT_EQ(host(with({}), "cn-north-1"), "secretsmanager.cn-north-1.amazonaws.com.cn");
  EXPECT_EQ(host(with({{"AWS_ENDPOINT_URL", "http://127.0.0.1:5"}}), "us-east-2"), "127.0.0.1");
  EXPECT_EQ(host(with({{"AWS_ENDPOINT_URL", "http://127.0.0.1:5"},
                       {"AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://vpce-1.example"}}),
                 "us-east-2"),
            "vpce-1.example");
  EXPECT_EQ(host(with({}), "us-east-2", "https://vpce-2.example"), "vpce-2.example");
  EXPECT_THAT(endpoint_of(with({}), "sts", "us-east-2", "http://sts.example").failure.what, HasSubstr("is not https"));
  EXPECT_EQ(endpoint_of(with({}), "sts", "", "").failure.kind, Kind::kNotConfigured);
}

TEST(Endpoint, KnowsAwsDomains) {
  for (const char* host :
       {"secretsmanager.us-east-2.amazonaws.com", "vpce-0a.secretsmanager.us-east-2.vpce.amazonaws.com",
        "sts.cn-north-1.amazonaws.com.cn", "secretsmanager.us-east-2.api.aws"}) {
    EXPECT_TRUE(is_aws_host(host)) << host;
  }
  for (const char* host : {"amazonaws.com.evil.example", "evilamazonaws.com", ".amazonaws.com", "127.0.0.1", ""}) {
    EXPECT_FALSE(is_aws_host(host)) << host;
  }
}

TEST(SecretText, TakesUserAndPasswordAndIgnoresTheRest) {
  const auto value = read_secret_text(R"({"username":"app","password":"p\"w","engine":"postgres","port":5432})", "s");
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(value.value.username, "app");
  EXPECT_EQ(value.value.password.reveal(), "p\"w");
}

TEST(SecretText, SaysWhatIsWrongWithoutSayingWhatItHolds) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"hunter2", "is not a JSON object"},
      {"[1]", "is not a JSON object"},
      {R"({"password":"hunter2"})", "has no key username"},
      {R"({"username":"app","Password":"hunter2"})", "has no key password"},
      {R"({"username":"app","password":""})", "has an empty password"},
      {R"({"username":"app","password":5})", "has no key password"},
      {R"({"username":"a\u0000b","password":"hunter2"})", "has a zero byte in its username"},
      {R"({"username":")" + std::string(64, 'u') + R"(","password":"hunter2"})", "has too long a username"},
      {R"({"username":"app","password":")" + std::string(4097, 'p') + R"("})", "has too long a password"}};
  for (const auto& [text, words] : wrong) {
    const auto value = read_secret_text(text, "the secret x");
    EXPECT_EQ(value.failure.kind, Kind::kMalformed) << words;
    EXPECT_THAT(to_text(value.failure), HasSubstr("the secret x " + words));
    EXPECT_THAT(to_text(value.failure), Not(HasSubstr("hunter2")));
  }
}

TEST(Arn, IsTakenApart) {
  const Arn arn = parse_arn("arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-app-AbCdEf");
  EXPECT_EQ(arn.region, "us-east-2");
  EXPECT_EQ(arn.account, "123456789012");
  EXPECT_EQ(arn.resource, "secret:orders-app-AbCdEf");
  EXPECT_EQ(parse_arn("arn:aws:x").region, "");
}

TEST(ServiceFailure, NamesThePermissionOrTheRemedy) {
  const std::string action = "secretsmanager:GetSecretValue";
  const auto failure = [&](unsigned status, const std::string& body, const std::string& type = {}) {
    return service_failure({status, body, type}, "Secrets Manager", action, "ARN");
  };
  const Failure denied =
      failure(400, R"({"__type":"AccessDeniedException","Message":"User x is not authorized to perform it"})");
  EXPECT_EQ(denied.kind, Kind::kDenied);
  EXPECT_THAT(to_text(denied), HasSubstr("allow secretsmanager:GetSecretValue on ARN"));
  EXPECT_THAT(to_text(failure(400, R"({"__type":"AccessDeniedException","Message":"Access to KMS is not allowed"})")),
              HasSubstr("allow kms:Decrypt"));
  EXPECT_EQ(failure(400, R"({"__type":"com.amazonaws.secretsmanager#ResourceNotFoundException"})").kind,
            Kind::kNotFound);
  EXPECT_EQ(failure(400, "{}", "ThrottlingException:http://x").kind, Kind::kThrottled);
  EXPECT_EQ(failure(429, "").kind, Kind::kThrottled);
  EXPECT_EQ(failure(503, "").kind, Kind::kUnreachable);
  EXPECT_EQ(failure(400, "nonsense").kind, Kind::kRefused);
  EXPECT_THAT(to_text(failure(400, R"({"__type":"InvalidSignatureException"})")), HasSubstr("clock"));
  EXPECT_LT(to_text(failure(400, R"({"message":")" + std::string(5000, 'x') + "\"}")).size(), 1000U);
  EXPECT_THAT(failure(400, R"({"message":"a\nb\u0007"})").what, HasSubstr("a b "));
}

TEST(XmlText, FindsATag) {
  EXPECT_EQ(xml_text("<a><b>x &lt;&amp;&gt; y</b></a>", "b"), "x <&> y");
  EXPECT_EQ(xml_text("<a><b>x", "b"), "");
  EXPECT_EQ(xml_text("", "b"), "");
}

class CacheTest : public testing::Test {
 protected:
  Outcome<Credentials> fetch() {
    ++fetches_;
    if (failing_) return Failure{Kind::kUnreachable, "no", ""};
    Credentials out;
    out.access_key_id = "K" + std::to_string(fetches_);
    if (life_ != seconds(0)) out.expires = clock_.wall() + life_;
    return out;
  }
  std::string key() {
    const auto got = cache_.get();
    return got.ok() ? got.value->access_key_id : "failed";
  }

  ManualClock clock_;
  int fetches_ = 0;
  bool failing_ = false;
  seconds life_ = minutes(60);
  CredentialCache cache_{[this] { return fetch(); }, clock_, [] { return 0.5; }};
};

TEST_F(CacheTest, FetchesAgainBeforeTheyEnd) {
  EXPECT_EQ(key(), "K1");
  clock_.advance(minutes(44));  // of 60; a fifth, and a quarter of that for the jitter, are 15
  EXPECT_EQ(key(), "K1");
  clock_.advance(minutes(2));
  EXPECT_EQ(key(), "K2");
}

TEST_F(CacheTest, KeepsThemWhileTheyAreGoodThoughFetchingFails) {
  EXPECT_EQ(key(), "K1");
  failing_ = true;
  clock_.advance(minutes(50));
  EXPECT_EQ(key(), "K1");
  EXPECT_EQ(fetches_, 2);
  EXPECT_EQ(key(), "K1");
  EXPECT_EQ(fetches_, 2) << "not again at once";
  clock_.advance(minutes(11));
  EXPECT_EQ(key(), "failed");
  failing_ = false;
  clock_.advance(minutes(1));
  EXPECT_EQ(key(), "K4");
}

TEST_F(CacheTest, SlowsDownWhileItFails) {
  failing_ = true;
  for (int second = 0; second < 300; ++second) {
    EXPECT_EQ(key(), "failed");
    clock_.advance(seconds(1));
  }
  EXPECT_LT(fetches_, 20);
  EXPECT_GT(fetches_, 8);
}

TEST_F(CacheTest, LooksAgainAtKeysThatDoNotSayWhenTheyEnd) {
  life_ = seconds(0);
  EXPECT_EQ(key(), "K1");
  clock_.advance(minutes(4));
  EXPECT_EQ(key(), "K1");
  clock_.advance(minutes(2));
  EXPECT_EQ(key(), "K2");
  cache_.forget();
  EXPECT_EQ(key(), "K3");
}

}  // namespace
}  // namespace dbproxy::aws
