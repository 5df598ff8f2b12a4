// MySQL's password plugins, both sides: mysql_native_password, caching_sha2_password. Pure, any thread.
//
// Nonces are 20 bytes that the server chose. An empty password is an empty response. Responses prove the password
// without showing it, but for the two ways in which caching_sha2_password sends it whole: over TLS as it is, or
// encrypted with the server's RSA key, which without a certificate proves nothing about who has that key.
// (MySQL internals manual: "Native Authentication", "Caching_sha2_password information".)
#pragma once

#include <string>
#include <string_view>

#include "proxy/auth/error.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::auth {

inline constexpr std::string_view kMysqlNativePassword = "mysql_native_password";
inline constexpr std::string_view kMysqlCachingSha2 = "caching_sha2_password";
inline constexpr std::string_view kMysqlClearPassword = "mysql_clear_password";
inline constexpr std::size_t kMysqlNonceSize = 20;

// What caching_sha2_password says in AuthMoreData, and what it is asked with.
inline constexpr char kSha2RequestKey = 0x02;
inline constexpr char kSha2FastOk = 0x03;
inline constexpr char kSha2FullNeeded = 0x04;

// SHA1(password) XOR SHA1(nonce + SHA1(SHA1(password))): 20 bytes.
Result<std::string> mysql_native_response(const Secret& password, std::string_view nonce);
// SHA256(password) XOR SHA256(SHA256(SHA256(password)) + nonce): 32 bytes.
Result<std::string> mysql_sha2_response(const Secret& password, std::string_view nonce);
// kWrongProof when the response is another one; the time depends on lengths only.
Result<void> mysql_native_verify(std::string_view response, const Secret& password, std::string_view nonce);
Result<void> mysql_sha2_verify(std::string_view response, const Secret& password, std::string_view nonce);

// The password and the zero byte that ends it, as mysql_clear_password and caching_sha2_password over TLS send it.
Secret mysql_clear_response(const Secret& password);
// The same, XOR the nonce repeated, encrypted by RSA with OAEP padding for the key in `public_key_pem`. kTooLong:
// longer than that key can take. kMalformed: not an RSA key of 1,024 to 16,384 bits.
Result<std::string> mysql_rsa_response(const Secret& password, std::string_view nonce, std::string_view public_key_pem);

// A new nonce for a greeting: never a zero byte, because clients read it as text.
// `random`: kMysqlNonceSize bytes that cannot be guessed.
std::string mysql_nonce(std::string_view random);

}  // namespace dbproxy::auth
