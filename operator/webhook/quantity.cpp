#include "operator/webhook/quantity.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

namespace dbproxy::webhook {
namespace {

constexpr std::size_t kMaxLength = 32;
constexpr std::array<std::pair<std::string_view, double>, 16> kSuffixes{{
    {"", 1},
    {"n", 1e-9},
    {"u", 1e-6},
    {"m", 1e-3},
    {"k", 1e3},
    {"M", 1e6},
    {"G", 1e9},
    {"T", 1e12},
    {"P", 1e15},
    {"E", 1e18},
    {"Ki", 1024.0},
    {"Mi", 1048576.0},
    {"Gi", 1073741824.0},
    {"Ti", 1099511627776.0},
    {"Pi", 1125899906842624.0},
    {"Ei", 1152921504606846976.0},
}};

}  // namespace

std::optional<double> parse_quantity(std::string_view text) {
  if (text.empty() || text.size() > kMaxLength) return std::nullopt;
  const std::size_t digits = text.find_first_not_of("0123456789.");
  const std::string_view number = text.substr(0, digits);
  std::string_view suffix = digits == std::string_view::npos ? std::string_view() : text.substr(digits);
  double value = 0;
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != number.data() + number.size()) return std::nullopt;
  for (const auto& [name, factor] : kSuffixes) {
    if (suffix == name) return value * factor;
  }
  if (suffix.size() < 2 || (suffix[0] != 'e' && suffix[0] != 'E')) return std::nullopt;
  suffix.remove_prefix(suffix[1] == '+' ? 2 : 1);
  int exponent = 0;
  const auto [stop, wrong] = std::from_chars(suffix.data(), suffix.data() + suffix.size(), exponent);
  if (wrong != std::errc() || stop != suffix.data() + suffix.size() || exponent < -18 || exponent > 18) {
    return std::nullopt;
  }
  return value * std::pow(10, exponent);
}

}  // namespace dbproxy::webhook
