// A session's settings as interned, immutable sets: the schema, and the system variables that the server reported.
//
// Two sessions with the same settings hold the same pointer, so that "does this connection need anything changed for
// this client?" is a pointer comparison. What is not there is as it was on the connection when it was new.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/session/mysql/tokenizer.hpp"

namespace dbproxy::session::mysql {

class Settings {
 public:
  using Variables = std::vector<std::pair<std::string, std::string>>;  // sorted by name, lower case
  Settings(std::string schema, Variables variables);

  const std::string& schema() const { return schema_; }
  const Variables& variables() const { return variables_; }
  const std::string* find(std::string_view name) const;
  // How texts are read under them; where sql_mode is not known that is the server's to say.
  const LexOptions& lex() const { return lex_; }
  bool knows_sql_mode() const { return knows_sql_mode_; }
  // Where these are equal, and the schema is, a prepared statement's text means the same.
  std::string reading() const;
  // `other` with everything that reading() is about as it is here.
  std::pair<std::string, Variables> read_into(const Settings& other) const;

 private:
  std::string schema_;
  Variables variables_;
  LexOptions lex_;
  bool knows_sql_mode_ = false;
};

using SettingsPtr = std::shared_ptr<const Settings>;

// Makes equal settings the same object. Sets that nobody holds are forgotten. One thread.
class SettingsInterner {
 public:
  SettingsPtr intern(std::string schema, Settings::Variables variables);
  SettingsPtr with_schema(const SettingsPtr& base, std::string_view schema);
  SettingsPtr with(const SettingsPtr& base, std::string_view name, std::string_view value);
  SettingsPtr without(const SettingsPtr& base, std::string_view name);

 private:
  using Key = std::pair<std::string, Settings::Variables>;
  std::map<Key, std::weak_ptr<const Settings>> known_;
  std::size_t sweep_at_ = 64;
};

// Variables that a change is reported of and that can be put elsewhere by SET. Others that are reported (there are
// some of one statement only: insert_id, timestamp, rand_seed1 …) are the same, but that nobody should keep them.
bool is_replayed(std::string_view name);

// Of the names that a server has for one and the same variable, the one under which it is kept; any letters. Each is
// reported as it was set, and nothing is said of the others.
std::string_view own_name(std::string_view name, bool mariadb);

// What sql_big_selects becomes, unreported, when max_join_size is set to `value`.
std::string_view big_selects_of(std::string_view max_join_size);

// Of SET NAMES … COLLATE: the collation that columns of results have, and that of what the client sends, which no
// variable shows and nothing else sets. Kept with the variables, under names that none has.
inline constexpr std::string_view kResultsCollation = "results collation";
inline constexpr std::string_view kClientCollation = "client collation";

// One SET that brings a connection from one to the other; empty where no variable differs. `base`: what the connection
// had when it was new. The schema is for COM_INIT_DB.
std::string replay_sql(const Settings& from, const Settings& to, const Settings& base);

// What a client's collation makes of a new session: the three character_set_…, and collation_connection where that is
// not its character set's own. Nothing: a collation that is not known here, which has to be asked for at log-in.
std::optional<Settings::Variables> variables_of_collation(std::uint16_t collation);

// What a new server connection is asked to report, as a statement: MySQL takes a list and passes over what it does not
// know; MariaDB does not, but can report all there is.
std::string tracking_sql(bool mariadb);

}  // namespace dbproxy::session::mysql
