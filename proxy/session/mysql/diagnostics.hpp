// Diagnostics: the warnings and errors of a client's last statement, kept here when its server connection has gone to
// somebody else, and SHOW WARNINGS answered from them. Plain values; one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/session/mysql/tokenizer.hpp"

namespace dbproxy::session::mysql {

// How a server is asked for them; more than that many are forgotten. MySQL 8.0 itself keeps 1,024 by default.
inline constexpr std::string_view kAskDiagnostics = "SHOW WARNINGS LIMIT 1000";

struct Diagnostics {
  struct Condition {
    std::string level, code, message;
  };
  std::vector<std::string> columns;  // definitions, as the server gave them
  std::vector<Condition> conditions;
  std::uint64_t warnings = 0, errors = 0;  // @@warning_count counts both

  bool empty() const { return conditions.empty() && warnings == 0; }
  void clear() { *this = {}; }
  // What SHOW WARNINGS or SHOW ERRORS gets: packets from number 1 on. `binary`: as a prepared statement's.
  void show(std::string& out, bool errors_only, std::uint64_t offset, std::uint64_t count, bool binary,
            std::uint32_t capabilities, std::uint16_t status) const;
};

// SHOW WARNINGS, SHOW ERRORS, with LIMIT; SHOW COUNT(*) of either. Nothing: another statement, or one that cannot be
// read.
struct ShowDiagnostics {
  bool errors_only = false, counts = false;
  std::uint64_t offset = 0, count = UINT64_MAX;
};
std::optional<ShowDiagnostics> read_show(std::string_view sql, const LexOptions& options);

}  // namespace dbproxy::session::mysql
