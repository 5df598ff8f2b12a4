// The part of ClientSession that keeps what its requests have left: values that later ones ask for, resets, options.
#include <algorithm>
#include <array>

#include "proxy/session/mysql/client_session.hpp"
#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/mysql/reader.hpp"

namespace dbproxy::session::mysql {

namespace wire = dbproxy::wire::mysql;
namespace flags = dbproxy::wire::mysql::client;
namespace error = dbproxy::wire::mysql::error;
using wire::Answer;

namespace {

// As eight bytes, which is what it stands for: MariaDB casts a small number to a small one.
std::string cast(const std::string& number, std::string_view type) {
  return std::string("CAST(COALESCE(").append(number).append(", 9223372036854775807) AS ").append(type) + ")";
}

// What the text says of its collation is how it ends: nothing beside it may set that once more.
bool tells_collation(const Verdict& verdict) {
  for (std::size_t i = 0; i < verdict.settings.size(); ++i)
    for (const std::string_view name : {"character_set_results", "character_set_connection", "collation_connection"})
      if (equals_folded(verdict.settings[i], name)) return false;
  return std::all_of(verdict.collation.begin(), verdict.collation.end(), [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

}  // namespace

// What stands at `token`, as this client knows it; `ahead` is then behind it.
std::optional<std::string> ClientSession::known_value(const Token& token, Tokenizer& ahead, const Known& known) const {
  if (known.diagnostics && token.kind == TokenKind::kSystemVariable) {
    std::string_view name = token.text.substr(2);
    if (equals_folded(name, "session") || equals_folded(name, "local")) {
      if (!ahead.next().is('.')) return std::nullopt;
      name = ahead.next().text;
    }
    if (equals_folded(name, "warning_count")) return cast(std::to_string(kept_.warnings), "UNSIGNED");
    if (equals_folded(name, "error_count")) return cast(std::to_string(kept_.errors), "UNSIGNED");
    return std::nullopt;
  }
  std::string value;
  if (known.rows && token.is_word("row_count"))
    value = cast(std::to_string(row_count_), "SIGNED");
  else if (known.rows && token.is_word("found_rows"))
    value = cast(std::to_string(found_rows_), "SIGNED");
  else if (known.connection_id != 0 && token.is_word("connection_id"))
    value = std::to_string(known.connection_id);
  else
    return std::nullopt;
  if (!ahead.next().is('(') || !ahead.next().is(')')) return std::nullopt;
  return value;
}

// ROW_COUNT() and FOUND_ROWS() of a statement that ran elsewhere: their values are known. So is the client's number.
std::string ClientSession::substituted(std::string_view sql, const LexOptions& lex, const Known& known) const {
  if (const auto show = known.diagnostics ? read_show(sql, lex) : std::nullopt; show && show->counts)
    return show->errors_only
               ? "SELECT " + cast(std::to_string(kept_.errors), "UNSIGNED") + " AS `@@session.error_count`"
               : "SELECT " + cast(std::to_string(kept_.warnings), "UNSIGNED") + " AS `@@session.warning_count`";
  std::string out;
  std::size_t copied = 0;
  Tokenizer tokens(sql, lex);
  int depth = 0;
  bool in_list = false;  // of what is selected, outside of parentheses
  std::string name;
  for (Token token = tokens.next(), before; token.kind != TokenKind::kEnd; before = token, token = tokens.next()) {
    if (token.is('(')) ++depth;
    if (token.is(')')) --depth;
    if (token.is(';') || (depth == 0 && token.is_word("from"))) in_list = false;
    if (depth == 0 && token.is_word("select")) in_list = true;
    if (before.is('.')) continue;  // somebody's own
    Tokenizer ahead = tokens;
    const auto value = known_value(token, ahead, known);
    if (!value) continue;
    const auto begin = static_cast<std::size_t>(token.text.data() - sql.data());
    out += sql.substr(copied, begin - copied);
    out += *value;
    name = sql.substr(begin, ahead.offset(sql) - begin);
    copied = ahead.offset(sql);
    tokens = ahead;
    // Alone in the list of what is selected: the column keeps its name.
    Tokenizer copy = tokens;
    const Token after = copy.next();
    const bool whole = (before.is_word("select") || before.is(',')) &&
                       (after.kind == TokenKind::kEnd || after.is(',') || after.is(';') || after.is_word("from"));
    if (in_list && depth == 0 && whole && name.find('`') == std::string::npos) out += " AS `" + name + "`";
  }
  out += sql.substr(copied);
  return out;
}

ClientVerdict ClientSession::reset(Step& step, std::span<char> packet) {
  forget_lost();
  if (rejected(step)) return ClientVerdict::kMore;
  if (step.server == nullptr) return ClientVerdict::kNeedServer;
  if (std::exchange(in_step_, false) && step.server->hidden_failed_) step.server->clear_hidden_failure();
  static const Verdict kNothing{};
  ask(step, ServerSession::Purpose::kClientReset, Answer::kOk, kNothing);
  send(step, packet);
  return ClientVerdict::kMore;
}

void ClientSession::was_reset(ServerSession& server) {
  // A role stays (seen on 8.0.15), whoever has set it.
  const auto role = bit(PinReason::kRole);
  if (pins_ & (role | bit(PinReason::kOpaque) | bit(PinReason::kSqlPrepare))) server.keeps_role_ = true;
  pins_ &= role;
  if (pins_ == 0) pin_statement_.clear();
  statements_.clear();
  kept_.clear();
  tracking_ = {};
  holdings_.reset();
  warnings_ = 0;
  last_insert_id_ = 0;
  insert_id_doubt_ = false;
  variables_.clear();
  unread_.clear();
  unput_.clear();
  row_count_ = 0;
  hold_ = calc_found_rows_ = false;
  if (server.mariadb_) found_rows_ = found_query_ = 0;  // MySQL keeps them
  new_settings_ = true;                                 // which start() learns
  status_ = server.status();
}

// The schema stays, which need not have been put there.
void ClientSession::take_new_settings(const ServerSession& server) {
  new_settings_ = false;
  settings_ = interner_->intern(settings_->schema(), server.settings()->variables());
}

// Instead of its client the connection remembers, and is reset before anybody else gets it.
void ClientSession::exclude(ServerSession& server) {
  if (!(pins_ & excluded_)) return;
  server.left_behind_ = true;
  pins_ &= ~excluded_;
  if (pins_ == 0) pin_statement_.clear();
}

ClientVerdict ClientSession::set_option(Step& step, std::string_view payload) {
  wire::Reader reader(payload);
  const std::uint16_t option = reader.u16();
  if (!reader.ok() || option > 1) {
    local_error(step, error::kUnknownCommand, "08S01", "Unknown command");
    return ClientVerdict::kMore;
  }
  multi_statements_ = option == 0;
  row_count_ = -1;
  row_count_here_ = true;
  ++answered_here_;
  if (capabilities_ & flags::kDeprecateEof)
    wire::ok(step.to_client.own(), 1, capabilities_, {0, 0, status_, 0, {}, {}}, wire::kEofHeader);
  else
    wire::eof(step.to_client.own(), 1, 0, status_);
  return ClientVerdict::kMore;
}

// The OK of an INSERT has the number that it made, or else the last that it was given: LAST_INSERT_ID() is the first.
void ClientSession::on_insert_id(ServerSession& server, std::uint64_t told) {
  const Verdict* verdict = server.verdict_;
  const bool inserts = verdict != nullptr && verdict->inserts;
  if (told == 0 && !(inserts && verdict->insert_id_untold)) return;
  if (inserts && (told == 0 || verdict->insert_id_unsaid || server.numbers_.may_have(told)))
    return doubt_insert_id(server, told);
  last_insert_id_ = told;
  insert_id_doubt_ = false;
  server.gives_insert_id(serial_, told);
}

// Until the connection is asked, see fetched(), this client does not leave it. `told`: 0
// where nothing was.
void ClientSession::doubt_insert_id(ServerSession& server, std::uint64_t told) {
  if (!std::exchange(insert_id_doubt_, true)) {
    was_own_insert_id_ = server.insert_id_owner_ == serial_ && server.insert_id_ == last_insert_id_;
    insert_id_before_ = server.insert_id_;
    told_before_ = false;
  }
  told_before_ = told_before_ || (told != 0 && told == insert_id_before_);
  server.gives_insert_id(serial_, last_insert_id_);
  server.insert_id_unknown_ = true;
}

void ClientSession::on_result(ServerSession& server, bool without_rows, const wire::Ok& ok, std::uint64_t rows) {
  const Verdict* verdict = server.verdict_;
  status_ = static_cast<std::uint16_t>(ok.status & (wire::status::kInTransaction | wire::status::kAutocommit |
                                                    wire::status::kNoBackslashEscapes |
                                                    wire::status::kInReadOnlyTransaction | wire::status::kAnsiQuotes));
  if (without_rows) {
    row_count_ = static_cast<std::int64_t>(ok.affected_rows);
  } else {
    row_count_ = -1;
    if (verdict == nullptr || !verdict->shows_diagnostics) {
      found_rows_ = rows;
      found_query_ = queries_;
      calc_found_rows_ = verdict != nullptr && verdict->calc_found_rows;
    }
  }
  on_insert_id(server, ok.last_insert_id);
  if (ok.warnings > 0) {
    hold_ = true;
    kept_.clear();
  }
  warnings_ = server.mariadb_ ? 0 : ok.warnings;
}

void ClientSession::request_done(ServerSession& server) {
  if (server.failed_) {
    row_count_ = -1;
    hold_ = true;
    kept_.clear();
    warnings_ = server.mariadb_ ? 0 : 1;
  }
  const Verdict* verdict = server.verdict_;
  if (server.failed_ && !server.syntax_error_ && verdict != nullptr && verdict->inserts)
    doubt_insert_id(server, 0);  // a row of it, or none
  // An error brings no word of what changed before it.
  if (server.failed_ && !server.syntax_error_ && verdict != nullptr && verdict->sets && verdict->set_list)
    pins_ |= bit(PinReason::kSetVariable);
  // Of a single statement that the server could not read nothing has run.
  if (server.syntax_error_ && verdict != nullptr && verdict->statement_count == 1) pins_ = pins_before_;
  const Holdings::Ended ended = holdings_.done(server.failed_, server.syntax_error_);
  pins_ &= ~ended.pins;
  bool explained = false;
  if (verdict != nullptr && !server.failed_) {
    if (verdict->unlocks && !server.tables_locked_) pins_ &= ~bit(PinReason::kLockTables);
    if (verdict->releases && !verdict->pinned_by(PinReason::kLock)) pins_ &= ~bit(PinReason::kLock);
    for (std::size_t i = 0; i < verdict->settings.size(); ++i) {
      if (!equals_folded(verdict->settings[i], "last_insert_id") && !equals_folded(verdict->settings[i], "identity"))
        continue;
      server.gives_insert_id(serial_, last_insert_id_);  // whatever it is, this connection has it
    }
    if (verdict->only_sets) {
      // Each must have been reported, and be one that can be put elsewhere.
      explained = !verdict->too_many_settings;
      for (std::size_t i = 0; i < verdict->settings.size(); ++i) {
        explained = explained && (is_tracking(verdict->settings[i]) || (server.reported_ & (1u << i)) != 0);
      }
      if (!verdict->collation.empty()) {
        explained = explained && tells_collation(*verdict);
        server.settings_ = interner_->with(server.settings_, "collation_connection", verdict->collation);
        server.settings_ = interner_->with(server.settings_, kResultsCollation, verdict->collation);
        server.settings_ = interner_->with(server.settings_, kClientCollation, verdict->collation);
      }
      if (!explained) pins_ |= bit(PinReason::kSetVariable);
    } else if (server.changed_ && verdict->pins == 0 && !ended.dropped) {
      // A function, a procedure or a trigger; or a SET among other statements.
      pins_ |= bit(PinReason::kOpaque);
    } else if (verdict->sets) {
      pins_ |= bit(PinReason::kSetVariable);
    }
  }
  if (const auto asked = std::exchange(new_tracking_, std::nullopt); asked && !server.failed_) tracking_ = *asked;
  if (verdict != nullptr && verdict->session_tracking) {
    server.needs_start_ = true;
    server.only_tracking_ = explained;
    if (!verdict->only_sets || verdict->statement_count > 1) pins_ |= bit(PinReason::kOpaque);
  }
  const auto it = statements_.find(std::exchange(executing_, 0));
  if (it != statements_.end() && it->second.cursor &&
      (server.failed_ || (server.status_ & wire::status::kLastRowSent) ||
       !(server.status_ & wire::status::kCursorExists)))
    it->second.cursor = false;
  if (pins_ & (bit(PinReason::kCursor) | bit(PinReason::kLongData))) {
    pins_ &= ~(bit(PinReason::kCursor) | bit(PinReason::kLongData));
    for (const auto& [number, statement] : statements_) {
      if (statement.long_data) pins_ |= bit(PinReason::kLongData);
      if (statement.cursor) pins_ |= bit(PinReason::kCursor);
    }
  }
  exclude(server);
  if (!new_settings_) settings_ = server.settings_;
}

}  // namespace dbproxy::session::mysql
