#include "proxy/session/postgres/classify.hpp"

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
  }
  return "unknown";
}

}  // namespace dbproxy::session::postgres
