#include "operator/webhook/ca_bundle.hpp"

#include "operator/webhook/base64.hpp"

namespace dbproxy::webhook {

std::string ca_bundle(const kubernetes::json::object& secret) {
  std::string out;
  for (const char* key : {kCaCertificate, kNextCertificate, kPreviousCertificate}) {
    const auto pem = decode_base64(kubernetes::text_at(secret, {"data", key}));
    if (!pem) continue;
    out += *pem;
    if (!out.empty() && out.back() != '\n') out += '\n';
  }
  return out;
}

}  // namespace dbproxy::webhook
