#include "operator/kubernetes_mode/proxy_object.hpp"

#include "operator/kubernetes/objects.hpp"
#include "operator/status/installation_ca.hpp"
#include "proxy/manifest/loader.hpp"
#include "proxy/net/address_policy.hpp"

namespace dbproxy::kubernetes_mode {

namespace json = boost::json;
using kubernetes::array_at;
using kubernetes::text_at;
using operator_status::kInstallationCa;

Uses uses_of(const json::object& proxy, const std::string& name_space) {
  Uses uses;
  const auto add = [&](std::set<std::string>& to, std::string_view name) {
    if (!name.empty() && name != kInstallationCa) to.insert(name_space + "/" + std::string(name));
  };
  const auto add_ca = [&](const json::object& of, std::initializer_list<std::string_view> kind,
                          std::initializer_list<std::string_view> name) {
    add(text_at(of, kind) == "Secret" ? uses.secrets : uses.config_maps, text_at(of, name));
  };
  if (const json::array* auth = array_at(proxy, {"spec", "auth"})) {
    for (const json::value& entry : *auth) {
      if (entry.is_object()) add(uses.secrets, text_at(entry.get_object(), {"secretRef", "name"}));
    }
  }
  if (const json::array* groups = array_at(proxy, {"spec", "targetGroups"})) {
    for (const json::value& group : *groups) {
      if (!group.is_object()) continue;
      const json::object& fields = group.get_object();
      add(uses.secrets, text_at(fields, {"dbCluster", "tls", "clientCertificateRef", "name"}));
      add_ca(fields, {"dbCluster", "tls", "caRef", "kind"}, {"dbCluster", "tls", "caRef", "name"});
    }
  }
  add_ca(proxy, {"spec", "clientCert", "caRef", "kind"}, {"spec", "clientCert", "caRef", "name"});
  return uses;
}

std::string manifest_text(const json::object& object, const char* kind) {
  json::object out{{"apiVersion", std::string(manifest::kApiVersion)},
                   {"kind", kind},
                   {"metadata", json::object{{"namespace", text_at(object, {"metadata", "namespace"})},
                                             {"name", text_at(object, {"metadata", "name"})}}}};
  if (const json::value* spec = object.if_contains("spec")) out["spec"] = *spec;
  return json::serialize(out);
}

std::vector<manifest::Diagnostic> refused_hosts(const manifest::DBProxyResource& proxy,
                                                const config::EndpointPolicy& endpoint_policy) {
  std::vector<manifest::Diagnostic> out;
  const net::AddressPolicy policy(endpoint_policy);
  const auto check = [&](const std::string& field, const std::string& host) {
    if (host.empty()) return;
    const std::string why = policy.refuse_host(host);
    if (why.empty()) return;
    manifest::Diagnostic refused;
    refused.object = "DBProxy " + proxy.metadata.key();
    refused.field = "spec.targetGroups[0].dbCluster." + field;
    refused.value = manifest::in_quotes(host);
    refused.rule = why;
    refused.remedy = "write the address of a database that this installation lets DBProxies point at";
    out.push_back(std::move(refused));
  };
  check("endpoint", proxy.cluster.endpoint);
  for (std::size_t i = 0; i < proxy.cluster.instances.size(); ++i) {
    check("instances[" + std::to_string(i) + "].endpoint", proxy.cluster.instances[i].endpoint);
  }
  return out;
}

}  // namespace dbproxy::kubernetes_mode
