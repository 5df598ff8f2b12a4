// An ErrorResponse in the proxy's own words, for a client.
#pragma once

#include <string>
#include <string_view>

#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::worker {

inline std::string client_error(std::string_view severity, std::string_view sqlstate, std::string_view message,
                                std::string_view hint = {}) {
  std::string out;
  wire::postgres::error_response(out, {.severity = severity, .sqlstate = sqlstate, .message = message, .hint = hint});
  return out;
}

}  // namespace dbproxy::worker
