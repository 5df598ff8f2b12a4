// PostgreSQL's md5 password exchange: "md5" + hex(md5(hex(md5(password + user)) + salt)). Pure, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "proxy/auth/error.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::auth {

// What a client sends for that salt: 35 characters. kCrypto where the library has no MD5.
Result<std::string> md5_response(const Secret& password, std::string_view user, std::span<const std::uint8_t, 4> salt);

// kWrongProof when the response is another one; the time depends on lengths only.
Result<void> md5_verify(std::string_view response, const Secret& password, std::string_view user,
                        std::span<const std::uint8_t, 4> salt);

}  // namespace dbproxy::auth
