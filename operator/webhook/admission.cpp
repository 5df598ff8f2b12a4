#include "operator/webhook/admission.hpp"

#include "operator/webhook/base64.hpp"
#include "operator/webhook/pod.hpp"

namespace dbproxy::webhook {
namespace {

constexpr std::string_view kApiVersion = "admission.k8s.io/v1";
constexpr std::size_t kMaxWarning = 250;  // longer ones are cut by the API server

Review malformed(std::string sentence) {
  Review out;
  out.status = 400;
  out.body = std::move(sentence) + "\n";
  return out;
}

}  // namespace

Review review(std::string_view body, const Settings& settings, const FindProxy& find_proxy) {
  const auto parsed = kubernetes::parse_json(body);
  if (parsed.has_error() || !parsed->is_object()) return malformed("this is not JSON");
  const json::object& document = parsed->get_object();
  if (kubernetes::text_at(document, {"apiVersion"}) != kApiVersion ||
      kubernetes::text_at(document, {"kind"}) != "AdmissionReview") {
    return malformed("this is not an AdmissionReview of admission.k8s.io/v1");
  }
  const json::object* pod = kubernetes::object_at(document, {"request", "object"});
  const std::string uid(kubernetes::text_at(document, {"request", "uid"}));
  if (pod == nullptr || uid.empty() || kubernetes::text_at(document, {"request", "kind", "kind"}) != "Pod" ||
      kubernetes::text_at(document, {"request", "operation"}) != "CREATE") {
    return malformed("this reviews something else than the creation of a pod");
  }
  Review out;
  out.name_space = kubernetes::text_at(document, {"request", "namespace"});
  out.pod = kubernetes::text_at(*pod, {"metadata", "name"});
  if (out.pod.empty()) out.pod = kubernetes::text_at(*pod, {"metadata", "generateName"});
  out.dry_run = flag_at(document, {"request", "dryRun"});
  out.decision = inject(*pod, out.name_space, settings, find_proxy);

  json::object response{{"uid", uid}, {"allowed", out.decision.kind != Decision::Kind::kRefuse}};
  if (out.decision.kind == Decision::Kind::kRefuse) {
    response["status"] = {
        {"code", 422}, {"reason", "Invalid"}, {"message", "dbproxy refuses the pod: " + out.decision.reason}};
  }
  if (out.decision.kind == Decision::Kind::kPatch) {
    response["patchType"] = "JSONPatch";
    response["patch"] = encode_base64(json::serialize(out.decision.patch));
  }
  if (!out.decision.warnings.empty()) {
    json::array warnings;
    for (const std::string& warning : out.decision.warnings) warnings.emplace_back(warning.substr(0, kMaxWarning));
    response["warnings"] = std::move(warnings);
  }
  out.body = json::serialize(
      json::object{{"apiVersion", kApiVersion}, {"kind", "AdmissionReview"}, {"response", std::move(response)}});
  return out;
}

}  // namespace dbproxy::webhook
