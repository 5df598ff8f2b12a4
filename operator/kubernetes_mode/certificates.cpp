#include "operator/kubernetes_mode/certificates.hpp"

#include "operator/kubernetes/objects.hpp"
#include "operator/webhook/ca_bundle.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;
using kubernetes::Failure;
using kubernetes::ObjectRef;
using kubernetes::Outcome;

Failure failure(std::string words) {
  return {Failure::Kind::kConfig, 0, "", std::move(words), std::nullopt};
}

ObjectRef secret_of(const std::string& name_space) {
  return {{"", "v1", "secrets"}, name_space, kAuthorityName};
}

bool signs(const pki::Authority& authority, const Clock& clock) {
  return pki::issue(authority, {.common_name = "probe", .dns_names = {"localhost"}, .days = 1}, clock).has_value();
}

}  // namespace

Certificates::Certificates(kubernetes::Client& client, CertificateOptions options, kubernetes::Canceller& canceller,
                           const Clock& clock)
    : client_(client), options_(std::move(options)), canceller_(canceller), clock_(clock) {}

Outcome<json::object> Certificates::find() {
  const ObjectRef ref = secret_of(options_.name_space);
  Outcome<json::object> found = kubernetes::get(client_, ref, &canceller_);
  if (found.has_value() || !found.error().not_found()) return found;
  Authorities all = known_;
  const bool restored = !all.active.certificate_pem.empty();
  if (!restored) {
    Result<pki::Authority> made = pki::make_authority("dbproxy-operator", options_.policy.life, clock_);
    if (made.has_error()) return failure(made.error().message());
    all.active = std::move(made.value());
  }
  const json::object secret{
      {"apiVersion", "v1"},
      {"kind", "Secret"},
      {"type", "kubernetes.io/tls"},
      {"metadata", json::object{{"name", kAuthorityName},
                                {"namespace", options_.name_space},
                                {"labels", json::object{{"app.kubernetes.io/managed-by", "dbproxy-operator"}}}}},
      {"data", to_data(all)}};
  found = kubernetes::create(client_, ref, secret, &canceller_);
  if (found.has_value()) {
    log::info("kubernetes", restored ? "the CA's Secret was gone, and is there again" : "a CA was made",
              {{"secret", options_.name_space + "/" + kAuthorityName}});
  }
  // Another replica was faster: its CA is the one.
  if (found.has_error() && found.error().conflict()) found = kubernetes::get(client_, ref, &canceller_);
  return found;
}

// Of two that do it at once the API server takes one.
Outcome<json::object> Certificates::move_on(json::object secret) {
  const json::object* annotations = kubernetes::object_at(secret, {"metadata", "annotations"});
  const bool asked = annotations != nullptr && annotations->contains(kRotateAnnotation);
  const Authorities now = authorities_of(secret);
  if (!now.next.certificate_pem.empty() && !signs(now.next, clock_)) {
    return failure("next.crt and next.key of the Secret " + options_.name_space + "/" + kAuthorityName +
                   " are no authority that can sign; take them out, or put a good one in");
  }
  const Result<std::optional<Authorities>> next = advance(now, asked, options_.policy, clock_);
  if (next.has_error()) return failure("the CA cannot be renewed: " + next.error().message());
  if (!next.value()) return secret;
  const bool begun = now.next.certificate_pem.empty() && !next.value()->next.certificate_pem.empty();
  if (begun && asked) secret["metadata"].as_object()["annotations"].as_object().erase(kRotateAnnotation);
  secret["data"] = to_data(*next.value());
  Outcome<json::object> written = kubernetes::replace(client_, secret_of(options_.name_space), secret, &canceller_);
  if (written.has_value()) {
    const bool promoted = now.active.certificate_pem != next.value()->active.certificate_pem;
    log::info("kubernetes",
              begun      ? "another CA was made: it is trusted from now on, and signs later"
              : promoted ? "another CA signs from now on; the one before is trusted for a while"
                         : "the CAs to be trusted have changed",
              {{"secret", options_.name_space + "/" + kAuthorityName}});
  }
  return written;
}

Outcome<bool> Certificates::keep(bool leads) {
  Outcome<json::object> secret = find();
  if (secret.has_value() && leads) secret = move_on(std::move(*secret));
  if (secret.has_error()) return secret.error();
  Authorities found = authorities_of(*secret);
  const std::string name = "Secret " + options_.name_space + "/" + kAuthorityName;
  if (found.active.certificate_pem.empty() || found.active.key_pem.empty() || !signs(found.active, clock_)) {
    return failure(name + " has no tls.crt and tls.key that can sign; delete it and restart all replicas of the " +
                   "operator at once to have a new CA made");
  }
  if (!known_.active.certificate_pem.empty() && !follows(known_, found)) {
    return failure(name + " holds another CA than the one in use; put what was there back, and the other one under " +
                   "next.crt and next.key to have it taken over without a gap");
  }
  bool changed = false;
  const Result<bool> due =
      leaf_.certificate_pem.empty() ? Result<bool>(true) : pki::needs_renewal(leaf_.certificate_pem, clock_);
  if (due.has_error() || due.value() || !pki::is_issued_by(leaf_, found.active, options_.leaf)) {
    Result<pki::Identity> issued = pki::issue(found.active, options_.leaf, clock_);
    if (issued.has_error()) return failure("cannot issue the server's certificate: " + issued.error().message());
    leaf_ = std::move(issued.value());
    changed = true;
  }
  std::string bundle = webhook::ca_bundle(*secret);
  changed = changed || bundle != bundle_;
  bundle_ = std::move(bundle);
  known_ = std::move(found);
  return changed;
}

Failure publish_bundle(kubernetes::Client& client, const std::string& name_space, const std::string& ca_pem,
                       kubernetes::Canceller& canceller) {
  const json::object map{
      {"apiVersion", "v1"},
      {"kind", "ConfigMap"},
      {"metadata", json::object{{"name", kAuthorityName},
                                {"namespace", name_space},
                                {"labels", json::object{{"app.kubernetes.io/managed-by", "dbproxy-operator"}}}}},
      {"data", json::object{{kBundleKey, ca_pem}}}};
  const auto applied = kubernetes::apply(client, {{"", "v1", "configmaps"}, name_space, kAuthorityName}, map,
                                         "dbproxy-operator", {}, &canceller);
  return applied.has_error() ? applied.error() : Failure{};
}

}  // namespace dbproxy::kubernetes_mode
