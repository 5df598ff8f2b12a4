#include "proxy/auth/mysql.hpp"

#include <array>
#include <memory>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <vector>

namespace dbproxy::auth {
namespace {

constexpr std::size_t kMaxKeyText = 16u << 10;

// Wiped when it goes: a hash of a password is as good as the password here.
struct Digest {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  ~Digest() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), size}; }
};

bool hash(const EVP_MD* kind, std::string_view first, std::string_view second, Digest& out) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const bool good = context && EVP_DigestInit_ex(context, kind, nullptr) == 1 &&
                    EVP_DigestUpdate(context, first.data(), first.size()) == 1 &&
                    EVP_DigestUpdate(context, second.data(), second.size()) == 1 &&
                    EVP_DigestFinal_ex(context, out.bytes.data(), &out.size) == 1;
  EVP_MD_CTX_free(context);
  return good;
}

Result<std::string> scramble(const EVP_MD* kind, bool nonce_first, const Secret& password, std::string_view nonce) {
  if (password.empty()) return std::string();
  Digest once, twice, mask;
  if (!hash(kind, password.reveal(), {}, once) || !hash(kind, once.view(), {}, twice) ||
      !(nonce_first ? hash(kind, nonce, twice.view(), mask) : hash(kind, twice.view(), nonce, mask)))
    return Error::kCrypto;
  std::string response(mask.view());
  for (std::size_t i = 0; i < response.size(); ++i) response[i] = static_cast<char>(response[i] ^ once.view()[i]);
  return response;
}

Result<void> verify(const Result<std::string>& expected, std::string_view response) {
  if (!expected) return expected.error();
  if (response.size() != expected->size() || CRYPTO_memcmp(response.data(), expected->data(), expected->size()) != 0)
    return Error::kWrongProof;
  return {};
}

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};

}  // namespace

Result<std::string> mysql_native_response(const Secret& password, std::string_view nonce) {
  return scramble(EVP_sha1(), true, password, nonce);
}
Result<std::string> mysql_sha2_response(const Secret& password, std::string_view nonce) {
  return scramble(EVP_sha256(), false, password, nonce);
}
Result<void> mysql_native_verify(std::string_view response, const Secret& password, std::string_view nonce) {
  return verify(mysql_native_response(password, nonce), response);
}
Result<void> mysql_sha2_verify(std::string_view response, const Secret& password, std::string_view nonce) {
  return verify(mysql_sha2_response(password, nonce), response);
}

Secret mysql_clear_response(const Secret& password) {
  std::string text;
  text.reserve(password.reveal().size() + 1);  // no copy is left behind by growing
  text += password.reveal();
  text += '\0';
  return Secret(std::move(text));
}

Result<std::string> mysql_rsa_response(const Secret& password, std::string_view nonce,
                                       std::string_view public_key_pem) {
  if (nonce.empty() || public_key_pem.size() > kMaxKeyText) return Error::kMalformed;
  const std::unique_ptr<BIO, Deleter<BIO_free>> text(
      BIO_new_mem_buf(public_key_pem.data(), static_cast<int>(public_key_pem.size())));
  const std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>> key(
      text ? PEM_read_bio_PUBKEY(text.get(), nullptr, nullptr, nullptr) : nullptr);
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA) return Error::kMalformed;
  const int bits = EVP_PKEY_get_bits(key.get());
  if (bits < 1024 || bits > 16384) return Error::kMalformed;
  constexpr std::size_t kOaepOverhead = 42;  // of SHA-1
  if (password.reveal().size() + 1 + kOaepOverhead > static_cast<std::size_t>(bits / 8)) return Error::kTooLong;
  std::vector<unsigned char> masked(password.reveal().begin(), password.reveal().end());
  masked.push_back(0);
  for (std::size_t i = 0; i < masked.size(); ++i)
    masked[i] = static_cast<unsigned char>(masked[i] ^ static_cast<unsigned char>(nonce[i % nonce.size()]));
  const std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>> context(EVP_PKEY_CTX_new(key.get(), nullptr));
  std::string out(static_cast<std::size_t>(EVP_PKEY_get_size(key.get())), '\0');
  std::size_t size = out.size();
  const bool good = context && EVP_PKEY_encrypt_init(context.get()) == 1 &&
                    EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) == 1 &&
                    EVP_PKEY_encrypt(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, masked.data(),
                                     masked.size()) == 1;
  OPENSSL_cleanse(masked.data(), masked.size());
  if (!good) return Error::kCrypto;
  out.resize(size);
  return out;
}

std::string mysql_nonce(std::string_view random) {
  std::string nonce;
  // '$' once separated the parts of a stored password: MySQL's own nonces avoid it as well.
  for (const char c : random) {
    const char seven = static_cast<char>(c & 0x7f);
    nonce += seven == '\0' || seven == '$' ? static_cast<char>(seven + 1) : seven;
  }
  return nonce;
}

}  // namespace dbproxy::auth
