#include "operator/kubernetes_mode/proxy_object.hpp"

#include <gmock/gmock.h>

#include "operator/status/installation_ca.hpp"
#include "proxy/manifest/loader.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

boost::json::object object(const std::string& text) {
  return boost::json::parse(text).as_object();
}

TEST(ProxyObject, TellsWhatItRefersTo) {
  const Uses uses = uses_of(object(R"({"spec": {
      "auth": [{"secretRef": {"name": "app"}}, {"secretArn": "arn:x"}, {"secretRef": {"name": "reports"}}, 7],
      "clientCert": {"caRef": {"kind": "ConfigMap", "name": "clients"}},
      "targetGroups": [{"dbCluster": {"tls": {"caRef": {"kind": "Secret", "name": "private-ca"},
                                              "clientCertificateRef": {"name": "own"}}}}]}})"),
                            "shop");
  EXPECT_THAT(uses.secrets, ElementsAre("shop/app", "shop/own", "shop/private-ca", "shop/reports"));
  EXPECT_THAT(uses.config_maps, ElementsAre("shop/clients"));
}

TEST(ProxyObject, TheInstallationsCaIsNoObjectOfItsNamespace) {
  boost::json::object proxy = object(R"({"spec": {"targetGroups": [{"dbCluster": {"endpoint": "db.example"}}]}})");
  ASSERT_TRUE(operator_status::refer_to_installation_ca(proxy.at("spec").as_object(), true).refers);
  EXPECT_EQ(uses_of(proxy, "shop"), Uses{});
}

TEST(ProxyObject, WhatIsNotAsItShouldBeIsNothing) {
  for (const char* text : {"{}", R"({"spec": 1})", R"({"spec": {"auth": {}, "targetGroups": [1, {}]}})"}) {
    EXPECT_EQ(uses_of(object(text), "shop"), Uses{}) << text;
  }
}

TEST(ProxyObject, AManifestHasNothingOfTheApiServers) {
  const std::string text = manifest_text(object(R"({"metadata": {"name": "orders", "namespace": "shop", "uid": "u",
      "managedFields": [{}]}, "spec": {"engineFamily": "POSTGRESQL"}, "status": {"resourceId": "prx-1"}})"),
                                         "DBProxy");
  EXPECT_THAT(text, HasSubstr(R"("name":"orders")"));
  EXPECT_THAT(text, HasSubstr(R"("spec":{"engineFamily":"POSTGRESQL"})"));
  for (const char* word : {"uid", "managedFields", "status"}) EXPECT_THAT(text, Not(HasSubstr(word)));
}

TEST(ProxyObject, NamesTheFieldOfEachHostThatIsRefused) {
  manifest::DBProxyResource proxy;
  proxy.metadata.name = "orders";
  proxy.metadata.name_space = "shop";
  proxy.cluster.endpoint = "127.0.0.1";
  proxy.cluster.instances.resize(2);
  proxy.cluster.instances[0].endpoint = "db.example";
  proxy.cluster.instances[1].endpoint = "169.254.169.254";
  const auto refused = refused_hosts(proxy, {true, {}, {}});
  ASSERT_EQ(refused.size(), 2U);
  EXPECT_EQ(refused[0].object, "DBProxy shop/orders");
  EXPECT_EQ(refused[0].field, "spec.targetGroups[0].dbCluster.endpoint");
  EXPECT_EQ(refused[1].field, "spec.targetGroups[0].dbCluster.instances[1].endpoint");
  proxy.cluster.endpoint = "db.example";
  proxy.cluster.instances.clear();
  EXPECT_THAT(refused_hosts(proxy, {true, {}, {}}), IsEmpty());
}

}  // namespace
}  // namespace dbproxy::kubernetes_mode
