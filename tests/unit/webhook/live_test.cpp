#include "operator/webhook/live.hpp"

#include "support.hpp"

namespace dbproxy::webhook {
namespace {

TEST(Live, ReadsWhatAPodHasToKnow) {
  const json::object proxy = pod_of(R"({"metadata": {"name": "orders"}, "spec": {"engineFamily": "POSTGRESQL",
      "port": 6432, "clientAuth": "PodIdentity", "allowLoopbackTCP": true,
      "podSelector": {"matchLabels": {"app": "shop"}, "matchExpressions": [{"key": "tier", "operator": "In",
      "values": ["web"]}]}, "targetGroups": [{"dbCluster": {"port": 7000, "instances": [{"port": 7001}, {}]}}]}})");
  const json::array endpoints = json::parse(R"([{"metadata": {"name": "ro"}, "spec": {"dbProxyName": "orders",
      "port": 6433}}, {"metadata": {"name": "x"}, "spec": {"dbProxyName": "other", "port": 1}}, 7])")
                                    .as_array();
  const BoundProxy out = bound_proxy(proxy, endpoints);
  EXPECT_EQ(out.name, "orders");
  EXPECT_TRUE(out.pod_identity && out.loopback_tcp);
  ASSERT_EQ(out.endpoints.size(), 2u);
  EXPECT_EQ(out.endpoints[0].port, 6432);
  EXPECT_EQ(out.endpoints[1].name, "ro");
  EXPECT_THAT(out.database_ports, testing::ElementsAre(7000, 7001, 7000));
  EXPECT_EQ(out.pod_selector.match_labels.at("app"), "shop");
  EXPECT_THAT(out.pod_selector.match_expressions.at(0).values, testing::ElementsAre("web"));
}

TEST(Live, KnowsTheDefaultPorts) {
  EXPECT_EQ(bound_proxy(pod_of(R"({"spec": {"engineFamily": "MYSQL"}})"), {}).endpoints.at(0).port, 3306);
  EXPECT_EQ(bound_proxy(pod_of(R"({"spec": {"port": 0, "targetGroups": [1]}})"), {}).endpoints.at(0).port, 5432);
}

}  // namespace
}  // namespace dbproxy::webhook
