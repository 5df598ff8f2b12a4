#include "operator/ctl/table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace dbproxy::ctl {
namespace {

constexpr std::size_t kGap = 3;

// Code points: near enough to columns for names and hosts.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<std::uint8_t>(c) & 0xC0) != 0x80; }));
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) cell = cell.empty() ? "<none>" : printable(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::print(const Format& format) const {
  std::vector<std::size_t> shown;
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].wide && !format.wide) continue;
    std::size_t widest = format.headers ? width(columns_[i].title) : 0;
    for (const auto& row : rows_) widest = std::max(widest, width(row[i]));
    shown.push_back(i);
    widths.push_back(widest);
  }
  std::string out;
  const auto line = [&](const auto& cell_of) {
    out += format.indent;
    for (std::size_t n = 0; n < shown.size(); ++n) {
      const std::string& cell = cell_of(shown[n]);
      out += cell;
      if (n + 1 < shown.size()) out.append(widths[n] - width(cell) + kGap, ' ');
    }
    out += '\n';
  };
  if (format.headers) line([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) line([&](std::size_t i) -> const std::string& { return row[i]; });
  return out;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    // C1 controls are the two bytes C2 80 … C2 9F.
    const bool c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<std::uint8_t>(text[i + 1]) < 0xA0;
    if (byte >= 0x20 && byte != 0x7F && !c1) {
      out += text[i];
      continue;
    }
    std::array<char, 5> escape{};
    std::snprintf(escape.data(), escape.size(), "\\x%02x", c1 ? static_cast<std::uint8_t>(text[++i]) : byte);
    out += escape.data();
  }
  return out;
}

std::string duration(double seconds) {
  std::array<char, 32> out{};
  if (!(seconds > 0)) return "0s";
  if (seconds < 1) {
    std::snprintf(out.data(), out.size(), "%.2gs", seconds);
  } else if (seconds < 120) {
    std::snprintf(out.data(), out.size(), "%.0fs", seconds);
  } else if (seconds < 2 * 3600) {
    std::snprintf(out.data(), out.size(), "%.0fm", std::floor(seconds / 60));
  } else if (seconds < 48 * 3600) {
    std::snprintf(out.data(), out.size(), "%.0fh", std::floor(seconds / 3600));
  } else {
    std::snprintf(out.data(), out.size(), "%.0fd", std::floor(seconds / 86400));
  }
  return out.data();
}

}  // namespace dbproxy::ctl
