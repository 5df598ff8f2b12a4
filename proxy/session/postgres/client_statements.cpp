// The part of ClientSession that keeps its prepared statements: names, where they stand, what stands there.
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

void ClientSession::discarded_all() {
  pins_ = leaves_ = 0;
  pins_since_ = leaves_since_ = 0;
  probe_due_ = unsettled_ = false;
  probe_is_old_ = true;
  pin_statement_.clear();
  unnamed_.current.reset();
  channels_.clear();
  unlistened_.clear();
  listen_due_ = names_due_ = false;
  forget_names();
}

// Makes sure that the server's unnamed statement is this client's. False when the client has none.
bool ClientSession::use_unnamed(Step& step) {
  auto& server = *step.server;
  if (!unnamed_.current) return false;
  if (server.unnamed_ != unnamed_.current || server.unnamed_parsed_ < unnamed_.since) {
    server.requests_.push(RequestKind::kParse).hidden = true;
    wire::parse(step.to_server.own(), "", unnamed_.current->text(), unnamed_.current->parameter_types());
    server.unnamed_ = unnamed_.current;
    server.unnamed_parsed_ = cache_->tick();
  }
  return true;
}

bool ClientSession::stands_there(const Step& step, const NamedStatement& named) const {
  const auto it = step.server->prepared_.find(named.current->id);
  return it != step.server->prepared_.end() && !it->second.stale &&
         (it->second.parsed >= named.since || named.since < step.options.classify.schema_since);
}

// Puts it on the server, unless it stands there: as it was parsed when this client parsed it, or later. What has stood
// there for longer may mean what names meant before somebody changed the schema. But a client that parsed it before a
// change that was seen shall hear of it from the server, as on a connection of its own: "cached plan must not change
// result type".
void ClientSession::prepare_on(Step& step, const NamedStatement& named) {
  auto& server = *step.server;
  const auto& statement = named.current;
  if (stands_there(step, named)) {
    server.prepared_.find(statement->id)->second.used = ++server.use_counter_;
    return;
  }
  const AsRead as_read(*this, step, named);
  replace_prepared(server, statement, step.to_server);
  wire::parse(step.to_server.own(), statement->name, statement->text(), statement->parameter_types());
  auto& entry = server.requests_.push(RequestKind::kParse);
  entry.hidden = true;
  entry.statement = statement;
}

// Makes the statement's name free on the server for the Parse that is sent next.
void ClientSession::replace_prepared(ServerSession& server, const StatementPtr& statement, Output& to_server) {
  if (server.prepared_.find(statement->id) != server.prepared_.end()) {
    wire::close_statement(to_server.own(), statement->name);
    auto& gone = server.requests_.push(RequestKind::kClose);
    gone.hidden = true;
    gone.statement = statement;
  } else {
    make_room(server, to_server);
  }
  server.prepared_[statement->id] = {statement, ++server.use_counter_, cache_->tick(), false};
}

void ClientSession::make_room(ServerSession& server, Output& to_server) {
  if (server.prepared_.size() < kMaxPreparedPerServer) return;
  auto oldest = server.prepared_.begin();
  for (auto it = server.prepared_.begin(); it != server.prepared_.end(); ++it) {
    if (it->second.used < oldest->second.used) oldest = it;
  }
  wire::close_statement(to_server.own(), oldest->second.statement->name);
  auto& entry = server.requests_.push(RequestKind::kClose);
  entry.hidden = true;
  entry.statement = oldest->second.statement;
  server.prepared_.erase(oldest);
}

void ClientSession::forget_names() {
  for (auto it = names_.begin(); it != names_.end();) {
    it->second.current.reset();
    it->second.materialized = false;
    it = it->second.pending == 0 ? names_.erase(it) : std::next(it);
  }
}

// An error at this place in the pipeline, raised by the server so that its transaction state is right.
void ClientSession::force_error(ServerSession& server, Output& to_server, ErrorText text, NamedStatement* named) {
  auto& entry = server.requests_.push(RequestKind::kBind);
  entry.error_text = text;
  entry.slot = named;
  if (named != nullptr) ++named->pending;
  server.sync_pending_ = true;
  wire::MessageWriter(to_server.own(), 'B').cstring("").cstring(cache_->prefix() + "none").u16(0).u16(0).u16(0);
}

NamedStatement* ClientSession::slot(std::string_view name) {
  auto it = names_.find(name);
  if (it == names_.end()) {
    it = names_.emplace(std::string(name), NamedStatement{}).first;
    it->second.name = &it->first;
  }
  return &it->second;
}

void ClientSession::release_slot(NamedStatement* named) {
  if (named->name == nullptr || named->pending > 0 || named->current) return;
  names_.erase(names_.find(*named->name));
}

}  // namespace dbproxy::session::postgres
