#include "operator/status/installation_ca.hpp"

#include <algorithm>

#include "operator/kubernetes/json.hpp"

namespace dbproxy::operator_status {
namespace {

namespace json = boost::json;
using kubernetes::array_at;
using kubernetes::text_at;

constexpr const char* kField = "spec.targetGroups[0].dbCluster.tls.caRef";

bool uses_tokens(const json::object& spec) {
  const json::array* auth = array_at(spec, {"auth"});
  return auth != nullptr && std::any_of(auth->begin(), auth->end(), [](const json::value& each) {
           return each.is_object() && text_at(each.get_object(), {"authScheme"}) == "IAM";
         });
}

}  // namespace

CaUse refer_to_installation_ca(json::object& spec, bool there) {
  const bool always = uses_tokens(spec);
  CaUse out;
  json::value* groups = spec.if_contains("targetGroups");
  if (groups == nullptr || !groups->is_array()) return out;
  for (json::value& group : groups->get_array()) {
    json::value* cluster = group.is_object() ? group.get_object().if_contains("dbCluster") : nullptr;
    if (cluster == nullptr || !cluster->is_object()) continue;
    json::value& tls = cluster->get_object()["tls"];
    if (tls.is_null()) tls.emplace_object();
    if (!tls.is_object()) continue;
    const std::string_view mode = text_at(tls.get_object(), {"mode"});
    const bool given = tls.get_object().contains("caRef");
    if (mode == "require" || mode == "disable" || (given && !always)) continue;
    if (!there) {
      out.missing = out.missing || always;
      continue;
    }
    tls.get_object()["caRef"] = json::object{{"kind", "ConfigMap"}, {"name", kInstallationCa}, {"key", "ca.pem"}};
    out.refers = true;
    out.replaced = out.replaced || given;
  }
  return out;
}

void tell_ca_use(const CaUse& use, const std::string& key, std::vector<manifest::Diagnostic>& diagnostics) {
  if (!use.missing && !use.replaced) return;
  manifest::Diagnostic told;
  told.object = "DBProxy " + key;
  told.field = kField;
  if (use.missing) {
    std::erase_if(diagnostics, [](const manifest::Diagnostic& each) {
      return each.field == kField && each.rule.starts_with("is missing");
    });
    told.rule =
        "cannot be a namespace's own: tokens of IAM are sent only to databases that the installation's CA "
        "vouches for, and this installation has none";
    told.remedy = "have rdsCA of the installation set to the CAs of RDS in your region, and leave caRef out";
  } else {
    told.severity = manifest::Severity::kWarning;
    told.rule = "is not used: tokens of IAM are sent only to databases that the installation's CA vouches for";
    told.remedy = "remove it, or have the CA added to rdsCA of the installation";
  }
  diagnostics.push_back(std::move(told));
}

std::string installation_ca_text(std::string_view name_space, const std::string& pem) {
  return json::serialize(json::object{{"apiVersion", "v1"},
                                      {"kind", "ConfigMap"},
                                      {"metadata", json::object{{"namespace", name_space}, {"name", kInstallationCa}}},
                                      {"data", json::object{{"ca.pem", pem}}}});
}

}  // namespace dbproxy::operator_status
