// What both sides of SCRAM share; not for users of the module.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/auth/scram.hpp"

namespace dbproxy::auth::detail {

inline constexpr std::string_view kBoundHeader = "p=tls-server-end-point,,";

using Key = std::array<std::uint8_t, 32>;

inline std::string_view bytes_of(const Key& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

Key hmac_sha256(std::string_view key, std::string_view message);
Key sha256(std::string_view message);
void xor_into(Key& target, const Key& other);

// The next "name=value" of a comma-separated list, removed from `rest`; nullopt when it has another name or form.
std::optional<std::string_view> take_attribute(std::string_view& rest, char name);
// Removes optional extensions ("x=value" with any letter), up to the end or `stop`. False: malformed.
bool skip_extensions(std::string_view& rest, char stop);

// RFC 5802's "printable": visible ASCII without the comma.
bool is_nonce(std::string_view text);

}  // namespace dbproxy::auth::detail
