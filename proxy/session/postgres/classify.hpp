// What a text means for the session it runs in, told before it runs. The rule: never miss state that stays behind on
// the server connection. Where the text does not tell, the verdict pins.
//
// Lexical, one pass, no allocation: two to three nanoseconds a byte, so it is asked once for each Query and Parse. It
// knows PostgreSQL 12 to 18. What a text reaches through functions, triggers, views and casts of the database is found
// through a HazardSet of their names. Pure and thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/session/postgres/hazard_set.hpp"

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
};
inline constexpr int kPinReasonCount = 13;
inline constexpr std::size_t kMaxStatement = std::size_t{64} << 20;

constexpr std::uint32_t bit(PinReason reason) {
  return static_cast<std::uint32_t>(reason);
}
std::string_view to_string(PinReason reason);  // "set_variable", …
constexpr PinReason pin_reason(int index) {
  return static_cast<PinReason>(1u << index);
}

struct ClassifyOptions {
  bool standard_conforming_strings = true;
  bool search_path_reported = false;  // the server sent it as ParameterStatus at log-in (PostgreSQL 18)
  bool read_only_reported = true;     // the same for default_transaction_read_only (PostgreSQL 14)
  // client_encoding is one where a character may end in the byte of a backslash (SJIS, BIG5, GBK, UHC, GB18030, JOHAB,
  // SHIFT_JIS_2004): escape strings are then ambiguous and pin.
  bool backslash_in_characters = false;
  const HazardSet* hazards = nullptr;
  // Of the HazardSet: statements that were classified with another are classified again. One database has one domain.
  std::uint64_t hazards_generation = 0;
  std::uint32_t hazards_domain = 0;
  // The catalogue changed since the HazardSet was read: whatever computes something pins.
  bool everything = false;
};

// Of all statements of the text together. The two views point into the text.
struct Verdict {
  std::uint32_t pins = 0;             // PinReason bits
  std::uint32_t statement_count = 0;  // empty ones not counted; too high for functions with BEGIN ATOMIC and for rules
  bool reported_setting : 1 = false;  // SET, RESET, set_config of a setting that comes back as ParameterStatus
  bool sets : 1 = false;              // any SET at all, also SET LOCAL and SET TRANSACTION: the tag SET is no surprise
  bool reset_all : 1 = false;
  bool reset_other : 1 = false;  // RESET of something that is not reported: to the connection's start-up value
  bool begin_only : 1 = false;   // the text is one BEGIN or START TRANSACTION with its modes, nothing else
  bool discard_all : 1 = false;
  bool deallocate : 1 = false;  // of prepared_name; discard_all is not counted here
  bool deallocate_all : 1 = false;
  bool executes_prepared : 1 = false;  // EXECUTE, also below EXPLAIN and CREATE TABLE AS; of executed_name
  bool several_names : 1 = false;      // more than one of PREPARE, EXECUTE, DEALLOCATE: only the last names are told
  bool may_report_catalog_change : 1 =
      false;                      // functions, triggers, views, … may have changed: read the HazardSet again
  bool sequence_use : 1 = false;  // nextval, currval, lastval, setval
  bool copy : 1 = false;
  bool quoting_matters : 1 =
      false;  // a plain string has a backslash: another standard_conforming_strings, another verdict
  std::string_view prepared_name;  // token of PREPARE's or DEALLOCATE's name: see identifier_name
  std::string_view executed_name;  // token of EXECUTE's name

  bool pinned_by(PinReason reason) const { return pins & bit(reason); }
};

Verdict classify(std::string_view sql, const ClassifyOptions& options = {});
inline Verdict classify(std::string_view sql, bool standard_conforming_strings) {
  ClassifyOptions options;
  options.standard_conforming_strings = standard_conforming_strings;
  return classify(sql, options);
}

// True when a function's source, in whatever language, mentions what may change the session's state: in code, in
// strings or in comments. For filling a HazardSet out of pg_proc.
bool body_is_hazardous(std::string_view function_body);

// For people: literals become ?, comments go, white space is one blank, at most 200 bytes. Holds no value that was
// in quotes, so that it may be logged.
std::string digest(std::string_view sql, bool standard_conforming_strings = true);

}  // namespace dbproxy::session::postgres
