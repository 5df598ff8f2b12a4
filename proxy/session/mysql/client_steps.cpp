// The part of ClientSession that makes a server connection as this client left it, before its request goes there.
#include "proxy/session/mysql/client_session.hpp"
#include "proxy/wire/mysql/commands.hpp"

namespace dbproxy::session::mysql {

namespace wire = dbproxy::wire::mysql;
using wire::Answer;
using wire::Command;

// One hidden request at a time, until the connection is as this client left it.
ClientVerdict ClientSession::steps(Step& step, const Verdict& asks, bool changes_schema, bool runs,
                                   const Statement* missing) {
  if (step.server == nullptr) return ClientVerdict::kNeedServer;
  ServerSession& server = *step.server;
  // A procedure may change it, or not: its OK does not tell. So it changes this client's.
  const bool asks_insert_id = asks.last_insert_id || (runs && asks.pinned_by(PinReason::kOpaque));
  const bool step_failed =
      std::exchange(in_step_, false) && std::exchange(step_error_is_answer_, false) && server.hidden_failed_;
  const bool schema_gone = step_failed && changes_schema;  // whoever leaves it need not be in it
  if (schema_gone) {
    server.clear_hidden_failure();
  } else if (step_failed) {
    // The schema is gone, or a statement can no longer be prepared: that is what the client's request comes to.
    wire::packet(step.to_client.own(), 1, server.hidden_error_);
    server.clear_hidden_failure();
    ++answered_here_;
    return ClientVerdict::kRefuse;
  }
  const auto wait = [&](bool answer) {
    in_step_ = true;
    step_error_is_answer_ = answer;
    return ClientVerdict::kWait;
  };
  if (server.needs_start()) {
    server.start(step.to_server);
    return wait(false);
  }
  if (new_settings_) take_new_settings(server);
  // What there is may be somebody else's.
  if (asks_insert_id && insert_id_doubt_ && !was_own_insert_id_) {
    server.fetch(ServerSession::Purpose::kInsertId, "SELECT LAST_INSERT_ID()", step.to_server);
    return wait(false);
  }
  const bool none = server.insert_id_owner_ == 0 && last_insert_id_ == 0;  // nobody has inserted there
  const bool elsewhere = server.insert_id_owner_ != serial_ || server.insert_id_ != last_insert_id_;
  // What an INSERT leaves may be what it finds, which has to be known then; and a key that it gives itself could not be
  // told from another client's number, were it the same.
  const bool alike = server.insert_id_ != 0 && !asks.insert_id_unsaid && gives_.may_have(server.insert_id_);
  const bool insert_id_missing =
      elsewhere && ((asks_insert_id && !none) || (runs && asks.inserts && (server.insert_id_unknown_ || alike)));
  if (asks_insert_id && none) server.gives_insert_id(serial_, 0);
  if (server.multi_statements() != multi_statements_) {
    const std::string_view option = multi_statements_ ? std::string_view("\0\0", 2) : std::string_view("\1\0", 2);
    wire::command(step.to_server.own(), Command::kSetOption, option);
    server.ask(ServerSession::Purpose::kOption, Answer::kOk);
    return wait(false);
  }
  SettingsPtr wanted = settings_;
  // Of MariaDB's that are not told, see PinReason::kSetVariable, nobody could put back what was there.
  const bool untold = server.mariadb_ && (pins_ & (bit(PinReason::kSetVariable) | bit(PinReason::kOpaque)));
  if (missing != nullptr && untold) {
    wanted = interner_->with_schema(settings_, missing->settings->schema());
  } else if (missing != nullptr && missing->settings->reading() != settings_->reading()) {
    auto [schema, variables] = missing->settings->read_into(*settings_);
    wanted = interner_->intern(std::move(schema), std::move(variables));
  }
  if (server.settings() != wanted) {
    const std::string sql = replay_sql(*server.settings(), *wanted, server.base());
    // What the error did not tell comes with the next OK, and must not be taken for what is put there.
    if (server.after_error_ && (!sql.empty() || server.schema() != wanted->schema())) {
      server.query("DO 0", step.to_server);
      return wait(false);
    }
    if (!sql.empty()) {
      wire::query(step.to_server.own(), server.capabilities(), sql);
      server.ask(ServerSession::Purpose::kReplay, Answer::kResults);
      server.replaying_ = interner_->intern(server.schema(), wanted->variables());
      return wait(false);
    }
    // Before a change of it, too: that may fail, and then it is as it was.
    if (server.schema() != wanted->schema() && !schema_gone) {
      // There is no way back to no schema at all: one that is everywhere has to do.
      const std::string_view schema =
          wanted->schema().empty() ? "information_schema" : std::string_view(wanted->schema());
      if (server.schema() != schema) {
        wire::command(step.to_server.own(), Command::kInitDb, schema);
        server.ask(ServerSession::Purpose::kSchema, Answer::kOk);
        server.replaying_ = interner_->intern(std::string(schema), wanted->variables());
        return wait(true);
      }
    }
    // The same by another name: what neither says is as it was when the connection was new. The connection takes the
    // client's, so that clients that are alike find it so the next time.
    if (wanted == settings_) {
      if (server.schema() == wanted->schema())
        server.settings_ = wanted;
      else
        settings_ = server.settings();
    }
  }
  if (puts_variables(step, asks)) return wait(false);
  if (missing != nullptr) return ClientVerdict::kMore;
  if (insert_id_missing) {
    wire::query(step.to_server.own(), server.capabilities(), "SET last_insert_id = " + std::to_string(last_insert_id_));
    server.ask(ServerSession::Purpose::kHidden, Answer::kResults);
    server.gives_insert_id(serial_, last_insert_id_);
    return wait(false);
  }
  // Warnings and errors of somebody else's, or of the proxy's own, are nothing for this client's eyes.
  const bool adds = asks.keeps_diagnostics && server.own_warnings_ && !diagnostics_on(server);
  if ((adds || (asks.diagnostics && kept_.empty() && !diagnostics_on(server))) && !server.diagnostics_clear_) {
    // Of MariaDB only what has a table does that.
    server.query("SELECT 1 FROM (SELECT 1) AS nothing", step.to_server);
    server.diagnostics_clear_ = true;
    return wait(false);
  }
  return ClientVerdict::kMore;
}

}  // namespace dbproxy::session::mysql
