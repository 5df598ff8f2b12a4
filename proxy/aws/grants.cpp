#include "proxy/aws/grants.hpp"

#include <algorithm>

namespace dbproxy::aws {

Grants Grants::all() {
  Grants out;
  out.all_ = true;
  return out;
}

bool Grants::allows(std::string_view name_space, std::string_view arn) const {
  return all_ || std::any_of(list_.begin(), list_.end(), [&](const Grant& each) {
           return each.name_space == name_space && matches(each.pattern, arn);
         });
}

Grant parse_grant(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return {};
  const std::string_view pattern = text.substr(equals + 1);
  if (!pattern.starts_with("arn:")) return {};
  return {std::string(text.substr(0, equals)), std::string(pattern)};
}

bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t from = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace dbproxy::aws
