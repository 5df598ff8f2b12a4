// Base64 (RFC 4648 section 4) as the API carries bytes in JSON. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dbproxy::webhook {

std::string encode_base64(std::string_view bytes);
// None where the text is empty or no base64 with padding.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace dbproxy::webhook
