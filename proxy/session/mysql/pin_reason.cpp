#include "proxy/session/mysql/pin_reason.hpp"

namespace dbproxy::session::mysql {

std::string_view to_string(PinReason reason) {
  switch (reason) {
    case PinReason::kSetVariable:
      return "set_variable";
    case PinReason::kUserVariable:
      return "user_variable";
    case PinReason::kSqlPrepare:
      return "sql_prepare";
    case PinReason::kTemporaryTable:
      return "temporary_table";
    case PinReason::kLock:
      return "lock";
    case PinReason::kLockTables:
      return "lock_tables";
    case PinReason::kHandler:
      return "handler";
    case PinReason::kXa:
      return "xa";
    case PinReason::kRole:
      return "role";
    case PinReason::kOpaque:
      return "opaque";
    case PinReason::kStatementTooLarge:
      return "statement_too_large";
    case PinReason::kCursor:
      return "cursor";
    case PinReason::kLongData:
      return "long_data";
  }
  return "unknown";
}

std::string pin_names(std::uint32_t reasons) {
  std::string names;
  for (int i = 0; i < kPinReasonCount; ++i) {
    if (!(reasons & bit(pin_reason(i)))) continue;
    if (!names.empty()) names += ',';
    names += to_string(pin_reason(i));
  }
  return names;
}

}  // namespace dbproxy::session::mysql
