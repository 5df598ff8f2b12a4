#include "proxy/auth/md5.hpp"

#include <array>
#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace dbproxy::auth {
namespace {

// Hex of the digest of two pieces in a row, so that password and user need no joined copy.
bool hex_md5(std::string_view first, std::string_view second, std::array<char, 32>& out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const bool ok = context && EVP_DigestInit_ex(context, EVP_md5(), nullptr) == 1 &&
                  EVP_DigestUpdate(context, first.data(), first.size()) == 1 &&
                  EVP_DigestUpdate(context, second.data(), second.size()) == 1 &&
                  EVP_DigestFinal_ex(context, digest.data(), &size) == 1 && size == 16;
  EVP_MD_CTX_free(context);
  if (!ok) return false;
  for (std::size_t i = 0; i < 16; ++i) {
    out[2 * i] = kDigits[digest[i] >> 4];
    out[2 * i + 1] = kDigits[digest[i] & 15];
  }
  return true;
}

}  // namespace

Result<std::string> md5_response(const Secret& password, std::string_view user, std::span<const std::uint8_t, 4> salt) {
  std::array<char, 32> inner;
  std::array<char, 32> outer;
  const std::string_view salt_text(reinterpret_cast<const char*>(salt.data()), salt.size());
  const bool ok = hex_md5(password.reveal(), user, inner) &&
                  hex_md5(std::string_view(inner.data(), inner.size()), salt_text, outer);
  OPENSSL_cleanse(inner.data(), inner.size());  // as good as the password for whoever has it
  if (!ok) return Error::kCrypto;
  return std::string("md5").append(outer.data(), outer.size());
}

Result<void> md5_verify(std::string_view response, const Secret& password, std::string_view user,
                        std::span<const std::uint8_t, 4> salt) {
  const auto expected = md5_response(password, user, salt);
  if (!expected) return expected.error();
  if (response.size() != expected->size() || CRYPTO_memcmp(response.data(), expected->data(), expected->size()) != 0)
    return Error::kWrongProof;
  return {};
}

}  // namespace dbproxy::auth
