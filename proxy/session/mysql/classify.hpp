// What a text means for the session it runs in, told before it runs. It covers what MySQL's session trackers do not
// show (seen on 8.0 and MariaDB 10.11: user variables that SELECT sets, GET_LOCK, HANDLER, roles), and says which
// variables a SET is about, so that a change that the server reports can be told from one that nobody can explain.
//
// Lexical, one pass, no allocation. Where the text does not tell, the verdict pins. Pure and thread-safe.
#pragma once

#include <boost/container/static_vector.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/session/mysql/hazard_names.hpp"
#include "proxy/session/mysql/number_set.hpp"
#include "proxy/session/mysql/pin_reason.hpp"
#include "proxy/session/mysql/tokenizer.hpp"

namespace dbproxy::session::mysql {

struct ClassifyOptions {
  LexOptions lex;
  bool multi_statements = true;
  const HazardNames* hazards = nullptr;  // of the server's functions, triggers and views; null: taken for harmless
};

// Of all statements of the text together. Views point into the text.
struct Verdict {
  std::uint32_t pins = 0;  // PinReason bits
  std::uint32_t statement_count = 0;
  // Nothing but SET of system variables and USE: a change of state is explained once each of `settings` is reported.
  bool only_sets : 1 = false;
  bool sets : 1 = false;               // any of `settings`, or `names`
  bool names : 1 = false;              // SET NAMES, SET CHARACTER SET
  bool too_many_settings : 1 = false;  // more than fit
  bool set_list : 1 = false;  // a SET of several things: where it fails, those before the one that did may stand
  bool session_tracking : 1 = false;  // session_track_… is set
  bool last_insert_id : 1 = false;    // asks for what the statement before it left
  bool row_count : 1 = false;
  bool found_rows : 1 = false;
  bool connection_id : 1 = false;
  bool changes_programs : 1 = false;   // what `hazards` are about: functions, triggers and views
  bool keeps_diagnostics : 1 = false;  // no statement: with MySQL what the last one left of them stays
  bool get_diagnostics : 1 = false;    // the only statement: GET DIAGNOSTICS
  bool diagnostics : 1 = false;        // asks for warnings and errors of the statement before it
  bool shows_diagnostics : 1 = false;  // it is SHOW WARNINGS or SHOW ERRORS and nothing else
  bool tables : 1 = false;  // uses any, as far as the text tells: MariaDB forgets warnings with these statements only
  bool calc_found_rows : 1 = false;
  bool inserts : 1 = false;           // may change LAST_INSERT_ID()
  bool insert_id_unsaid : 1 = false;  // and whatever the OK has need not be that
  bool insert_id_untold : 1 = false;  // and its end has no number
  // The only statement; it reads or changes rows and nothing else: it does not end a transaction, whatever it calls.
  bool only_rows : 1 = false;
  bool call : 1 = false;              // the only statement: whatever results it has, another follows them
  bool savepoint : 1 = false;         // it makes one
  bool ends_transaction : 1 = false;  // COMMIT or ROLLBACK, not to a savepoint
  bool unlocks : 1 = false;           // UNLOCK TABLES
  bool releases : 1 = false;          // RELEASE_ALL_LOCKS()
  bool kill : 1 = false;              // the only statement; of kill_id
  bool kill_query : 1 = false;
  std::uint64_t kill_id = 0;
  NumberSet numbers;           // that an INSERT gives
  std::string_view collation;  // of SET NAMES … COLLATE, unquoted
  // System variables of the session that are set, without scope. transaction_isolation is also tx_isolation.
  static constexpr std::size_t kMaxSettings = 12;
  boost::container::static_vector<std::string_view, kMaxSettings> settings;

  // User variables that it names, as it writes them; and which of them it may set, bits.
  static constexpr std::size_t kMaxVariables = 6;
  boost::container::static_vector<std::string_view, kMaxVariables> variables;
  std::uint8_t variables_set = 0;
  bool all_variables = false;  // and others, or what nobody can tell

  bool pinned_by(PinReason reason) const { return pins & bit(reason); }
};

// Of commands that run nothing.
inline const Verdict kKeepsDiagnostics = [] {
  Verdict verdict;
  verdict.keeps_diagnostics = true;
  return verdict;
}();

Verdict classify(std::string_view sql, const ClassifyOptions& options = {});

// For people: literals become ?, comments go, white space is one blank, at most 200 bytes. Holds no value that was in
// quotes, so that it may be logged.
std::string digest(std::string_view sql, const LexOptions& options = {});

}  // namespace dbproxy::session::mysql
