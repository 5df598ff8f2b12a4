#include "proxy/pki/pki.hpp"

#include <algorithm>
#include <openssl/pem.h>

#include "proxy/pki/openssl.hpp"

namespace dbproxy::pki {
namespace {

class Category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "pki"; }
  std::string message(int value) const override {
    switch (static_cast<Error>(value)) {
      case Error::kCrypto:
        return "a cryptographic operation failed";
      case Error::kBadCertificate:
        return "not a PEM certificate";
      case Error::kBadKey:
        return "not a PEM private key";
      case Error::kMismatch:
        return "certificate and key do not belong together";
      case Error::kBadName:
        return "a name or address that a certificate cannot carry";
      case Error::kBadFile:
        return "a file of the state directory is damaged";
    }
    return "unknown pki error";
  }
};

// Clocks of machines differ: a fresh certificate is good a little before it was made. Of a short life a tenth at most.
constexpr std::chrono::seconds kBackdate{300};
constexpr std::chrono::hours kDay{24};

KeyPtr make_key() {
  return KeyPtr(EVP_EC_gen("P-256"));
}

std::string to_pem(X509* certificate) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Secret to_pem(EVP_PKEY* key) {
  BioPtr bio(BIO_new(BIO_s_secmem()));  // wiped when it is freed
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return Secret(std::string(data, static_cast<std::size_t>(size)));
}

bool add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_serial(X509* certificate) {
  NumberPtr serial(BN_new());  // 127 random bits: positive and at most 20 octets, as RFC 5280 4.1.2.2 asks
  return serial && BN_rand(serial.get(), 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) != nullptr;
}

// Everything that an authority and a leaf have in common.
CertificatePtr make_certificate(EVP_PKEY* key, const std::string& common_name, WallTime now,
                                std::chrono::seconds life) {
  CertificatePtr certificate(X509_new());
  if (!certificate) return nullptr;
  const auto start = std::chrono::system_clock::to_time_t(now - std::min(kBackdate, life / 10));
  const auto end = std::chrono::system_clock::to_time_t(now + life);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  const bool ok =
      X509_set_version(certificate.get(), X509_VERSION_3) == 1 && set_serial(certificate.get()) &&
      ASN1_TIME_set(X509_getm_notBefore(certificate.get()), start) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(certificate.get()), end) != nullptr &&
      X509_set_pubkey(certificate.get(), key) == 1 &&
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) == 1;
  return ok ? std::move(certificate) : nullptr;
}

// Built as objects, not through OpenSSL's text syntax: a comma in a name would add names there.
Result<void> add_alternative_names(X509* certificate, const LeafRequest& request) {
  AltNamesPtr names(GENERAL_NAMES_new());
  if (!names) return Error::kCrypto;
  const auto push = [&](int type, ASN1_STRING* value) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(name, type, value);
    sk_GENERAL_NAME_push(names.get(), name);
  };
  for (const std::string& dns : request.dns_names) {
    if (dns.empty() || dns.size() > 253 || dns.find('\0') != std::string::npos) return Error::kBadName;
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, dns.data(), static_cast<int>(dns.size()));
    push(GEN_DNS, text);
  }
  for (const std::string& address : request.addresses) {
    ASN1_OCTET_STRING* octets = a2i_IPADDRESS(address.c_str());
    if (octets == nullptr) return Error::kBadName;
    push(GEN_IPADD, octets);
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return Error::kBadName;
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, 0) != 1) return Error::kCrypto;
  return {};
}

}  // namespace

const boost::system::error_category& pki_category() {
  static const Category category;
  return category;
}

ErrorCode make_error_code(Error error) {
  return {static_cast<int>(error), pki_category()};
}

CertificatePtr parse_certificate(std::string_view pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return CertificatePtr(bio ? PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr) : nullptr);
}

KeyPtr parse_key(std::string_view pem) {
  // Without a callback OpenSSL would ask the terminal for the passphrase of an encrypted key.
  const auto no_passphrase = [](char*, int, int, void*) { return 0; };
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return KeyPtr(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr) : nullptr);
}

Result<Authority> make_authority(const std::string& common_name, int years, const Clock& clock) {
  return make_authority(common_name, 365 * kDay * years, clock);
}

Result<Authority> make_authority(const std::string& common_name, std::chrono::seconds life, const Clock& clock) {
  if (common_name.empty() || common_name.size() > 64) return Error::kBadName;
  const KeyPtr key = make_key();
  if (!key) return Error::kCrypto;
  const CertificatePtr made = make_certificate(key.get(), common_name, clock.wall(), life);
  if (!made) return Error::kCrypto;
  X509* certificate = made.get();
  const bool ok = X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1 &&
                  add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                  add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                  add_extension(certificate, certificate, NID_subject_key_identifier, "hash") &&
                  X509_sign(certificate, key.get(), EVP_sha256()) > 0;
  if (!ok) return Error::kCrypto;
  Authority authority{to_pem(certificate), to_pem(key.get())};
  if (authority.certificate_pem.empty() || authority.key_pem.empty()) return Error::kCrypto;
  return authority;
}

Result<Identity> issue(const Authority& authority, const LeafRequest& request, const Clock& clock) {
  if (request.common_name.empty() || request.common_name.size() > 64) return Error::kBadName;
  const CertificatePtr issuer = parse_certificate(authority.certificate_pem);
  if (!issuer) return Error::kBadCertificate;
  const KeyPtr issuer_key = parse_key(authority.key_pem.reveal());
  if (!issuer_key) return Error::kBadKey;
  if (X509_check_private_key(issuer.get(), issuer_key.get()) != 1) return Error::kMismatch;

  const KeyPtr key = make_key();
  if (!key) return Error::kCrypto;
  const CertificatePtr made =
      make_certificate(key.get(), request.common_name, clock.wall(),
                       request.life.count() > 0 ? request.life : std::chrono::seconds(kDay * request.days));
  if (!made) return Error::kCrypto;
  X509* certificate = made.get();
  if (const Result<void> named = add_alternative_names(certificate, request); named.has_error()) return named.error();
  const bool ok = X509_set_issuer_name(certificate, X509_get_subject_name(issuer.get())) == 1 &&
                  add_extension(certificate, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                  add_extension(certificate, issuer.get(), NID_key_usage, "critical,digitalSignature") &&
                  add_extension(certificate, issuer.get(), NID_ext_key_usage, "serverAuth") &&
                  add_extension(certificate, issuer.get(), NID_subject_key_identifier, "hash") &&
                  add_extension(certificate, issuer.get(), NID_authority_key_identifier, "keyid:always") &&
                  X509_sign(certificate, issuer_key.get(), EVP_sha256()) > 0;
  if (!ok) return Error::kCrypto;
  Identity identity{to_pem(certificate) + authority.certificate_pem, to_pem(key.get())};
  if (identity.key_pem.empty()) return Error::kCrypto;
  return identity;
}

Result<Identity> self_signed_listener_identity(const Clock& clock) {
  const Result<Authority> authority = make_authority("dbproxy sidecar", 10, clock);
  if (authority.has_error()) return authority.error();
  return issue(
      authority.value(),
      {.common_name = "localhost", .dns_names = {"localhost"}, .addresses = {"127.0.0.1", "::1"}, .days = 3650}, clock);
}

}  // namespace dbproxy::pki
