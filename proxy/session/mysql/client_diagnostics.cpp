// The part of ClientSession that lets a server connection go although its last statement has left something to ask for:
// that is fetched first, and asked for here.
#include <algorithm>
#include <charconv>

#include "proxy/session/mysql/client_session.hpp"
#include "proxy/wire/mysql/commands.hpp"

namespace dbproxy::session::mysql {

namespace wire = dbproxy::wire::mysql;

// Answered here, but where the server's answer has something that nobody else knows: how many conditions an error left
// with MySQL, and whether a transaction is open after it.
void ClientSession::ping(Step& step, std::span<char> packet) {
  static const Verdict kKeeps = [] {
    Verdict verdict;
    verdict.diagnostics = verdict.shows_diagnostics = true;
    verdict.statement_count = 1;
    return verdict;
  }();
  const bool counts = step.server != nullptr && hold_ && warnings_ > 0 && diagnostics_on(*step.server);
  if (counts || in_doubt(step.server)) {
    step.server->ask(ServerSession::Purpose::kClient, wire::Answer::kOk);
    step.server->verdict_ = &kKeeps;
    return send(step, packet);
  }
  local_ok(step, warnings_);
  row_count_ = 0;
  row_count_here_ = true;
}

// It is at rest, and nothing but that keeps the connection.
bool ClientSession::could_let_go(const ServerSession& server) const {
  if (!server.quiet() || server.needs_start() || in_step_ || kill_ || pins_ != 0) return false;
  if (server.savepoint_ || server.tables_locked_ || !server.characteristics_.empty()) return false;
  if (!server.after_error_ && (server.status_ & wire::status::kInTransaction)) return false;
  return hold_ || calc_found_rows_ || insert_id_doubt_ || !unread_.empty() || server.has_variables() ||
         server.after_error_;
}

bool ClientSession::let_go(ServerSession& server, Output& to_server) {
  if (!could_let_go(server)) return false;
  // In this order: each leaves alone what is asked for behind it.
  if (hold_ || server.after_error_) {
    server.fetch(ServerSession::Purpose::kDiagnostics, kAskDiagnostics, to_server);
  } else if (calc_found_rows_) {
    server.fetch(ServerSession::Purpose::kFoundRows, "SELECT FOUND_ROWS()", to_server);
  } else if (insert_id_doubt_) {
    server.fetch(ServerSession::Purpose::kInsertId, "SELECT LAST_INSERT_ID()", to_server);
  } else if (!unread_.empty()) {
    server.fetch(ServerSession::Purpose::kVariables, ask_variables_sql(unread_), to_server);
  } else {
    server.unset_variables(to_server);
  }
  return true;
}

// It has been answered. After an error that also told whether a transaction is open.
void ClientSession::fetched(ServerSession& server, ServerSession::Purpose purpose) {
  if (purpose == ServerSession::Purpose::kVariables) return variables_fetched(server);
  const ServerSession::Rows found = server.take_rows();
  if (server.failed_) {  // nobody can say any more
    server.clear_hidden_failure();
    hold_ = calc_found_rows_ = insert_id_doubt_ = false;
    return;
  }
  status_ = server.status_;
  if (purpose != ServerSession::Purpose::kDiagnostics) {
    const bool rows = purpose == ServerSession::Purpose::kFoundRows;
    (rows ? calc_found_rows_ : insert_id_doubt_) = false;
    if (found.size() != 1 || found[0].size() != 1 || !found[0][0]) return;
    const std::string& text = *found[0][0];
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    if (rows) {
      found_rows_ = value;
      return;
    }
    // What is there as it was before is somebody else's, unless that is what an OK has said.
    const bool own = was_own_insert_id_ || told_before_ || value != insert_id_before_;
    if (own) last_insert_id_ = value;
    server.gives_insert_id(own ? serial_ : ServerSession::kNobody, value);
    return;
  }
  hold_ = false;
  kept_.clear();
  kept_.columns = std::move(server.columns_);
  for (const auto& row : found) {
    if (row.size() != 3 || !row[0] || !row[1] || !row[2]) continue;
    kept_.conditions.push_back({*row[0], *row[1], *row[2]});
    kept_.errors += *row[0] == "Error";
  }
  kept_.warnings = std::max<std::uint64_t>(kept_.conditions.size(), warnings_);
  if (warnings_ > 0) warnings_ = static_cast<std::uint16_t>(std::min<std::uint64_t>(kept_.warnings, 65535));
}

// Warnings and errors that were kept: true: asked for and answered here. `values`: they stand in expressions.
bool ClientSession::answer_kept(Step& step, std::string_view text, const LexOptions& lex, bool binary, bool& values) {
  values = false;
  const auto show = read_show(text, lex);
  if (!show || show->counts) {
    Tokenizer tokens(text, lex);
    if (!tokens.next().is_word("get")) {
      values = true;
      return false;
    }
    local_error(step, wire::error::kUnknown, "HY000",
                "GET DIAGNOSTICS: another client has the connection of the statement before, whose warnings and errors "
                "only SHOW WARNINGS has now");
    return true;
  }
  kept_.show(step.to_client.own(), show->errors_only, show->offset, show->count, binary, capabilities_, status_);
  row_count_ = -1;
  row_count_here_ = true;
  warnings_ = 0;
  ++answered_here_;
  return true;
}

}  // namespace dbproxy::session::mysql
