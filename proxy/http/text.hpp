// Text from peers on its way into JSON.
#pragma once

#include <string>
#include <string_view>

namespace dbproxy::http {

// The text with every byte that is not part of valid UTF-8 (RFC 3629) replaced by U+FFFD.
std::string valid_utf8(std::string_view text);

}  // namespace dbproxy::http
