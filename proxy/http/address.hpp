// HOST:PORT as people write it on a command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dbproxy::http {

struct Address {
  std::string host;  // name or IP address without brackets; "" where only a port was given
  std::uint16_t port = 0;
  bool operator==(const Address&) const = default;
};

// "127.0.0.1:9930", "[::1]:9930", "name:9930", ":9930". nullopt for anything else.
std::optional<Address> parse_address(std::string_view text);
// The inverse, with brackets around IPv6.
std::string to_string(const Address& address);

}  // namespace dbproxy::http
