#include "operator/kubernetes_mode/certificates.hpp"

#include <openssl/evp.h>

#include "operator/kubernetes/objects.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;
using kubernetes::Failure;
using kubernetes::ObjectRef;

constexpr int kYears = 10;
constexpr std::size_t kMaxField = 64 * 1024;

std::string encoded(std::string_view text) {
  std::string out((text.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::string decoded(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > kMaxField) return {};
  std::string out(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return {};
  std::size_t padding = 0;
  while (padding < 2 && text[text.size() - 1 - padding] == '=') ++padding;
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

pki::Authority authority_of(const json::object& secret) {
  pki::Authority out;
  out.certificate_pem = decoded(kubernetes::text_at(secret, {"data", "tls.crt"}));
  out.key_pem = Secret(decoded(kubernetes::text_at(secret, {"data", "tls.key"})));
  return out;
}

Failure unusable(const std::string& name_space, const std::string& words) {
  return {Failure::Kind::kConfig, 0, "",
          "Secret " + name_space + "/" + kAuthorityName + " " + words +
              "; delete it and restart all replicas of the operator at once to have a new CA made",
          std::nullopt};
}

}  // namespace

kubernetes::Outcome<pki::Authority> shared_authority(kubernetes::Client& client, const std::string& name_space,
                                                     const Clock& clock, kubernetes::Canceller& canceller,
                                                     const pki::Authority* known) {
  const ObjectRef ref{{"", "v1", "secrets"}, name_space, kAuthorityName};
  kubernetes::Outcome<json::object> found = kubernetes::get(client, ref, &canceller);
  if (found.has_error() && found.error().not_found()) {
    const Result<pki::Authority> made =
        known != nullptr ? Result<pki::Authority>(*known) : pki::make_authority("dbproxy-operator", kYears, clock);
    if (made.has_error()) return Failure{Failure::Kind::kConfig, 0, "", made.error().message(), std::nullopt};
    const json::object secret{
        {"apiVersion", "v1"},
        {"kind", "Secret"},
        {"type", "kubernetes.io/tls"},
        {"metadata", json::object{{"name", kAuthorityName},
                                  {"namespace", name_space},
                                  {"labels", json::object{{"app.kubernetes.io/managed-by", "dbproxy-operator"}}}}},
        {"data",
         json::object{{"tls.crt", encoded(made->certificate_pem)}, {"tls.key", encoded(made->key_pem.reveal())}}}};
    found = kubernetes::create(client, ref, secret, &canceller);
    if (found.has_value()) {
      log::info("kubernetes", known != nullptr ? "the CA's Secret was gone, and is there again" : "a CA was made",
                {{"secret", name_space + "/" + kAuthorityName}});
    }
    // Another replica was faster: its CA is the one.
    if (found.has_error() && found.error().conflict()) found = kubernetes::get(client, ref, &canceller);
  }
  if (found.has_error()) return found.error();
  pki::Authority authority = authority_of(*found);
  if (authority.certificate_pem.empty() || authority.key_pem.empty()) {
    return unusable(name_space, "has no tls.crt and tls.key");
  }
  const auto probe = pki::issue(authority, {.common_name = "probe", .dns_names = {"localhost"}, .days = 1}, clock);
  if (probe.has_error()) return unusable(name_space, "cannot sign: " + probe.error().message());
  return authority;
}

Failure publish_bundle(kubernetes::Client& client, const std::string& name_space, const std::string& ca_pem,
                       kubernetes::Canceller& canceller) {
  const json::object map{{"apiVersion", "v1"},
                         {"kind", "ConfigMap"},
                         {"metadata", json::object{{"name", kAuthorityName}, {"namespace", name_space}}},
                         {"data", json::object{{kBundleKey, ca_pem}}}};
  const auto applied = kubernetes::apply(client, {{"", "v1", "configmaps"}, name_space, kAuthorityName}, map,
                                         "dbproxy-operator", {}, &canceller);
  return applied.has_error() ? applied.error() : Failure{};
}

}  // namespace dbproxy::kubernetes_mode
