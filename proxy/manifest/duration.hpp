// PostgreSQL's way to write a time: a number and a unit, or milliseconds alone (config.sgml, "Parameter Names and
// Values").
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace dbproxy::manifest {

inline constexpr std::chrono::milliseconds kMaxDuration{2147483647};

// "30s", "1.5 min", "250ms", "1000", "0"; units are us, ms, s, min, h and d. Rounded to milliseconds; one that is not
// 0 stays at least 1 ms. Nothing for anything else, and beyond kMaxDuration.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace dbproxy::manifest
