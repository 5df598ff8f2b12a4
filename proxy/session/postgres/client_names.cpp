// The part of ClientSession that keeps SQL's PREPARE, EXECUTE and DEALLOCATE in one name space with the protocol's
// statements, and no name of its client on a server connection that others get.
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/prepare_text.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

void ClientSession::names_may_be_there(ServerSession& server) {
  names_due_ = true;
  server.may_have_names_ = true;
}

// What EXECUTE does is what the statement does.
void ClientSession::executes(Step& step, const NamedStatement& named) {
  auto statement = named.current;
  statement->refresh(step.options.classify);
  note(step.server->catalog_changed() ? statement->strict_verdict() : statement->verdict, statement->text(), step);
}

// Puts a statement on the server under the client's own name, in the place of whatever has that name there.
void ClientSession::put_name(Step& step, NamedStatement& named, bool whole, bool simple) {
  auto& server = *step.server;
  auto statement = named.current;
  wire::close_statement(step.to_server.own(), *named.name);
  server.requests_.push(RequestKind::kClose).hidden = true;
  wire::parse(step.to_server.own(), *named.name, whole ? statement->text() : "",
              whole ? statement->parameter_types() : "");
  auto& entry = server.requests_.push(RequestKind::kParse);
  entry.hidden = true;
  if (simple) {
    // If it fails, the statement itself is still to be answered by the server.
    entry.error_text = ErrorText::kDropped;
    wire::sync(step.to_server.own());
    server.requests_.push(RequestKind::kSync).hidden = true;
  }
  named.materialized = whole;
  if (whole) names_may_be_there(server);
}

// SQL's DEALLOCATE and EXECUTE share one name space with the protocol's statements, which stand on the server under
// other names. Before such a statement runs, the client's own name is put there, so that the server itself answers.
// A name that stays there is taken away before anybody else gets the connection.
void ClientSession::shadow_names(Step& step, const Verdict& verdict, bool simple) {
  if (verdict.deallocate_all) return forget_names();
  const bool prepares = verdict.pinned_by(PinReason::kSqlPrepare);
  if (!verdict.deallocate && !verdict.executes_prepared && !prepares) return;
  if (verdict.several_names) {
    for (auto& [name, named] : names_) {
      if (!named.current) continue;
      executes(step, named);
      if (!named.materialized) put_name(step, named, true, simple);
    }
    return;
  }
  auto it = names_.find(identifier_name(verdict.executes_prepared ? verdict.executed_name : verdict.prepared_name));
  if (it == names_.end() || !it->second.current) {
    // What PREPARE's text can leave was seen then; where its name could not be read, it has been asked for since.
    if (verdict.executes_prepared && (pins_ & bit(PinReason::kSqlPrepare)))
      pin(bit(PinReason::kOpaque), bit(PinReason::kOpaque));
    return;
  }
  auto& named = it->second;
  if (verdict.executes_prepared) executes(step, named);
  if (!named.materialized) put_name(step, named, !verdict.deallocate, simple);
  if (verdict.deallocate) {
    if (verdict.statement_count != 1) names_may_be_there(*step.server);  // another may fail before it
    named.current.reset();
    named.materialized = false;
    release_slot(&named);
  }
}

// For a text that reads pg_prepared_statements.
void ClientSession::show_names(Step& step, const Verdict& verdict) {
  auto& server = *step.server;
  if (!verdict.lists_names || server.sync_pending_) return;
  for (auto& [name, named] : names_) {
    if (!named.current || named.materialized) continue;
    if (named.prepare.empty()) {
      put_name(step, named, true, true);
      continue;
    }
    server.query(named.prepare, step.to_server);
    server.requests_.back().may_fail = true;
    named.materialized = true;
    names_may_be_there(server);
  }
}

// EXECUTE, alone in a simple query, of a statement that stands under a name of the proxy's own: that name is put into
// the text.
bool ClientSession::renames_executed(Step& step, const Verdict& verdict) {
  if (!verdict.executes_prepared || verdict.several_names || verdict.statement_count != 1) return false;
  const auto it = names_.find(identifier_name(verdict.executed_name));
  if (it == names_.end() || !it->second.current || it->second.materialized) return false;
  if (!step.server->requests_.empty() && !step.server->replaying_) return false;
  auto& named = it->second;
  executes(step, named);
  const auto before = step.server->requests_.size();
  prepare_on(step, named);
  if (step.server->requests_.size() == before) return true;
  // If it fails, EXECUTE itself is still to be answered by the server.
  step.server->requests_.back().error_text = ErrorText::kDropped;
  wire::sync(step.to_server.own());
  step.server->requests_.push(RequestKind::kSync).hidden = true;
  return true;
}

void ClientSession::send_renamed(Step& step, std::string_view text, const Verdict& verdict) {
  auto& server = *step.server;
  auto& named = names_.find(identifier_name(verdict.executed_name))->second;
  const auto at = static_cast<std::size_t>(verdict.executed_name.data() - text.data());
  auto name = named.current->name;
  const auto old_size = characters(verdict.executed_name);
  if (name.size() < old_size) name.append(old_size - name.size(), ' ');
  std::string longer(text.substr(0, at));
  longer += name;
  longer += text.substr(at + verdict.executed_name.size());
  auto& entry = server.requests_.push(RequestKind::kQuery);
  entry.sets_start = true;
  entry.statement = named.current;
  entry.slot = &named;
  ++named.pending;
  server.inserted_ = {{characters(text.substr(0, at)) + old_size, name.size() - old_size}};
  wait_for_quiet_ = true;  // server.inserted_ is of this one
  wire::query(step.to_server.own(), longer);
}

bool ClientSession::names_read(ServerSession& server, Output& to_server, const ClientOptions& options) {
  const auto rows = server.take_rows();
  names_due_ = false;
  const auto give_up = [this] {
    pins_ |= bit(PinReason::kSqlPrepare);
    return false;
  };
  const auto names = rows.failed || rows.too_long ? std::nullopt : read_prepared(rows.messages);
  if (!names || names->size() + names_.size() > kMaxNamesPerClient) return give_up();
  Output to_client;
  Step step{&server, to_server, to_client, options};
  const auto how = classify_options(step);
  std::string sql;
  for (const auto& one : *names) {
    const auto known = names_.find(one.name);
    if ((known == names_.end() || !known->second.current) && one.from_sql) {
      const auto text = find_prepare(one.text, one.name, how.standard_conforming_strings);
      if (text.body.empty()) return give_up();
      auto named = slot(one.name);
      named->current = cache_->intern(text.body, one.types, how);
      named->prepare = text.whole;
      named->since = cache_->tick();
    }
    if (!sql.empty()) sql += "; ";
    sql += "DEALLOCATE " + quoted_name(one.name);
  }
  for (auto& [name, named] : names_) named.materialized = false;
  server.may_have_names_ = false;
  if (!sql.empty()) server.query(sql, to_server);
  return true;
}

void ServerSession::read_names(std::string_view prefix, Output& to_server) {
  query(read_prepared_sql(prefix), to_server);
  requests_.back().keeps_rows = true;
  reading_rows_ = reading_names_ = true;
  rows_ = {};
}

}  // namespace dbproxy::session::postgres
