#include "proxy/manifest/pem.hpp"

#include <memory>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

namespace dbproxy::manifest {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Bio memory_bio(std::string_view text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

// Without it OpenSSL would ask on the terminal for the pass phrase of an encrypted key.
int no_pass_phrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) {
  return -1;
}

}  // namespace

std::string check_pem_certificates(std::string_view pem) {
  const Bio bio = memory_bio(pem);
  std::size_t count = 0;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    X509_free(certificate);
    ++count;
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end) return "holds a certificate that cannot be read";
  return count > 0 ? "" : "is not PEM: it holds no certificate";
}

std::string check_pem_pair(std::string_view certificate_pem, const Secret& key_pem) {
  if (std::string rule = check_pem_certificates(certificate_pem); !rule.empty()) return "under tls.crt " + rule;
  const Bio chain = memory_bio(certificate_pem);
  const Certificate leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr), &X509_free);
  const Bio bio = memory_bio(key_pem.reveal());
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_pass_phrase, nullptr), &EVP_PKEY_free);
  std::string rule;
  if (!key) {
    rule = "under tls.key holds no private key that can be read";
  } else if (X509_check_private_key(leaf.get(), key.get()) != 1) {
    rule = "holds a key under tls.key that does not belong to the certificate under tls.crt";
  }
  ERR_clear_error();
  return rule;
}

}  // namespace dbproxy::manifest
