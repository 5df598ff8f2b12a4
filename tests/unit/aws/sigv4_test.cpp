#include "proxy/aws/sigv4.hpp"

#include <gtest/gtest.h>

#include "proxy/aws/database_token.hpp"

namespace dbproxy::aws {
namespace {

// 2015-08-30T12:36:00Z, and the keys of AWS's published vectors.
const WallTime kWhen{std::chrono::seconds(1440938160)};

Credentials published(const std::string& token = {}) {
  Credentials out;
  out.access_key_id = "AKIDEXAMPLE";
  out.secret_access_key = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
  out.session_token = Secret(token);
  return out;
}

struct Vector {
  const char* name;
  SignableRequest request;
  const char* names;
  const char* signature;
};

SignableRequest request(std::string method, std::string path, Pairs query = {}, Pairs more = {},
                        std::string body = {}) {
  Pairs headers{{"Host", "example.amazonaws.com"}};
  headers.insert(headers.end(), more.begin(), more.end());
  return {std::move(method), std::move(path), std::move(query), std::move(headers), std::move(body)};
}

// The names are those of the published suite.
TEST(Sigv4, SignsThePublishedVectors) {
  const std::vector<Vector> vectors = {
      {"get-vanilla", request("GET", "/"), "host;x-amz-date",
       "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
      {"get-vanilla-query-order-key-case", request("GET", "/", {{"Param2", "value2"}, {"Param1", "value1"}}),
       "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
      {"get-unreserved", request("GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
       "host;x-amz-date", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
      {"get-utf8", request("GET", "/\xE1\x88\xB4"), "host;x-amz-date",
       "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
      {"get-header-value-trim", request("GET", "/", {}, {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}}),
       "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
      {"post-vanilla", request("POST", "/"), "host;x-amz-date",
       "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
      {"post-header-key-sort", request("POST", "/", {}, {{"My-Header1", "value1"}}), "host;my-header1;x-amz-date",
       "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
      {"post-x-www-form-urlencoded",
       request("POST", "/", {}, {{"Content-Type", "application/x-www-form-urlencoded"}}, "Param1=value1"),
       "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
  };
  for (const Vector& each : vectors) {
    const Pairs added = sign_headers(each.request, {"us-east-1", "service"}, published(), kWhen);
    ASSERT_EQ(added.size(), 2U) << each.name;
    EXPECT_EQ(added[0].second, "20150830T123600Z");
    EXPECT_EQ(added[1].second,
              "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" +
                  std::string(each.names) + ", Signature=" + each.signature)
        << each.name;
  }
}

TEST(Sigv4, SignsTheSessionTokenToo) {
  const std::string token =
      "AQoDYXdzEPT//////////"
      "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthA"
      "x7mSEI/qkPpKPi/"
      "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY"
      "9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
  const Pairs added = sign_headers(request("POST", "/"), {"us-east-1", "service"}, published(token), kWhen);
  ASSERT_EQ(added.size(), 3U);
  EXPECT_EQ(added[1], (std::pair<std::string, std::string>("X-Amz-Security-Token", token)));
  EXPECT_TRUE(added[2].second.ends_with("85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"));
}

// As botocore makes them for the same second: its own command is asked in tests/integration.
TEST(DatabaseToken, IsWhatTheAwsCommandPrints) {
  EXPECT_EQ(make_database_token("orders.cluster-abc.us-east-2.rds.amazonaws.com", 5432, "app", "us-east-2", published(),
                                kWhen)
                .reveal(),
            "orders.cluster-abc.us-east-2.rds.amazonaws.com:5432/?Action=connect&DBUser=app&X-Amz-Algorithm=AWS4-HMAC-"
            "SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-2%2Frds-db%2Faws4_request&X-Amz-Date="
            "20150830T123600Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature="
            "072757a5f5966e43202d4910ced3b99f66cc103ac23a37e5891f76c8d893bc1d");
  EXPECT_EQ(make_database_token("orders.abc.us-east-2.rds.amazonaws.com", 3306, "jane doe/\xC3\xBC", "us-east-2",
                                published("FwoG+/tok=="), kWhen)
                .reveal(),
            "orders.abc.us-east-2.rds.amazonaws.com:3306/?Action=connect&DBUser=jane%20doe%2F%C3%BC&X-Amz-Algorithm="
            "AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-2%2Frds-db%2Faws4_request&X-Amz-Date="
            "20150830T123600Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=FwoG%2B%2Ftok%3D%3D&"
            "X-Amz-Signature=f3e6f4e107f95d0a061815dac773835b957e3645cd8e2d1650f63758d671fdc7");
  EXPECT_EQ(make_database_token("h.example", 443, "u", "us-east-2", published(), kWhen).reveal(),
            "h.example:443/?Action=connect&DBUser=u&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F"
            "20150830%2Fus-east-2%2Frds-db%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires=900&"
            "X-Amz-SignedHeaders=host&X-Amz-Signature="
            "fc163bcf67bc9e787c47b8b2bb86a2cc354730adfebb65145d338dcfc82fee00");
}

TEST(DatabaseToken, FindsTheRegionInTheHost) {
  EXPECT_EQ(region_of_host("orders.cluster-abc.us-east-2.rds.amazonaws.com"), "us-east-2");
  EXPECT_EQ(region_of_host("orders.abc.cn-north-1.rds.amazonaws.com.cn"), "cn-north-1");
  EXPECT_EQ(region_of_host("db.example.com"), "");
  EXPECT_EQ(region_of_host("rds.amazonaws.com"), "");
}

}  // namespace
}  // namespace dbproxy::aws
