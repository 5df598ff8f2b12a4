// The part of ClientSession that keeps SQL's PREPARE, EXECUTE and DEALLOCATE in one name space with the protocol's
// statements, and no name of its client on a server connection that others get.
#include <algorithm>
#include <optional>
#include <unordered_set>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/prepare_text.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

namespace {

// So that what follows cannot spoil a transaction of the client's; PREPARE outlives the ROLLBACK.
class Guard {
 public:
  Guard(ServerSession& server, bool in_block, std::string_view prefix, Output& to_server)
      : server_(server), to_server_(to_server), name_(in_block ? std::string(prefix) + "names" : "") {
    if (in_block) run("SAVEPOINT " + name_);
  }
  ~Guard() {
    if (!name_.empty()) run("ROLLBACK TO SAVEPOINT " + name_ + "; RELEASE SAVEPOINT " + name_);
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  void run(const std::string& sql) { server_.query(sql, to_server_, true); }

  ServerSession& server_;
  Output& to_server_;
  std::string name_;
};

constexpr int kDeepest = 8;  // EXECUTE of EXECUTE …: in a circle, PostgreSQL runs out of stack

bool works_on_names(const Verdict& verdict) {
  return verdict.deallocate || verdict.executes_prepared || verdict.pinned_by(PinReason::kSqlPrepare);
}

}  // namespace

// Where the client keeps this connection anyhow, they stay there, and what else is done by their names is done there.
void ClientSession::names_may_be_there(ServerSession& server) {
  if (leaves_ & bit(PinReason::kOpaque)) {
    pins_ |= bit(PinReason::kSqlPrepare);
  } else {
    names_due_ = true;
  }
  server.may_have_names_ = true;
}

// What EXECUTE does is what the statement does.
void ClientSession::executes(Step& step, const NamedStatement& named) {
  auto statement = named.current;
  statement->refresh(step.options.classify);
  note(step.server->catalog_changed() ? statement->strict_verdict() : statement->verdict, statement->text(), step);
}

// Of the statement that EXECUTE of a name comes to, which may be EXECUTE itself; empty where its name is not known
// here.
std::string_view ClientSession::executed_text(std::string_view name) const {
  for (int depth = 0; depth < kDeepest; ++depth) {
    const auto it = names_.find(identifier_name(name));
    if (it == names_.end() || !it->second.current) return {};
    const auto& statement = *it->second.current;
    if (!statement.verdict.executes_prepared || statement.verdict.several_names) return statement.text();
    name = statement.verdict.executed_name;
  }
  return {};
}

// Puts a statement on the server under the client's own name, in the place of whatever has that name there; or, if not
// `whole`, an empty one.
void ClientSession::put_name(Step& step, NamedStatement& named, bool whole, bool simple) {
  auto& server = *step.server;
  auto statement = named.current;
  const bool stays = (leaves_ & bit(PinReason::kOpaque)) != 0;
  if (whole && simple && stays && !named.prepare.empty()) return put_prepared(step, named, ErrorText::kKept);
  const Guard guard(server, simple && whole && server.transaction_status_ == 'T', cache_->prefix(), step.to_server);
  std::optional<AsRead> as_read;
  if (whole) as_read.emplace(*this, step, named);
  wire::close_statement(step.to_server.own(), *named.name);
  server.requests_.push(RequestKind::kClose).hidden = true;
  wire::parse(step.to_server.own(), *named.name, whole ? statement->text() : "",
              whole ? statement->parameter_types() : "");
  auto& entry = server.requests_.push(RequestKind::kParse);
  entry.hidden = true;
  named.materialized = whole;
  if (whole) {
    entry.slot = &named;
    entry.previous = statement;
    ++named.pending;
  }
  // If it fails, the statement itself is still to be answered by the server.
  if (simple) entry.error_text = ErrorText::kKept;
  as_read.reset();
  if (simple) {
    wire::sync(step.to_server.own());
    server.requests_.push(RequestKind::kSync).hidden = true;
  }
}

// The same by the text that prepared it, so that the server shows it as it did. An empty one may have its name, left of
// a PREPARE that was refused: see shadow_names().
void ClientSession::put_prepared(Step& step, NamedStatement& named, ErrorText error_text) {
  auto& server = *step.server;
  const Guard guard(server, server.transaction_status_ == 'T', cache_->prefix(), step.to_server);
  const auto before = server.requests_.size();
  {
    const AsRead as_read(*this, step, named);
    wire::close_statement(step.to_server.own(), *named.name);
    server.requests_.push(RequestKind::kClose).hidden = true;
    const auto prepare = server.requests_.size();
    run_hidden(step, named.prepare, true);
    for (auto i = prepare; i < server.requests_.size(); ++i) {
      auto& request = server.requests_.at(i);
      if (request.kind != RequestKind::kExecute) continue;
      request.slot = &named;
      ++named.pending;
    }
  }
  for (auto i = before; i < server.requests_.size(); ++i) server.requests_.at(i).error_text = error_text;
  wire::sync(step.to_server.own());
  server.requests_.push(RequestKind::kSync).hidden = true;
  named.materialized = true;
}

// SQL's DEALLOCATE and EXECUTE share one name space with the protocol's statements, which stand on the server under
// other names. Before such a statement runs, the client's own name is put there, so that the server itself answers.
// What has become of it is read back before anybody else gets the connection.
// `depth`: of statements that are EXECUTE themselves, as those of the protocol may be.
void ClientSession::shadow_names(Step& step, const Verdict& verdict, std::string_view text, bool simple, int depth) {
  if (!works_on_names(verdict)) return;
  const bool prepares = verdict.pinned_by(PinReason::kSqlPrepare);
  auto& server = *step.server;
  if (server.transaction_status_ == 'E' && server.requests_.empty() && verdict.statement_count == 1) return;
  if (verdict.several_names) {
    Tokenizer tokens(text, classify_options(step).standard_conforming_strings);
    for (Token token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next()) {
      if (token.kind != TokenKind::kWord && token.kind != TokenKind::kQuotedIdentifier) continue;
      const auto found = names_.find(identifier_name(token.text));
      if (found == names_.end() || !found->second.current) continue;
      shadow_executed(step, found->second, simple, depth);
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
  if (verdict.executes_prepared) return shadow_executed(step, named, simple, depth);
  // DEALLOCATE by itself does what it says.
  const bool sure = simple && depth == 0 && verdict.deallocate && verdict.statement_count == 1 &&
                    (server.requests_.empty() || server.replaying_);
  if (!named.materialized) put_name(step, named, !prepares && !sure, simple);
  if (!sure) return names_may_be_there(server);
  named.current.reset();
  named.materialized = false;
  release_slot(&named);
}

// The same for a statement that is executed by its name, and for those that it works on.
void ClientSession::shadow_executed(Step& step, NamedStatement& named, bool simple, int depth) {
  const auto statement = named.current;
  executes(step, named);
  if (!named.materialized) put_name(step, named, true, simple);
  names_may_be_there(*step.server);
  if (depth < kDeepest) shadow_names(step, statement->verdict, statement->text(), simple, depth + 1);
}

// DEALLOCATE ALL by extended query is executed; should it not be carried out, nothing is forgotten.
void ClientSession::forget_names_by(ServerSession& server) {
  for (auto& [name, named] : names_) {
    if (!named.current) continue;
    auto& entry = server.requests_.push(RequestKind::kLocal);
    entry.slot = &named;
    ++named.pending;
    entry.previous = std::exchange(named.current, {});
    named.materialized = false;
  }
}

// Describe of an EXECUTE tells what the statement of that name returned when EXECUTE was parsed. True: parse it again.
bool ClientSession::describes_execute(Step& step, const Statement& statement) {
  if (!statement.verdict.executes_prepared || statement.verdict.several_names) return false;
  const auto it = names_.find(identifier_name(statement.verdict.executed_name));
  if (it == names_.end() || !it->second.current) return true;
  if (!it->second.materialized) put_name(step, it->second, true, false);
  names_may_be_there(*step.server);
  return true;
}

// Takes the statements of the proxy's own off the server, those of all clients that have used it.
void ClientSession::hide_prepared(Step& step) {
  auto& server = *step.server;
  if (server.prepared_.empty()) return;
  for (auto& [id, prepared] : server.prepared_) {
    wire::close_statement(step.to_server.own(), prepared.statement->name);
    auto& entry = server.requests_.push(RequestKind::kClose);
    entry.hidden = true;
    entry.statement = prepared.statement;
  }
  server.prepared_.clear();
  wire::sync(step.to_server.own());
  server.requests_.push(RequestKind::kSync).hidden = true;
}

// Whether what the server says of its transaction counts a BEGIN that was kept back.
bool ClientSession::begin_settled(Step& step) {
  auto& server = *step.server;
  if (server.beginning_) {
    held_ = true;
    return false;
  }
  if (!server.begun_ || !server.sync_pending_ || !server.requests_.empty() || server.skipping_) return true;
  wire::sync(step.to_server.own());
  server.requests_.push(RequestKind::kSync).hidden = true;
  server.sync_pending_ = false;
  wait_for_quiet_ = waits_ = true;
  return false;
}

// Whether what a text does, or what it EXECUTEs, reads pg_prepared_statements, or runs what nobody has read.
ClientSession::NamesSeen ClientSession::names_seen(const Step& step, const Verdict& said, std::string_view text) const {
  NamesSeen out;
  const auto executed = [this](std::string_view name) -> const Verdict* {
    const auto it = names_.find(identifier_name(name));
    return it == names_.end() || !it->second.current ? nullptr : &it->second.current->verdict;
  };
  const auto look = [&](const Verdict* verdict) {
    for (int depth = 0; verdict != nullptr && depth <= kDeepest; ++depth) {
      out.listed = out.listed || verdict->lists_names;
      out.opaque = out.opaque || ((verdict->pins & verdict->leaves & bit(PinReason::kOpaque)) != 0);
      verdict = verdict->executes_prepared && !verdict->several_names ? executed(verdict->executed_name) : nullptr;
    }
  };
  // EXECUTE does what its statement does, however little is known.
  const bool alone = said.statement_count == 1 && !said.several_names;
  look(alone && said.executes_prepared ? executed(said.executed_name) : &said);
  if (!said.several_names) return out;
  Tokenizer tokens(text, classify_options(step).standard_conforming_strings);
  for (Token token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next())
    if (token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedIdentifier) look(executed(token.text));
  return out;
}

// For a text that reads pg_prepared_statements, and for one that runs what nobody has read, which may be EXECUTE of
// any of this client's statements. False: it has to wait until the server has answered what went before.
bool ClientSession::show_names(Step& step, const Verdict& said, std::string_view text) {
  if (names_.empty() && !said.lists_names) return true;
  auto& server = *step.server;
  const bool alone = said.statement_count == 1 && !said.several_names;
  if (alone && (said.deallocate || said.pinned_by(PinReason::kSqlPrepare))) return true;
  const auto [lists, opaque] = names_seen(step, said, text);
  if (!lists && !opaque) return true;
  const auto wanted = [](const auto& item) { return item.second.current && !item.second.materialized; };
  const bool any = std::any_of(names_.begin(), names_.end(), wanted);
  if (!any && !(lists && !server.prepared_.empty())) return true;
  if (!begin_settled(step)) return false;
  // In the middle of a sequence nothing can be put there that must not fail.
  if (server.sync_pending_ || server.transaction_status_ == 'E') return true;
  if (!server.requests_.empty() && !server.replaying_) {
    wait_for_quiet_ = waits_ = true;
    return false;
  }
  in_sequence_ = false;
  if (lists) hide_prepared(step);
  for (auto& item : names_) {
    auto& named = item.second;
    if (!wanted(item)) continue;
    names_may_be_there(server);
    if (named.prepare.empty()) {
      put_name(step, named, true, true);
    } else {
      put_prepared(step, named, ErrorText::kDropped);
    }
  }
  return true;
}

// EXECUTE, alone in a simple query, of a statement that stands under a name of the proxy's own: that name is put into
// the text.
bool ClientSession::renames_executed(Step& step, const Verdict& verdict) {
  if (!verdict.executes_prepared || verdict.several_names || verdict.statement_count != 1) return false;
  const auto it = names_.find(identifier_name(verdict.executed_name));
  if (it == names_.end() || !it->second.current || it->second.materialized) return false;
  if (!step.server->requests_.empty() && !step.server->replaying_) return false;
  auto& named = it->second;
  if (works_on_names(named.current->verdict)) return false;
  if (may_go_back(named.current->verdict, named.current->text())) return false;
  executes(step, named);
  const auto before = step.server->requests_.size();
  prepare_on(step, named);
  if (step.server->requests_.size() == before) return true;
  // If it fails, EXECUTE itself is still to be answered by the server.
  for (auto i = before; i < step.server->requests_.size(); ++i) {
    auto& request = step.server->requests_.at(i);
    if (request.kind == RequestKind::kParse && request.statement) request.error_text = ErrorText::kKept;
  }
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
  server.inserted_ = {{{characters(text.substr(0, at)) + old_size, name.size() - old_size}}, {}};
  server.sets_seen_ = 0;
  wait_for_quiet_ = true;  // server.inserted_ is of this one
  wire::query(step.to_server.own(), longer);
  server.executed_ = std::move(longer);
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
  std::unordered_set<std::string_view> there;
  for (const auto& one : *names) there.insert(one.name);
  for (auto& [name, named] : names_) {
    if (std::exchange(named.materialized, false) && !there.contains(name)) named.current.reset();
  }
  for (const auto& one : *names) {
    if (one.from_sql) {
      const auto text = find_prepare(one.text, one.name, how.standard_conforming_strings);
      if (text.body.empty()) return give_up();
      auto named = slot(one.name);
      const auto prepare = text.alone ? std::string_view(one.text) : text.whole;
      if (!named->current || named->prepare != prepare) {
        named->current = cache_->intern(at_its_place(one.text, text.body), one.types, how);
        named->prepare = prepare;
        named->since = cache_->tick();
        remember_reading(server, *named);
      }
    }
    if (!sql.empty()) sql += "; ";
    sql += "DEALLOCATE " + quoted_name(one.name);
  }
  std::erase_if(names_, [](const auto& item) { return !item.second.current && item.second.pending == 0; });
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
