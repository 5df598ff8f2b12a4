#include "operator/kubernetes_mode/installation_ca.hpp"

#include <algorithm>

#include "operator/kubernetes/json.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;
using kubernetes::array_at;
using kubernetes::text_at;

bool uses_tokens(const json::object& spec) {
  const json::array* auth = array_at(spec, {"auth"});
  return auth != nullptr && std::any_of(auth->begin(), auth->end(), [](const json::value& each) {
           return each.is_object() && text_at(each.get_object(), {"authScheme"}) == "IAM";
         });
}

}  // namespace

bool refer_to_installation_ca(json::object& spec, bool& replaced) {
  const bool always = uses_tokens(spec);
  bool refers = false;
  json::value* groups = spec.if_contains("targetGroups");
  if (groups == nullptr || !groups->is_array()) return false;
  for (json::value& group : groups->get_array()) {
    json::value* cluster = group.is_object() ? group.get_object().if_contains("dbCluster") : nullptr;
    if (cluster == nullptr || !cluster->is_object()) continue;
    json::value& tls = cluster->get_object()["tls"];
    if (tls.is_null()) tls.emplace_object();
    if (!tls.is_object()) continue;
    const std::string_view mode = text_at(tls.get_object(), {"mode"});
    const bool given = tls.get_object().contains("caRef");
    if (mode == "require" || mode == "disable" || (given && !always)) continue;
    tls.get_object()["caRef"] = json::object{{"kind", "ConfigMap"}, {"name", kInstallationCa}, {"key", "ca.pem"}};
    refers = true;
    replaced = replaced || given;
  }
  return refers;
}

std::string installation_ca_text(std::string_view name_space, const std::string& pem) {
  return json::serialize(json::object{{"apiVersion", "v1"},
                                      {"kind", "ConfigMap"},
                                      {"metadata", json::object{{"namespace", name_space}, {"name", kInstallationCa}}},
                                      {"data", json::object{{"ca.pem", pem}}}});
}

}  // namespace dbproxy::kubernetes_mode
