#include "proxy/net/tls_peer.hpp"

#include <memory>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

namespace dbproxy::net {
namespace {

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

Certificate peer_certificate(const SSL* ssl) {
  return {SSL_get1_peer_certificate(ssl), X509_free};
}

std::string end_point(const X509* certificate) {
  if (certificate == nullptr) return {};
  int digest = NID_undef;
  // As RSA-PSS names its hash in the parameters, the algorithm's own number does not tell.
  if (X509_get_signature_info(const_cast<X509*>(certificate), &digest, nullptr, nullptr, nullptr) != 1 ||
      digest == NID_undef) {
    ERR_clear_error();
    return {};
  }
  const EVP_MD* method = digest == NID_md5 || digest == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(digest);
  std::string out(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  if (method == nullptr || X509_digest(certificate, method, reinterpret_cast<unsigned char*>(out.data()), &size) != 1) {
    ERR_clear_error();
    return {};
  }
  out.resize(size);
  return out;
}

}  // namespace

std::string own_end_point(const SSL* ssl) {
  return end_point(SSL_get_certificate(ssl));
}

std::string peer_end_point(const SSL* ssl) {
  return end_point(peer_certificate(ssl).get());
}

bool alpn_agreed(const SSL* ssl) {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &name, &size);
  return name != nullptr && std::string_view(reinterpret_cast<const char*>(name), size) == kAlpnPostgresql;
}

bool peer_verified(const SSL* ssl) {
  return (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0 && peer_certificate(ssl) != nullptr &&
         SSL_get_verify_result(ssl) == X509_V_OK;
}

std::string peer_common_name(const SSL* ssl) {
  const Certificate certificate = peer_certificate(ssl);
  if (!certificate) return {};
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) {
    ERR_clear_error();
    return {};
  }
  std::string name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return name.find('\0') == std::string::npos ? name : std::string();
}

}  // namespace dbproxy::net
