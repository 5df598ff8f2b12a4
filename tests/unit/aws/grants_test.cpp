#include "proxy/aws/grants.hpp"

#include <gtest/gtest.h>

namespace dbproxy::aws {
namespace {

constexpr const char* kSecret = "arn:aws:secretsmanager:us-east-2:123456789012:secret:shop/orders-AbCdEf";

TEST(Grants, GiveNothingUnlessTold) {
  EXPECT_FALSE(Grants().allows("shop", kSecret));
  EXPECT_TRUE(Grants::all().allows("shop", kSecret));
}

TEST(Grants, AreOfOneNamespace) {
  const Grants grants({parse_grant("shop=arn:aws:secretsmanager:*:123456789012:secret:shop/*")});
  EXPECT_TRUE(grants.allows("shop", kSecret));
  EXPECT_FALSE(grants.allows("shop2", kSecret));
  EXPECT_FALSE(grants.allows("", kSecret));
  EXPECT_FALSE(grants.allows("shop", "arn:aws:secretsmanager:us-east-2:123456789012:secret:pay/orders"));
}

TEST(Grants, MatchAsIamDoes) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("a*b*c", "aXXbYYbc"));
  EXPECT_TRUE(matches("a?c", "abc"));
  EXPECT_FALSE(matches("a?c", "ac"));
  EXPECT_FALSE(matches("abc", "abcd"));
  EXPECT_FALSE(matches("abcd", "abc"));
  EXPECT_TRUE(matches("**", "x"));
  EXPECT_TRUE(matches("*-??????", "secret-AbCdEf"));
}

TEST(Grants, AreReadFromFlags) {
  EXPECT_EQ(parse_grant("shop=arn:aws:iam::1:role/x").name_space, "shop");
  for (const char* wrong : {"", "shop", "=arn:x", "shop=", "shop=*", "shop=role/x"}) {
    EXPECT_EQ(parse_grant(wrong).pattern, "") << wrong;
  }
}

}  // namespace
}  // namespace dbproxy::aws
