#include "proxy/manifest/duration.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace dbproxy::manifest {

namespace {

constexpr std::array<std::pair<std::string_view, double>, 7> kUnits = {
    {{"", 1}, {"us", 0.001}, {"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  double number = 0;
  auto [rest, failure] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (failure != std::errc() || !(number >= 0)) return std::nullopt;
  auto unit = text.substr(static_cast<std::size_t>(rest - text.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  auto known = std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& each) { return each.first == unit; });
  if (known == kUnits.end()) return std::nullopt;
  double milliseconds = number * known->second;
  if (!(milliseconds <= static_cast<double>(kMaxDuration.count()))) return std::nullopt;
  if (milliseconds > 0) milliseconds = std::max(milliseconds, 1.0);
  return std::chrono::milliseconds(std::llround(milliseconds));
}

}  // namespace dbproxy::manifest
