// What was built: the same for all three programs.
#pragma once

#include <string_view>

namespace dbproxy::metrics {

std::string_view build_version();   // "0.1.0"
std::string_view build_revision();  // short commit at configure time, or "unknown"
std::string_view build_compiler();  // "g++ 12.2.0"

}  // namespace dbproxy::metrics
