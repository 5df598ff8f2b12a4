// Base64 (RFC 4648, section 4), strict: padding required, no white space, no stray bits. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dbproxy::auth {

std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace dbproxy::auth
