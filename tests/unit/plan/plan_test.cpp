#include "proxy/plan/plan.hpp"

#include <gtest/gtest.h>

namespace dbproxy::plan {
namespace {

using config::HealthReason;
using config::TargetHealth;
using config::TargetRole;

constexpr const char* kManifest = R"(
apiVersion: dbproxy.io/v1alpha1
kind: DBProxy
metadata: {name: orders, namespace: shop}
spec:
  engineFamily: POSTGRESQL
  requireTLS: true
  idleClientTimeoutSeconds: 60
  maxClientAgeSeconds: 3600
  debugLogging: true
  sequencePinning: "On"
  deferredBegin: "Off"
  auth:
  - {description: application, secretRef: {name: app}, clientPasswordAuthType: POSTGRES_MD5}
  - {secretRef: {name: report}}
  targetGroups:
  - dbCluster:
      endpoint: orders.cluster-abc.us-east-2.rds.amazonaws.com
      port: 5444
      tls: {mode: require}
    connectionPool:
      maxConnectionsPercent: 80
      connectionBorrowTimeoutSeconds: 5
      initQuery: SET work_mem = '8MB'
  limits: {maxClients: 50, maxConnectionsPerUser: 7, statementTimeout: 30s}
  tags: {team: shop}
---
apiVersion: dbproxy.io/v1alpha1
kind: DBProxyEndpoint
metadata: {name: readers, namespace: shop}
spec: {dbProxyName: orders, port: 5433, targetRole: READ_ONLY, fallbackToWriter: true}
---
apiVersion: dbproxy.io/v1alpha1
kind: DBProxyEndpoint
metadata: {name: another, namespace: shop}
spec: {dbProxyName: orders, port: 5434}
---
apiVersion: v1
kind: Secret
metadata: {name: app, namespace: shop}
stringData: {username: app, password: one}
---
apiVersion: v1
kind: Secret
metadata: {name: report, namespace: shop}
data: {username: cmVwb3J0, password: dHdv}
)";

Desired desired() {
  manifest::Manifests manifests = manifest::load_sources({{"orders.yaml", kManifest}});
  for (const auto& diagnostic : manifests.diagnostics) ADD_FAILURE() << to_text(diagnostic);
  return make_desired(manifests);
}

TEST(Plan, BringsEveryFieldIntoTheSnapshot) {
  auto snapshots = make_snapshots(desired(), {});
  ASSERT_EQ(snapshots.size(), 1u);
  const config::Snapshot& s = snapshots[0];
  EXPECT_EQ(s.name_space, "shop");
  EXPECT_EQ(s.name, "orders");
  EXPECT_EQ(s.version, 0u);
  EXPECT_EQ(s.engine, config::EngineFamily::kPostgresql);
  EXPECT_TRUE(s.require_tls);
  EXPECT_TRUE(s.debug_logging);
  EXPECT_TRUE(s.sequence_pinning);
  EXPECT_FALSE(s.deferred_begin);
  EXPECT_EQ(s.idle_client_timeout, std::chrono::seconds(60));
  EXPECT_EQ(s.max_client_age, std::chrono::hours(1));
  EXPECT_EQ(s.max_clients, 50u);
  EXPECT_EQ(s.limits.max_connections_per_user, 7u);
  EXPECT_EQ(s.limits.statement_timeout, std::chrono::seconds(30));
  EXPECT_EQ(s.limits.transaction_timeout, std::chrono::seconds(0));
  EXPECT_EQ(s.pool.max_connections_percent, 80u);
  EXPECT_EQ(s.pool.max_idle_connections_percent, 40u);
  EXPECT_EQ(s.pool.borrow_timeout, std::chrono::seconds(5));
  EXPECT_EQ(s.pool.init_query, "SET work_mem = '8MB'");
  EXPECT_FALSE(s.pool.exclude_variable_sets);
  EXPECT_EQ(s.server_tls.mode, config::TlsMode::kRequire);
  EXPECT_EQ(s.tags.at("team"), "shop");
}

// The loader would ask for real certificates.
TEST(Plan, ResolvesWhatTlsRefersTo) {
  manifest::Manifests manifests = manifest::load_sources({{"orders.yaml", kManifest}});
  manifest::DBProxyResource& proxy = manifests.proxies.front();
  proxy.cluster.tls.negotiation = manifest::TlsNegotiation::kDirect;
  proxy.cluster.tls.client_certificate = "pair";
  proxy.client_cert.emplace().ca_ref = {"ConfigMap", "clients", "ca.pem"};
  manifest::SecretResource pair;
  pair.metadata.name_space = "shop";
  pair.metadata.name = "pair";
  pair.data = {{"tls.crt", Secret("certificate")}, {"tls.key", Secret("key")}};
  manifests.secrets.push_back(pair);
  manifest::ConfigMapResource clients;
  clients.metadata.name_space = "shop";
  clients.metadata.name = "clients";
  clients.data = {{"ca.pem", "CA of clients"}};
  manifests.config_maps.push_back(clients);
  const config::Snapshot s = make_snapshots(make_desired(manifests), {})[0];
  EXPECT_TRUE(s.server_tls.direct);
  EXPECT_EQ(s.server_tls.client_certificate_pem, "certificate");
  EXPECT_EQ(s.server_tls.client_key_pem.reveal(), "key");
  EXPECT_EQ(s.client_cert.mode, config::ClientCertMode::kVerifyFull);
  EXPECT_EQ(s.client_cert.ca_pem, "CA of clients");
  config::Snapshot other = s;
  other.client_cert.mode = config::ClientCertMode::kVerifyCa;
  EXPECT_FALSE(s.same_content(other));
}

TEST(Plan, PutsTheDefaultEndpointFirstAndTheOthersByName) {
  auto endpoints = make_snapshots(desired(), {})[0].endpoints;
  std::vector<config::Endpoint> expected = {{"default", 5432, TargetRole::kReadWrite, false},
                                            {"another", 5434, TargetRole::kReadWrite, false},
                                            {"readers", 5433, TargetRole::kReadOnly, true}};
  EXPECT_EQ(endpoints, expected);
}

TEST(Plan, ResolvesUsers) {
  auto users = make_snapshots(desired(), {})[0].users;
  ASSERT_EQ(users.size(), 2u);
  EXPECT_EQ(users[0].name, "app");
  EXPECT_EQ(users[0].password.reveal(), "one");
  EXPECT_EQ(users[0].description, "application");
  EXPECT_EQ(users[0].client_password_auth_type, config::PasswordAuthType::kPostgresMd5);
  EXPECT_EQ(users[1].name, "report");
  EXPECT_EQ(users[1].password.reveal(), "two");
  EXPECT_EQ(users[1].client_password_auth_type, config::PasswordAuthType::kPostgresScramSha256);
}

TEST(Plan, TakesTheClusterItselfAsTargetWhereNoInstancesAreListed) {
  auto targets = make_snapshots(desired(), {})[0].targets;
  ASSERT_EQ(targets.size(), 1u);
  EXPECT_EQ(targets[0].id, "orders");
  EXPECT_EQ(targets[0].host, "orders.cluster-abc.us-east-2.rds.amazonaws.com");
  EXPECT_EQ(targets[0].port, 5444);
  EXPECT_EQ(targets[0].health, TargetHealth::kRegistering);
  EXPECT_EQ(targets[0].max_connections, 0u);
}

TEST(Plan, TakesInstancesAndTheirObservations) {
  manifest::Manifests manifests = manifest::load_sources({{"m.yaml", R"(
apiVersion: dbproxy.io/v1alpha1
kind: DBProxy
metadata: {name: orders}
spec:
  engineFamily: POSTGRESQL
  auth: [{secretRef: {name: app}}]
  targetGroups:
  - dbCluster:
      port: 6000
      instances: [{id: one, endpoint: 10.0.0.1}, {id: two, endpoint: 10.0.0.2, port: 6001}]
      tls: {mode: disable}
---
apiVersion: v1
kind: Secret
metadata: {name: app}
stringData: {username: app, password: one}
)"}});
  for (const auto& diagnostic : manifests.diagnostics) ADD_FAILURE() << to_text(diagnostic);
  Desired want = make_desired(manifests);
  topology::Observation seen;
  seen.target = "two";
  seen.role = TargetRole::kReadOnly;
  seen.health = TargetHealth::kUnavailable;
  seen.reason = HealthReason::kUnreachable;
  seen.max_connections = 100;
  seen.reserved = 3;
  seen.lag_seconds = 1.5;
  auto targets = make_snapshots(want, {{"default/orders", {seen}}})[0].targets;
  ASSERT_EQ(targets.size(), 2u);
  EXPECT_EQ(targets[0].id, "one");
  EXPECT_EQ(targets[0].port, 6000);
  EXPECT_EQ(targets[0].health, TargetHealth::kRegistering);
  EXPECT_EQ(targets[1].host, "10.0.0.2");
  EXPECT_EQ(targets[1].port, 6001);
  EXPECT_EQ(targets[1].role, TargetRole::kReadOnly);
  EXPECT_EQ(targets[1].health, TargetHealth::kUnavailable);
  EXPECT_EQ(targets[1].reason, HealthReason::kUnreachable);
  EXPECT_EQ(targets[1].max_connections, 100u);
  EXPECT_EQ(targets[1].reserved_connections, 3u);
  EXPECT_EQ(targets[1].lag_seconds, 1.5);
}

TEST(Plan, TargetsAreTheMembersThatTheClusterToldOf) {
  DesiredProxy desired;
  desired.snapshot.targets = {{"orders", "orders.cluster-abc.example", 5432}};
  topology::Observation a, b;
  a.target = "a";
  EXPECT_EQ(make_snapshot(desired, {a}).targets[0].id, "orders");
  a.host = "a.abc.example";
  a.port = b.port = 5433;
  a.max_connections = 90;
  b.target = "b";
  b.host = "b.abc.example";
  const auto targets = make_snapshot(desired, {a, b}).targets;
  ASSERT_EQ(targets.size(), 2u);
  EXPECT_EQ(targets[0].id, "a");
  EXPECT_EQ(targets[0].host, "a.abc.example");
  EXPECT_EQ(targets[0].port, 5433);
  EXPECT_EQ(targets[0].max_connections, 90u);
  EXPECT_EQ(targets[1].id, "b");
}

TEST(Plan, KnowsAurorasNamesOfInstances) {
  EXPECT_EQ(instance_pattern("orders.cluster-abc.us-east-2.rds.amazonaws.com"), "?.abc.us-east-2.rds.amazonaws.com");
  EXPECT_EQ(instance_pattern("orders.cluster-ro-abc.us-east-2.rds.amazonaws.com"), "?.abc.us-east-2.rds.amazonaws.com");
  EXPECT_EQ(instance_pattern("orders.cluster-custom-abc.cn-north-1.rds.amazonaws.com.cn"),
            "?.abc.cn-north-1.rds.amazonaws.com.cn");
  EXPECT_EQ(instance_pattern("orders-1.abc.us-east-2.rds.amazonaws.com"), "");
  EXPECT_EQ(instance_pattern("db.cluster-abc.example"), "");
}

TEST(Plan, SaysWhomToAsk) {
  const auto all = desired();
  ASSERT_EQ(all.proxies.size(), 1u);
  const auto asked = cluster(all.proxies[0]);
  EXPECT_EQ(asked.proxy, "shop/orders");
  ASSERT_EQ(asked.members.size(), 1u);
  EXPECT_EQ(asked.members[0].port, 5444);
  ASSERT_EQ(asked.credentials.size(), 2u);
  EXPECT_EQ(asked.credentials[1].user, "report");
  EXPECT_EQ(asked.tls.mode, config::TlsMode::kRequire);
}

TEST(Plan, NamesATargetAfterItsHost) {
  EXPECT_EQ(target_id("orders.cluster-abc.rds.amazonaws.com"), "orders");
  EXPECT_EQ(target_id("localhost"), "localhost");
  EXPECT_EQ(target_id("10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(target_id("::1"), "::1");
  EXPECT_EQ(target_id("/var/run/postgresql/"), "postgresql");
  EXPECT_EQ(target_id("/"), "local");
}

}  // namespace
}  // namespace dbproxy::plan
