#include "proxy/session/postgres/pin_reason.hpp"

namespace dbproxy::session::postgres {

std::string_view to_string(PinReason reason) {
  switch (reason) {
    case PinReason::kSetVariable:
      return "set_variable";
    case PinReason::kSessionAuthorization:
      return "session_authorization";
    case PinReason::kListen:
      return "listen";
    case PinReason::kSqlPrepare:
      return "sql_prepare";
    case PinReason::kTemporaryObject:
      return "temporary_object";
    case PinReason::kAdvisoryLock:
      return "advisory_lock";
    case PinReason::kHoldableCursor:
      return "holdable_cursor";
    case PinReason::kLoad:
      return "load";
    case PinReason::kOpaque:
      return "opaque";
    case PinReason::kReplicationSlot:
      return "replication_slot";
    case PinReason::kStatementTooLarge:
      return "statement_too_large";
    case PinReason::kProtocol:
      return "protocol";
    case PinReason::kSequence:
      return "sequence";
    case PinReason::kReplication:
      return "replication";
  }
  return "unknown";
}

std::string pin_names(std::uint32_t reasons) {
  std::string names;
  for (int i = 0; i < kPinReasonCount; ++i) {
    if (!((reasons >> i) & 1)) continue;
    if (!names.empty()) names += ',';
    names += to_string(pin_reason(i));
  }
  return names;
}

}  // namespace dbproxy::session::postgres
