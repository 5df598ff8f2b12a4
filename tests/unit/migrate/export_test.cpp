#include <boost/json.hpp>
#include <gmock/gmock.h>

#include "operator/migrate/migrate.hpp"
#include "proxy/manifest/loader.hpp"

namespace dbproxy::migrate {
namespace {

namespace json = boost::json;

constexpr const char* kManifests = R"(apiVersion: dbproxy.io/v1alpha1
kind: DBProxy
metadata: {name: orders, namespace: shop}
spec:
  engineFamily: POSTGRESQL
  requireTLS: true
  idleClientTimeoutSeconds: 900
  sequencePinning: "On"
  auth:
  - description: app
    secretArn: arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-AbCdEf
    clientPasswordAuthType: POSTGRES_MD5
  - {secretRef: {name: reports}}
  targetGroups:
  - name: default
    dbCluster:
      endpoint: shop.cluster-c1.us-east-2.rds.amazonaws.com
      port: 5433
      tls: {mode: require}
    connectionPool: {maxConnectionsPercent: 80, maxIdleConnectionsPercent: 20, connectionBorrowTimeoutSeconds: 30,
                     initQuery: "SET x.y = '1'"}
  aws: {roleArn: "arn:aws:iam::123456789012:role/orders"}
---
apiVersion: dbproxy.io/v1alpha1
kind: DBProxyEndpoint
metadata: {name: readers, namespace: shop}
spec: {dbProxyName: orders, port: 5434, targetRole: READ_ONLY, fallbackToWriter: true}
---
apiVersion: v1
kind: Secret
metadata: {name: reports, namespace: shop}
stringData: {username: reports, password: never-printed}
)";

ExportResult exported(std::vector<ExportedTarget> targets = {}) {
  const auto loaded = manifest::load_sources({{"m", kManifests}});
  for (const auto& each : loaded.diagnostics) {
    EXPECT_EQ(each.severity, manifest::Severity::kWarning) << manifest::to_text(each);
  }
  ExportedProxy proxy;
  proxy.proxy = loaded.proxies.at(0);
  proxy.endpoints = loaded.endpoints;
  proxy.targets = std::move(targets);
  return to_rds_proxy({proxy});
}

TEST(ToRdsProxy, HasTheShapesOfTheFourCommands) {
  const auto result =
      exported({{"shop-1", "READ_WRITE", "AVAILABLE", ""}, {"shop-2", "", "UNAVAILABLE", "UNREACHABLE"}});
  const json::value proxy = result.proxies.at(0);
  EXPECT_EQ(proxy.at("DBProxyName").as_string(), "orders");
  EXPECT_EQ(proxy.at("Status").as_string(), "available");
  EXPECT_EQ(proxy.at("IdleClientTimeout").as_int64(), 900);
  EXPECT_TRUE(proxy.at("RequireTLS").as_bool());
  EXPECT_EQ(proxy.at("Auth").at(0).at("ClientPasswordAuthType").as_string(), "POSTGRES_MD5");
  EXPECT_FALSE(proxy.at("Auth").at(1).as_object().contains("SecretArn"));
  const json::value pool = result.groups.at(0).at("ConnectionPoolConfig");
  EXPECT_EQ(pool.at("MaxConnectionsPercent").to_number<int>(), 80);
  EXPECT_EQ(pool.at("InitQuery").as_string(), "SET x.y = '1'");
  ASSERT_EQ(result.targets.size(), 3u);
  EXPECT_EQ(result.targets.at(0).at("Type").as_string(), "TRACKED_CLUSTER");
  EXPECT_EQ(result.targets.at(1).at("Endpoint").as_string(), "shop-1.c1.us-east-2.rds.amazonaws.com");
  EXPECT_EQ(result.targets.at(1).at("TrackedClusterId").as_string(), "shop");
  EXPECT_EQ(result.targets.at(2).at("Role").as_string(), "UNKNOWN");
  EXPECT_EQ(result.targets.at(2).at("TargetHealth").at("Reason").as_string(), "UNREACHABLE");
  ASSERT_EQ(result.endpoints.size(), 2u);
  EXPECT_TRUE(result.endpoints.at(0).at("IsDefault").as_bool());
  EXPECT_EQ(result.endpoints.at(1).at("TargetRole").as_string(), "READ_ONLY");
  EXPECT_THAT(result.lost, testing::UnorderedElementsAre(
                               testing::HasSubstr("the Secret reports"), testing::HasSubstr("fallbackToWriter"),
                               testing::HasSubstr("sequencePinning"), testing::HasSubstr("dbCluster.tls.mode")));
}

TEST(ToRdsProxy, WhatIsExportedComesBackAsItWas) {
  const auto result = exported({{"shop-1", "READ_WRITE", "AVAILABLE", ""}});
  json::object document;
  document["DBProxies"] = result.proxies;
  document["TargetGroups"] = result.groups;
  document["Targets"] = result.targets;
  document["DBProxyEndpoints"] = result.endpoints;
  const std::string text = json::serialize(document);
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("never-printed")));
  Options options;
  options.name_space = "shop";
  const Result back = from_rds_proxy({{"exported", text}}, options);
  ASSERT_EQ(back.error, "");
  const auto loaded = manifest::load_sources({{"back", back.manifests}});
  ASSERT_EQ(loaded.proxies.size(), 1u) << back.manifests;
  const auto& proxy = loaded.proxies[0];
  EXPECT_EQ(proxy.metadata.key(), "shop/orders");
  EXPECT_EQ(proxy.cluster.endpoint, "shop.cluster-c1.us-east-2.rds.amazonaws.com");
  EXPECT_EQ(proxy.cluster.port, 5433);
  EXPECT_EQ(proxy.pool.max_idle_connections_percent, 20u);
  EXPECT_EQ(proxy.aws.role_arn, "arn:aws:iam::123456789012:role/orders");
  ASSERT_EQ(loaded.endpoints.size(), 1u);
  EXPECT_EQ(loaded.endpoints[0].target_role, config::TargetRole::kReadOnly);
}

TEST(ToRdsProxy, InstancesOfTheirOwn) {
  ExportedProxy proxy;
  proxy.proxy.metadata.name = "p";
  proxy.proxy.cluster.instances = {{"a", "db-a.example.com", 5432}, {"b", "db-b.example.com", 5433}};
  proxy.ready = false;
  const auto result = to_rds_proxy({proxy});
  EXPECT_EQ(result.proxies.at(0).at("Status").as_string(), "creating");
  ASSERT_EQ(result.targets.size(), 2u);
  EXPECT_EQ(result.targets.at(1).at("Endpoint").as_string(), "db-b.example.com");
  EXPECT_EQ(result.targets.at(1).at("Port").to_number<int>(), 5433);
  EXPECT_FALSE(result.targets.at(1).as_object().contains("TargetHealth"));
}

}  // namespace
}  // namespace dbproxy::migrate
