// The reasons for which a client keeps its server connection.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dbproxy::session::mysql {

// to_string gives the names that metrics and pages show, which never change.
enum class PinReason : std::uint32_t {
  kSetVariable = 1u << 0,  // a system variable that the server does not report
  kUserVariable = 1u << 1,
  kSqlPrepare = 1u << 2,
  kTemporaryTable = 1u << 3,
  kLock = 1u << 4,        // GET_LOCK
  kLockTables = 1u << 5,  // until UNLOCK TABLES; LOCK INSTANCE, FLUSH TABLES WITH READ LOCK
  kHandler = 1u << 6,
  kXa = 1u << 7,
  kRole = 1u << 8,
  kOpaque = 1u << 9,  // procedures and blocks; anything else that the server says has changed something
  kStatementTooLarge = 1u << 10,
  kCursor = 1u << 11,    // until its last row, or its end
  kLongData = 1u << 12,  // until the statement is executed
};
inline constexpr int kPinReasonCount = 13;

constexpr std::uint32_t bit(PinReason reason) {
  return static_cast<std::uint32_t>(reason);
}
std::string_view to_string(PinReason reason);  // "set_variable", …
std::string pin_names(std::uint32_t reasons);  // "lock,handler"; "" for none
constexpr PinReason pin_reason(int index) {
  return static_cast<PinReason>(1u << index);
}

}  // namespace dbproxy::session::mysql
