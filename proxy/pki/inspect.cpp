// Questions about certificates that exist: how long they last, and whether they are still the right ones.
#include <ctime>
#include <openssl/asn1.h>

#include "proxy/base/wall_time.hpp"
#include "proxy/pki/openssl.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::pki {
namespace {

Result<WallTime> to_wall(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return Error::kBadCertificate;
  return wall_time(timegm(&parts));
}

}  // namespace

Result<WallTime> expires_at(const std::string& certificate_pem) {
  const CertificatePtr certificate = parse_certificate(certificate_pem);
  if (!certificate) return Error::kBadCertificate;
  return to_wall(X509_get0_notAfter(certificate.get()));
}

Result<WallTime> renewal_due(const std::string& certificate_pem) {
  const CertificatePtr certificate = parse_certificate(certificate_pem);
  if (!certificate) return Error::kBadCertificate;
  const Result<WallTime> start = to_wall(X509_get0_notBefore(certificate.get()));
  const Result<WallTime> end = to_wall(X509_get0_notAfter(certificate.get()));
  if (start.has_error() || end.has_error()) return Error::kBadCertificate;
  return end.value() - (end.value() - start.value()) / 3;
}

Result<bool> needs_renewal(const std::string& certificate_pem, const Clock& clock) {
  const Result<WallTime> due = renewal_due(certificate_pem);
  if (due.has_error()) return Error::kBadCertificate;
  return clock.wall() > due.value();
}

bool is_signed_by(const std::string& certificate_pem, const Authority& authority) {
  const CertificatePtr leaf = parse_certificate(certificate_pem);
  const CertificatePtr issuer = parse_certificate(authority.certificate_pem);
  EVP_PKEY* issuer_key = issuer ? X509_get0_pubkey(issuer.get()) : nullptr;
  return leaf && issuer_key != nullptr && X509_verify(leaf.get(), issuer_key) == 1;
}

bool is_issued_by(const Identity& identity, const Authority& authority, const LeafRequest& request) {
  if (!is_signed_by(identity.certificate_pem, authority)) return false;
  const CertificatePtr leaf = parse_certificate(identity.certificate_pem);
  const KeyPtr key = parse_key(identity.key_pem.reveal());
  if (!leaf || !key) return false;
  if (X509_check_private_key(leaf.get(), key.get()) != 1) return false;
  for (const std::string& name : request.dns_names) {
    if (X509_check_host(leaf.get(), name.data(), name.size(), 0, nullptr) != 1) return false;
  }
  for (const std::string& address : request.addresses) {
    if (X509_check_ip_asc(leaf.get(), address.c_str(), 0) != 1) return false;
  }
  return true;
}

}  // namespace dbproxy::pki
