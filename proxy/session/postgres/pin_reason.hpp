// The reasons for which a client keeps its server connection.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dbproxy::session::postgres {

// Why a client keeps its server connection. Bits of Verdict::pins; to_string gives the names that metrics and pages
// show, which never change.
enum class PinReason : std::uint32_t {
  kSetVariable = 1u << 0,           // a setting that PostgreSQL does not report by ParameterStatus
  kSessionAuthorization = 1u << 1,  // SET ROLE, SET SESSION AUTHORIZATION
  kListen = 1u << 2,
  kSqlPrepare = 1u << 3,  // PREPARE in SQL
  kTemporaryObject = 1u << 4,
  kAdvisoryLock = 1u << 5,
  kHoldableCursor = 1u << 6,
  kLoad = 1u << 7,
  kOpaque = 1u << 8,  // DO, CALL, functions that run SQL which is not in the text, U&"…", names in the HazardSet
  kReplicationSlot = 1u << 9,
  kStatementTooLarge = 1u << 10,  // over kMaxStatement: not read
  kProtocol = 1u << 11,           // never set here: for what messages do, not statements
  kSequence = 1u << 12,           // never set here: sequencePinning: On and Verdict::sequence_use
  kReplication = 1u << 13,        // never set here: a replication connection, which is one to one from its log-in on
};
inline constexpr int kPinReasonCount = 14;
inline constexpr int kReplicationIndex = 13;  // of kReplication

constexpr std::uint32_t bit(PinReason reason) {
  return static_cast<std::uint32_t>(reason);
}
std::string_view to_string(PinReason reason);  // "set_variable", …
std::string pin_names(std::uint32_t reasons);  // "listen,load"; "" for none
constexpr PinReason pin_reason(int index) {
  return static_cast<PinReason>(1u << index);
}

}  // namespace dbproxy::session::postgres
