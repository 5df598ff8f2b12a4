#include <gtest/gtest.h>

#include "operator/migrate/migrate.hpp"
#include "proxy/manifest/loader.hpp"

namespace dbproxy::migrate {
namespace {

constexpr const char* kProxies = R"({"DBProxies": [{"DBProxyName": "Orders", "Status": "available",
  "EngineFamily": "POSTGRESQL", "VpcId": "vpc-1", "VpcSecurityGroupIds": ["sg-1"], "VpcSubnetIds": ["subnet-1"],
  "Auth": [{"Description": "app", "AuthScheme": "SECRETS", "IAMAuth": "REQUIRED",
            "SecretArn": "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-AbCdEf",
            "ClientPasswordAuthType": "POSTGRES_MD5"}],
  "RoleArn": "arn:aws:iam::123456789012:role/orders", "Endpoint": "orders.proxy-x.us-east-2.rds.amazonaws.com",
  "RequireTLS": true, "IdleClientTimeout": 900, "DebugLogging": false}]})";
constexpr const char* kGroups = R"({"TargetGroups": [{"DBProxyName": "Orders", "TargetGroupName": "default",
  "IsDefault": true, "ConnectionPoolConfig": {"MaxConnectionsPercent": 80, "MaxIdleConnectionsPercent": 20,
  "ConnectionBorrowTimeout": 30, "SessionPinningFilters": [], "InitQuery": "SET x.y = '1'"}}]})";
constexpr const char* kTargets = R"({"Targets": [{"TrackedClusterId": "shop", "RdsResourceId": "shop-1",
  "Endpoint": "shop-1.c1.us-east-2.rds.amazonaws.com", "Port": 5433, "Type": "RDS_INSTANCE", "Role": "READ_WRITE"},
  {"RdsResourceId": "shop", "Port": 5433, "Type": "TRACKED_CLUSTER"}]})";
constexpr const char* kEndpoints = R"({"DBProxyEndpoints": [
  {"DBProxyEndpointName": "default", "DBProxyName": "Orders", "TargetRole": "READ_WRITE", "IsDefault": true},
  {"DBProxyEndpointName": "reports", "DBProxyName": "Orders", "TargetRole": "READ_ONLY", "IsDefault": false}]})";

Result imported(std::vector<std::string> texts) {
  std::vector<Document> documents;
  for (auto& text : texts) documents.push_back({"file", std::move(text)});
  return from_rds_proxy(documents, {});
}

// The CA is the one thing that nobody can make out of it.
manifest::Manifests valid(const Result& result) {
  auto loaded = manifest::load_sources({{"imported", result.manifests}});
  for (const auto& each : loaded.diagnostics) {
    if (each.severity == manifest::Severity::kWarning) continue;
    const auto text = manifest::to_text(each);
    EXPECT_NE(text.find("rds-ca"), std::string::npos) << text;
  }
  return loaded;
}

TEST(FromRdsProxy, SaysEverySettingInOurWords) {
  const auto result = imported({kProxies, kGroups, kTargets, kEndpoints});
  ASSERT_EQ(result.error, "");
  const auto loaded = valid(result);
  ASSERT_EQ(loaded.proxies.size(), 1u) << result.manifests;
  const auto& proxy = loaded.proxies[0];
  EXPECT_EQ(proxy.metadata.name, "orders");
  EXPECT_TRUE(proxy.require_tls);
  EXPECT_EQ(proxy.auth[0].secret_arn, "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-AbCdEf");
  for (const char* line :
       {"idleClientTimeoutSeconds: 900", "clientPasswordAuthType: POSTGRES_MD5", "port: 5433",
        "endpoint: shop.cluster-c1.us-east-2.rds.amazonaws.com", "maxConnectionsPercent: 80",
        "maxIdleConnectionsPercent: 20", "connectionBorrowTimeoutSeconds: 30",
        "roleArn: arn:aws:iam::123456789012:role/orders", "iamAuth: REQUIRED", "# VpcSubnetIds have no equal"}) {
    EXPECT_NE(result.manifests.find(line), std::string::npos) << line << " in\n" << result.manifests;
  }
  ASSERT_EQ(loaded.endpoints.size(), 1u);
  EXPECT_EQ(loaded.endpoints[0].metadata.name, "reports");
  EXPECT_EQ(loaded.endpoints[0].port, 5433);
}

TEST(FromRdsProxy, TheListForAuthIsEnoughAndBadArnsAreNamed) {
  const auto result =
      imported({R"([{"Description": "a", "SecretArn": "arn:aws:secretsmanager:us-east-2:123456789012:seret:a"},
    {"AuthScheme": "SECRETS", "SecretArn": "arn:aws:secretsmanager:us-east-2:123456789012:secret/b"}])"});
  ASSERT_EQ(result.error, "");
  valid(result);
  EXPECT_NE(result.manifests.find(":seret:a\" is no ARN of a secret"), std::string::npos) << result.manifests;
  EXPECT_NE(result.manifests.find(":secret/b\" is no ARN of a secret"), std::string::npos) << result.manifests;
  EXPECT_NE(result.manifests.find("REPLACE-ME"), std::string::npos);
}

TEST(FromRdsProxy, TwoProxiesHaveTwoPorts) {
  const auto result = imported({R"({"DBProxies": [
    {"DBProxyName": "a", "EngineFamily": "POSTGRESQL", "Auth": []}, {"DBProxyName": "b", "EngineFamily": "POSTGRESQL"}]})"});
  ASSERT_EQ(result.error, "");
  EXPECT_EQ(valid(result).proxies.size(), 2u) << result.manifests;
}

TEST(FromRdsProxy, RefusesWhatItCannotReadInWords) {
  EXPECT_NE(imported({"{"}).error.find("file is no JSON"), std::string::npos);
  EXPECT_NE(imported({"{\"Buckets\": []}"}).error.find("describe-db-proxies"), std::string::npos);
  EXPECT_NE(imported({"[{\"a\": 1}]"}).error.find("--auth"), std::string::npos);
  EXPECT_NE(imported({kGroups}).error.find("there is no proxy"), std::string::npos);
  EXPECT_NE(imported({R"({"DBProxies": [{"DBProxyName": "s", "EngineFamily": "SQLSERVER"}]})"}).error.find("SQLSERVER"),
            std::string::npos);
}

TEST(FromRdsProxy, NoTextBreaksOutOfAComment) {
  const auto result = imported({R"({"DBProxies": [{"DBProxyName": "a\nb: c", "EngineFamily": "MYSQL", "Auth": [
    {"SecretArn": "x\nspec: {}"}]}]})"});
  EXPECT_EQ(valid(result).proxies.size(), 1u) << result.manifests;
}

}  // namespace
}  // namespace dbproxy::migrate
