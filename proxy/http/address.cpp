#include "proxy/http/address.hpp"

#include <charconv>

namespace dbproxy::http {

std::optional<Address> parse_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.size() > 300) return std::nullopt;
  const std::string_view digits = text.substr(colon + 1);
  std::string_view host = text.substr(0, colon);
  Address address;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;  // IPv6 without brackets: where does the port begin?
  }
  if (host.find_first_of("[]/ \t") != std::string_view::npos) return std::nullopt;
  address.host = host;
  return address;
}

std::string to_string(const Address& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

}  // namespace dbproxy::http
