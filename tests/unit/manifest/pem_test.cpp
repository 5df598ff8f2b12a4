#include "proxy/manifest/pem.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

namespace dbproxy::manifest {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

template <class Write>
std::string pem(Write write) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
  write(bio.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

struct Pair {
  Key key{EVP_EC_gen("P-256"), &EVP_PKEY_free};
  std::string certificate_pem = pem([this](BIO* bio) {
    const std::unique_ptr<X509, decltype(&X509_free)> made(X509_new(), &X509_free);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
    X509_set_pubkey(made.get(), key.get());
    X509_sign(made.get(), key.get(), EVP_sha256());
    PEM_write_bio_X509(bio, made.get());
  });
  Secret key_pem(const char* pass_phrase = nullptr) const {
    return Secret(pem([&](BIO* bio) {
      PEM_write_bio_PKCS8PrivateKey(bio, key.get(), pass_phrase != nullptr ? EVP_aes_128_cbc() : nullptr, pass_phrase,
                                    pass_phrase != nullptr ? 4 : 0, nullptr, nullptr);
    }));
  }
};

TEST(Pem, APairIsACertificateAndItsKey) {
  const Pair one;
  const Pair other;
  EXPECT_EQ(check_pem_pair(one.certificate_pem, one.key_pem()), "");
  EXPECT_EQ(check_pem_pair(one.certificate_pem + other.certificate_pem, one.key_pem()), "");
  EXPECT_EQ(check_pem_pair(other.certificate_pem + one.certificate_pem, one.key_pem()),
            "holds a key under tls.key that does not belong to the certificate under tls.crt");
  EXPECT_EQ(check_pem_pair("", one.key_pem()), "under tls.crt is not PEM: it holds no certificate");
  EXPECT_EQ(check_pem_pair(one.certificate_pem, Secret("no key")),
            "under tls.key holds no private key that can be read");
}

TEST(Pem, NobodyIsAskedForThePassPhraseOfAKey) {
  const Pair one;
  EXPECT_EQ(check_pem_pair(one.certificate_pem, one.key_pem("word")),
            "under tls.key holds no private key that can be read");
}

}  // namespace
}  // namespace dbproxy::manifest
