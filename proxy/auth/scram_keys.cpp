#include <algorithm>
#include <cstdlib>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "proxy/auth/base64.hpp"
#include "proxy/auth/saslprep.hpp"
#include "proxy/auth/scram.hpp"
#include "proxy/auth/scram_internal.hpp"

namespace dbproxy::auth {
namespace detail {

Key hmac_sha256(std::string_view key, std::string_view message) {
  Key out;
  unsigned size = 0;
  if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
            reinterpret_cast<const unsigned char*>(message.data()), message.size(), out.data(), &size) ||
      size != out.size())
    std::abort();  // SHA-256 is always there: only memory can be missing
  return out;
}

Key sha256(std::string_view message) {
  Key out;
  SHA256(reinterpret_cast<const unsigned char*>(message.data()), message.size(), out.data());
  return out;
}

void xor_into(Key& target, const Key& other) {
  for (std::size_t i = 0; i < target.size(); ++i) target[i] ^= other[i];
}

std::optional<std::string_view> take_attribute(std::string_view& rest, char name) {
  if (rest.size() < 2 || rest[0] != name || rest[1] != '=') return std::nullopt;
  const std::size_t comma = std::min(rest.find(','), rest.size());
  const std::string_view value = rest.substr(2, comma - 2);
  if (comma + 1 == rest.size()) return std::nullopt;  // a comma with nothing behind it
  rest.remove_prefix(std::min(comma + 1, rest.size()));
  return value;
}

bool skip_extensions(std::string_view& rest, char stop) {
  while (!rest.empty() && rest[0] != stop) {
    const char name = static_cast<char>(rest[0] | 0x20);
    if (name < 'a' || name > 'z' || !take_attribute(rest, rest[0])) return false;
  }
  return true;
}

bool is_nonce(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f && c != ','; });
}

}  // namespace detail

ScramKeys::~ScramKeys() {
  OPENSSL_cleanse(client_key.data(), client_key.size());
  OPENSSL_cleanse(stored_key.data(), stored_key.size());
  OPENSSL_cleanse(server_key.data(), server_key.size());
}

ScramKeys derive_scram_keys(const Secret& password, std::string_view salt, int iterations) {
  const Secret prepared = saslprep(password);
  const std::string_view text = prepared.reveal();
  detail::Key salted;
  if (PKCS5_PBKDF2_HMAC(text.data(), static_cast<int>(text.size()), reinterpret_cast<const unsigned char*>(salt.data()),
                        static_cast<int>(salt.size()), std::max(iterations, 1), EVP_sha256(),
                        static_cast<int>(salted.size()), salted.data()) != 1)
    std::abort();
  ScramKeys keys;
  keys.salt = salt;
  keys.iterations = iterations;
  keys.client_key = detail::hmac_sha256(detail::bytes_of(salted), "Client Key");
  keys.stored_key = detail::sha256(detail::bytes_of(keys.client_key));
  keys.server_key = detail::hmac_sha256(detail::bytes_of(salted), "Server Key");
  OPENSSL_cleanse(salted.data(), salted.size());
  return keys;
}

ScramKeys mock_scram_keys(std::string_view user, std::string_view process_secret) {
  const detail::Key digest = detail::hmac_sha256(process_secret, user);
  ScramKeys keys;
  keys.salt = detail::bytes_of(digest).substr(0, 16);
  keys.iterations = kDefaultScramIterations;
  keys.stored_key = detail::hmac_sha256(process_secret, keys.salt);
  keys.server_key = detail::hmac_sha256(detail::bytes_of(keys.stored_key), keys.salt);
  return keys;
}

std::string make_scram_nonce(const RandomBytes& random) {
  std::array<std::uint8_t, 18> bytes;
  random(bytes);
  return base64_encode({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace dbproxy::auth
