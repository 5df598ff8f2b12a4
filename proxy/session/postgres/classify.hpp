// What a text means for the session it runs in, told before it runs. The rule: never miss state that stays behind on
// the server connection. Where the text does not tell, the verdict pins.
//
// Lexical, one pass, no allocation: half a nanosecond a byte where there is nothing to see (plain.hpp), else two to
// three, asked once for each Query and Parse. It knows PostgreSQL 12 to 18. What a text reaches through functions,
// triggers, views and casts of the database is found through a HazardSet of their names. Pure and thread-safe.
#pragma once

#include <boost/container/static_vector.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/session/postgres/hazard_set.hpp"
#include "proxy/session/postgres/pin_reason.hpp"

namespace dbproxy::session::postgres {

inline constexpr std::size_t kMaxStatement = std::size_t{64} << 20;

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
  // StatementCache::tick() of the last change of the database's schema that was seen; the domain changes with it.
  std::uint64_t schema_since = 0;
  // Settings::reading() of the session: statements are kept apart by it.
  std::uint32_t reading = 0;
  // The catalogue has been read: what is not in the HazardSet is known to be none, procedures and blocks included.
  bool catalog_known = false;
  // The catalogue changed since the HazardSet was read: whatever computes something pins.
  bool everything = false;
};

// Of all statements of the text together. Views point into the text, those of `settings` also into the HazardSet.
struct Verdict {
  std::uint32_t pins = 0;             // PinReason bits
  std::uint32_t leaves = 0;           // with kOpaque: what it may leave, PinReason bits; kOpaque: nobody can tell
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
      false;                        // functions, triggers, views, … may have changed: read the HazardSet again
  bool changes_schema : 1 = false;  // CREATE, ALTER, DROP, SELECT … INTO: names may stand for something else
  bool sequence_use : 1 = false;    // nextval, currval, lastval, setval
  bool copy : 1 = false;
  bool unlistens : 1 = false;       // UNLISTEN: unlistened() tells of what
  bool lists_channels : 1 = false;  // pg_listening_channels()
  bool lists_names : 1 = false;     // pg_prepared_statements
  bool runs_block : 1 = false;      // a DO or CALL that was looked into: its tag is no surprise
  bool may_end : 1 = false;  // may end state that pins, or may have left none: an unlock, a lock that was only tried
  bool quoting_matters : 1 =
      false;  // a plain string has a backslash: another standard_conforming_strings, another verdict
  bool settings_go_back : 1 = false;  // RESET, TO DEFAULT: what was set may be as it was at the start
  bool role_too : 1 = false;          // SET, RESET SESSION AUTHORIZATION: role changes with it
  bool characteristics : 1 = false;   // SET SESSION CHARACTERISTICS: the three default_transaction_…
  bool sets_listed : 1 = false;       // UPDATE of pg_settings: any setting that stands there
  bool sets_path : 1 = false;         // a search path that is not told: what is created may be temporary
  // What is set or reset and not reported: tracked_name() of each is not empty. More than fit pin.
  static constexpr std::size_t kMaxSettings = 16;
  // The number of the parameter that names what set_config sets, where that is all that pins by kSetVariable.
  std::uint16_t setting_parameter = 0;
  boost::container::static_vector<std::string_view, kMaxSettings> settings;
  std::string_view prepared_name;  // token of PREPARE's or DEALLOCATE's name: see identifier_name
  std::string_view executed_name;  // token of EXECUTE's name

  bool pinned_by(PinReason reason) const { return pins & bit(reason); }
};

Verdict classify(std::string_view sql, const ClassifyOptions& options = {});
// The same by tokens in any case: what the faster way (plain.hpp) is tested against.
Verdict classify_exactly(std::string_view sql, const ClassifyOptions& options);
inline Verdict classify(std::string_view sql, bool standard_conforming_strings) {
  ClassifyOptions options;
  options.standard_conforming_strings = standard_conforming_strings;
  return classify(sql, options);
}

// What a function's source, in whatever language, may leave in the session by what it mentions in code, in strings or
// in comments: PinReason bits; kOpaque when nobody can tell, 0 for nothing; kSetVariable for the settings whose names,
// by tracked_name(), are put into `settings`. For filling a HazardSet out of pg_proc.
std::uint32_t body_hazards(std::string_view function_body, std::vector<std::string>& settings);
inline std::uint32_t body_hazards(std::string_view function_body) {
  std::vector<std::string> settings;
  return body_hazards(function_body, settings);
}
inline bool body_is_hazardous(std::string_view function_body) {
  return body_hazards(function_body) != 0;
}

// For people: literals become ?, comments go, white space is one blank, at most 200 bytes. Holds no value that was
// in quotes, so that it may be logged.
std::string digest(std::string_view sql, bool standard_conforming_strings = true);

}  // namespace dbproxy::session::postgres
