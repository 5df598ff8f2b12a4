#include "proxy/http/message.hpp"

#include <algorithm>
#include <strings.h>

namespace dbproxy::http {

std::string_view Request::header(std::string_view name) const {
  for (const auto& [have, value] : headers) {
    if (have.size() == name.size() && strncasecmp(have.data(), name.data(), name.size()) == 0) return value;
  }
  return {};
}

std::string_view Request::parameter(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (pair.substr(0, equals) == name) return equals == std::string_view::npos ? "" : pair.substr(equals + 1);
  }
  return {};
}

}  // namespace dbproxy::http
