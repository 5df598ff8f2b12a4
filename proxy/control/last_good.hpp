// The last good configuration in a file that tells nothing to one who has only the file.
//
// AES-256-GCM (NIST SP 800-38D) under a key that HKDF-SHA256 (RFC 5869) makes of the sidecar's token and a fresh salt;
// the identity is authenticated with it. So a token that changed makes the file unreadable, which is the same as no
// file, and the next configuration replaces it. Layout: magic, salt (16), nonce (12), ciphertext, tag (16).
#pragma once

#include <string>
#include <string_view>

#include "proxy/base/result.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::control {

enum class Error {
  kCrypto = 1,  // OpenSSL refused
  kUnreadable,  // not such a file, tampered with, or sealed with another token or for another identity
  kNoToken,     // nothing to make a key of
};
ErrorCode make_error_code(Error);

Result<std::string> seal(const Secret& content, const Secret& token, std::string_view identity);
Result<Secret> open(std::string_view sealed, const Secret& token, std::string_view identity);

}  // namespace dbproxy::control

template <>
struct boost::system::is_error_code_enum<dbproxy::control::Error> : std::true_type {};
