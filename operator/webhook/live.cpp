#include "operator/webhook/live.hpp"

#include "operator/kubernetes/objects.hpp"
#include "operator/webhook/pod.hpp"

namespace dbproxy::webhook {
namespace {

const kubernetes::Resource kProxies{"dbproxy.io", "v1alpha1", "dbproxies"};
const kubernetes::Resource kEndpoints{"dbproxy.io", "v1alpha1", "dbproxyendpoints"};

std::uint16_t port_or(const json::object& object, std::initializer_list<std::string_view> path,
                      std::uint16_t otherwise) {
  const auto port = kubernetes::integer_at(object, path);
  return port && *port >= 1 && *port <= 65535 ? static_cast<std::uint16_t>(*port) : otherwise;
}

manifest::PodSelector selector_of(const json::object& proxy) {
  manifest::PodSelector out;
  if (const json::object* labels = kubernetes::object_at(proxy, {"spec", "podSelector", "matchLabels"})) {
    for (const auto& [key, value] : *labels) {
      if (value.is_string()) out.match_labels.emplace(key, std::string(value.get_string()));
    }
  }
  const json::array* expressions = kubernetes::array_at(proxy, {"spec", "podSelector", "matchExpressions"});
  if (expressions == nullptr) return out;
  for (const json::value& item : *expressions) {
    const json::object* expression = item.if_object();
    if (expression == nullptr) continue;
    manifest::LabelRequirement requirement;
    requirement.key = kubernetes::text_at(*expression, {"key"});
    requirement.op = kubernetes::text_at(*expression, {"operator"});
    if (const json::array* values = kubernetes::array_at(*expression, {"values"})) {
      for (const json::value& value : *values) {
        if (value.is_string()) requirement.values.emplace_back(value.get_string());
      }
    }
    out.match_expressions.push_back(std::move(requirement));
  }
  return out;
}

}  // namespace

BoundProxy bound_proxy(const json::object& proxy, const json::array& endpoints) {
  BoundProxy out;
  out.name = kubernetes::text_at(proxy, {"metadata", "name"});
  const bool mysql = kubernetes::text_at(proxy, {"spec", "engineFamily"}) == "MYSQL";
  const std::uint16_t usual = mysql ? 3306 : 5432;
  out.engine = mysql ? config::EngineFamily::kMysql : config::EngineFamily::kPostgresql;
  out.pod_identity = kubernetes::text_at(proxy, {"spec", "clientAuth"}) == "PodIdentity";
  out.loopback_tcp = flag_at(proxy, {"spec", "allowLoopbackTCP"});
  out.pod_selector = selector_of(proxy);
  out.endpoints.push_back({"default", port_or(proxy, {"spec", "port"}, usual)});
  for (const json::value& item : endpoints) {
    const json::object* endpoint = item.if_object();
    if (endpoint == nullptr || kubernetes::text_at(*endpoint, {"spec", "dbProxyName"}) != out.name) continue;
    const std::uint16_t port = port_or(*endpoint, {"spec", "port"}, 0);
    if (port != 0) out.endpoints.push_back({std::string(kubernetes::text_at(*endpoint, {"metadata", "name"})), port});
  }
  const json::array* groups = kubernetes::array_at(proxy, {"spec", "targetGroups"});
  if (groups == nullptr || groups->empty() || !groups->front().is_object()) return out;
  const json::object& group = groups->front().get_object();
  const std::uint16_t port = port_or(group, {"dbCluster", "port"}, usual);
  out.database_ports.push_back(port);
  if (const json::array* instances = kubernetes::array_at(group, {"dbCluster", "instances"})) {
    for (const json::value& item : *instances) {
      if (item.is_object()) out.database_ports.push_back(port_or(item.get_object(), {"port"}, port));
    }
  }
  return out;
}

FindProxy live_proxies(kubernetes::Client& client, std::chrono::milliseconds timeout) {
  return [&client, timeout](const std::string& name_space, const std::string& name,
                            std::string& error) -> std::optional<BoundProxy> {
    kubernetes::Request request;
    request.timeout = timeout;
    request.target = kubernetes::path_of(kProxies, name_space, name);
    const auto proxy = client.send_json(request);
    if (proxy.has_error()) {
      if (!proxy.error().not_found()) error = proxy.error().text();
      return std::nullopt;
    }
    request.target = kubernetes::path_of(kEndpoints, name_space);
    const auto endpoints = client.send_json(request);
    if (endpoints.has_error()) {
      error = endpoints.error().text();
      return std::nullopt;
    }
    const json::array* items = kubernetes::array_at(*endpoints, {"items"});
    return bound_proxy(*proxy, items == nullptr ? json::array() : *items);
  };
}

}  // namespace dbproxy::webhook
