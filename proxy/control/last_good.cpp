#include "proxy/control/last_good.hpp"

#include <array>
#include <memory>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

namespace dbproxy::control {
namespace {

constexpr std::string_view kMagic = "dbproxy-last-good-1\n";
constexpr std::string_view kPurpose = "dbproxy last good configuration";
constexpr std::size_t kSalt = 16, kNonce = 12, kTag = 16;
constexpr std::size_t kHeader = kMagic.size() + kSalt + kNonce;

class Category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "control"; }
  std::string message(int value) const override {
    switch (static_cast<Error>(value)) {
      case Error::kCrypto:
        return "a cryptographic operation failed";
      case Error::kUnreadable:
        return "the file is damaged, or was written with another token or identity";
      case Error::kNoToken:
        return "there is no token to make a key of";
    }
    return "unknown control error";
  }
};

using Key = std::array<unsigned char, 32>;
struct WipedKey {
  Key bytes{};
  ~WipedKey() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
};

struct Delete {
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using CipherPtr = std::unique_ptr<EVP_CIPHER_CTX, Delete>;

unsigned char* octets(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}
const unsigned char* octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
int length(std::string_view text) {
  return static_cast<int>(text.size());
}

bool derive(const Secret& token, std::string_view salt, Key& out) {
  const std::unique_ptr<EVP_KDF, Delete> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const std::unique_ptr<EVP_KDF_CTX, Delete> context(EVP_KDF_CTX_new(kdf.get()));
  const auto octet_param = [](const char* name, std::string_view value) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(value.data()), value.size());
  };
  char hash[] = "SHA256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0),
                               octet_param(OSSL_KDF_PARAM_KEY, token.reveal()), octet_param(OSSL_KDF_PARAM_SALT, salt),
                               octet_param(OSSL_KDF_PARAM_INFO, kPurpose), OSSL_PARAM_construct_end()};
  return context && EVP_KDF_derive(context.get(), out.data(), out.size(), params) == 1;
}

}  // namespace

ErrorCode make_error_code(Error error) {
  static const Category category;
  return {static_cast<int>(error), category};
}

Result<std::string> seal(const Secret& content, const Secret& token, std::string_view identity) {
  if (token.empty()) return Error::kNoToken;
  std::string out(kHeader + content.reveal().size() + kTag, '\0');
  out.replace(0, kMagic.size(), kMagic);
  unsigned char* const random = octets(out) + kMagic.size();
  WipedKey key;
  if (RAND_bytes(random, kSalt + kNonce) != 1) return Error::kCrypto;
  if (!derive(token, std::string_view(out).substr(kMagic.size(), kSalt), key.bytes)) return Error::kCrypto;
  const CipherPtr cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  const bool ok =
      cipher && EVP_EncryptInit_ex2(cipher.get(), EVP_aes_256_gcm(), key.bytes.data(), random + kSalt, nullptr) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &size, octets(identity), length(identity)) == 1 &&
      EVP_EncryptUpdate(cipher.get(), octets(out) + kHeader, &size, octets(content.reveal()),
                        length(content.reveal())) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), octets(out) + kHeader + size, &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTag, octets(out) + out.size() - kTag) == 1;
  if (!ok) return Error::kCrypto;
  return out;
}

Result<Secret> open(std::string_view sealed, const Secret& token, std::string_view identity) {
  if (token.empty()) return Error::kNoToken;
  if (sealed.size() < kHeader + kTag || !sealed.starts_with(kMagic)) return Error::kUnreadable;
  const std::string_view salt = sealed.substr(kMagic.size(), kSalt);
  const std::string_view nonce = sealed.substr(kMagic.size() + kSalt, kNonce);
  const std::string_view body = sealed.substr(kHeader, sealed.size() - kHeader - kTag);
  std::string tag(sealed.substr(sealed.size() - kTag));
  WipedKey key;
  if (!derive(token, salt, key.bytes)) return Error::kCrypto;
  const CipherPtr cipher(EVP_CIPHER_CTX_new());
  std::string plain(body.size(), '\0');
  int size = 0;
  const bool decrypted =
      cipher && EVP_DecryptInit_ex2(cipher.get(), EVP_aes_256_gcm(), key.bytes.data(), octets(nonce), nullptr) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &size, octets(identity), length(identity)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), octets(plain), &size, octets(body), length(body)) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTag, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), octets(plain) + size, &size) == 1;
  if (!decrypted) {
    OPENSSL_cleanse(plain.data(), plain.size());  // unauthenticated bytes are nobody's business
    return Error::kUnreadable;
  }
  return Secret(std::move(plain));
}

}  // namespace dbproxy::control
