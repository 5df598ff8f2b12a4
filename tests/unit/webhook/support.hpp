// Pods and DBProxies for the tests of injection.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/webhook/injection.hpp"
#include "operator/webhook/pod.hpp"

namespace dbproxy::webhook {

inline json::object pod_of(std::string_view text) {
  return json::parse(text).as_object();
}

// A pod with one container and the label; `more` goes into its spec.
inline json::object plain_pod(const std::string& label = "orders", const std::string& more = "") {
  return pod_of(R"({"metadata": {"name": "web", "labels": {"app": "shop", "dbproxy.io/inject": ")" + label +
                R"("}}, "spec": {)" + more + (more.empty() ? "" : ", ") +
                R"("containers": [{"name": "app", "image": "app:1"}]}})");
}

inline manifest::Manifests manifests() {
  constexpr const char* kText = R"(
apiVersion: dbproxy.io/v1alpha1
kind: DBProxy
metadata: {name: orders, namespace: shop}
spec:
  engineFamily: POSTGRESQL
  podSelector: {matchLabels: {app: shop}}
  auth: [{secretRef: {name: app}}]
  targetGroups: [{dbCluster: {endpoint: db.example, port: 6543, tls: {mode: require}}}]
---
apiVersion: dbproxy.io/v1alpha1
kind: DBProxyEndpoint
metadata: {name: orders-ro, namespace: shop}
spec: {dbProxyName: orders, port: 5433, targetRole: READ_ONLY}
---
apiVersion: dbproxy.io/v1alpha1
kind: DBProxy
metadata: {name: stock, namespace: shop}
spec:
  engineFamily: MYSQL
  auth: [{secretRef: {name: app}}]
  targetGroups: [{dbCluster: {endpoint: stock.example, tls: {mode: require}}}]
---
apiVersion: dbproxy.io/v1alpha1
kind: DBProxy
metadata: {name: billing, namespace: shop}
spec:
  engineFamily: POSTGRESQL
  auth: [{secretRef: {name: app}}]
  targetGroups: [{dbCluster: {endpoint: billing.example, tls: {mode: require}}}]
---
apiVersion: v1
kind: Secret
metadata: {name: app, namespace: shop}
stringData: {username: app, password: secret}
)";
  return manifest::load_sources({{"test.yaml", kText}});
}

inline Decision decide(const json::object& pod, const Settings& settings = {},
                       const std::function<void(BoundProxy&)>& change = {}) {
  static const manifest::Manifests kManifests = manifests();
  return inject(pod, "shop", settings, [&](const std::string& name_space, const std::string& name, std::string&) {
    auto found = find_in(kManifests, name_space, name);
    if (found && change) change(*found);
    return found;
  });
}

// The pod with the patch applied.
inline json::object patched(const json::object& pod, const Decision& decision) {
  json::value out = pod;
  EXPECT_EQ(apply_additions(out, decision.patch), "");
  return out.as_object();
}

inline json::object injected(const json::object& pod, const Settings& settings = {}) {
  const Decision decision = decide(pod, settings);
  EXPECT_EQ(decision.kind, Decision::Kind::kPatch) << decision.reason;
  return patched(pod, decision);
}

inline std::string refusal(const json::object& pod, const Settings& settings = {},
                           const std::function<void(BoundProxy&)>& change = {}) {
  const Decision decision = decide(pod, settings, change);
  EXPECT_EQ(decision.kind, Decision::Kind::kRefuse);
  EXPECT_TRUE(decision.patch.empty());
  return decision.reason;
}

inline const json::object& sidecar_in(const json::object& pod, const char* list = "initContainers") {
  return pod.at("spec").at(list).at(0).as_object();
}

inline std::vector<std::string> args_of(const json::object& container) {
  std::vector<std::string> out;
  for (const json::value& arg : container.at("args").as_array()) out.emplace_back(arg.as_string());
  return out;
}

inline std::string env_of(const json::object& container, std::string_view name) {
  if (!container.contains("env")) return "(no env)";
  for (const json::value& item : container.at("env").as_array()) {
    if (item.at("name").as_string() == name) return std::string(item.at("value").as_string());
  }
  return "(not set)";
}

}  // namespace dbproxy::webhook
