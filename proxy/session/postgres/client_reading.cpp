// The part of ClientSession that has a statement read on another connection as it was read when its client prepared it.
//
// Constants of a text go through the input functions of their types when it is parsed, and names stand for what
// search_path had then. Where a statement has to be parsed once more, the settings by which its text is read are those
// of its first time for that moment, and nothing else is.
#include <algorithm>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

namespace {

// Others are not looked into before they are executed.
bool is_analyzed(std::string_view text) {
  Tokenizer tokens(text, true);
  const auto token = tokens.next();
  if (token.is('(')) return true;
  for (auto word : {"select", "insert", "update", "delete", "merge", "with", "values", "table"})
    if (token.kind == TokenKind::kWord && equals_folded(token.text, word)) return true;
  return false;
}

}  // namespace

bool ServerSession::reading_known() const {
  if (unlisted_ || listing_ || moving_) return false;
  for (const auto* names : {&unknown_, &read_})
    if (std::any_of(names->begin(), names->end(), [](const auto& name) { return decides_meaning(name); })) return false;
  for (std::size_t i = 0; i < requests_.size(); ++i)
    if (requests_.at(i).settings_expected || requests_.at(i).sets_start) return false;
  return true;
}

// Of a client that is pinned for what it may have set nobody knows it.
bool ClientSession::reading_known(const ServerSession& server) const {
  return server.reading_known() && (pins_ & (bit(PinReason::kOpaque) | bit(PinReason::kSetVariable))) == 0;
}

// It was parsed just now.
void ClientSession::remember_reading(const ServerSession& server, NamedStatement& named) {
  named.read_under = reading_known(server) ? settings_now(&server) : SettingsPtr();
  reading_due_ = reading_due_ || !named.read_under;
}

// Of those that were parsed while it was not known, now it is.
void ClientSession::settle_readings() {
  if (!std::exchange(reading_due_, false)) return;
  for (auto& [name, named] : names_)
    if (!named.read_under) named.read_under = settings_;
}

// What brings the connection to how the statement was read; "": it is like that, or that does not matter.
std::string ClientSession::reading_sql(const ServerSession& server, const NamedStatement& named) const {
  if (!named.read_under || !named.current || server.transaction_status_ == 'E') return {};
  const auto& now = settings_now(&server);
  const bool known = reading_known(server);
  if (!now || (known && (now == named.read_under || now->reading() == named.read_under->reading()))) return {};
  if (!is_analyzed(named.current->text())) return {};
  std::vector<std::string> unknown;
  if (!known)
    for (const auto* names : {&server.unknown_, &server.read_})
      unknown.insert(unknown.end(), names->begin(), names->end());
  return set_meaning_sql(*now, *named.read_under, *server.base_, unknown);
}

// Whether it can be prepared now. False: it has to wait until the server has answered what went before.
bool ClientSession::may_prepare(Step& step, const NamedStatement& named) {
  auto& server = *step.server;
  in_sequence_ = server.sync_pending_;
  if (!named.current || named.materialized || stands_there(step, named)) return true;
  if (reading_sql(server, named).empty()) return true;
  if (!begin_settled(step)) return false;
  if (server.requests_.empty()) return true;
  if (server.sync_pending_) wire::empty_message(step.to_server.own(), 'H');
  wait_for_quiet_ = waits_ = true;
  return false;
}

bool ClientSession::may_prepare(Step& step, const Verdict& verdict) {
  if (!verdict.executes_prepared || verdict.several_names) return true;
  const auto it = names_.find(identifier_name(verdict.executed_name));
  return it == names_.end() || may_prepare(step, it->second);
}

ClientSession::AsRead::AsRead(ClientSession& client, Step& step, const NamedStatement& named)
    : client_(client), step_(step) {
  const auto sql = client.reading_sql(*step.server, named);
  if (sql.empty()) return;
  auto& server = *step.server;
  if (server.transaction_status_ == 'T' && !client.in_sequence_) {
    client.run_hidden(step, "SAVEPOINT dbproxy_reading", true);
    after_ = {"ROLLBACK TO SAVEPOINT dbproxy_reading", "RELEASE SAVEPOINT dbproxy_reading"};
  } else if (client.reading_known(server)) {
    after_ = {set_meaning_sql(*named.read_under, *client.settings_now(&server), *server.base_, {})};
  } else {
    return;
  }
  client.run_hidden(step, sql, true);
}

ClientSession::AsRead::~AsRead() {
  for (const auto& sql : after_) client_.run_hidden(step_, sql, true);
}

// By extended query, in the sequence that follows or is open. `keeps_unnamed`: the unnamed statement stays what it is.
void ClientSession::run_hidden(Step& step, std::string_view sql, bool keeps_unnamed) {
  auto& server = *step.server;
  auto& own = step.to_server.own();
  const auto portal = cache_->prefix() + "start";
  const auto statement = keeps_unnamed ? portal : std::string();
  const auto push = [&](RequestKind kind) { server.requests_.push(kind).hidden = true; };
  const auto close = [&](char kind) {
    wire::MessageWriter(own, 'C').u8(static_cast<std::uint8_t>(kind)).cstring(portal);
    push(RequestKind::kClose);
  };
  if (keeps_unnamed) close('S');  // an error may have left it there
  wire::parse(own, statement, sql, "");
  push(RequestKind::kParse);
  wire::MessageWriter(own, 'B').cstring(portal).cstring(statement).u16(0).u16(0).u16(0);
  push(RequestKind::kBind);
  wire::MessageWriter(own, 'E').cstring(portal).u32(0);
  push(RequestKind::kExecute);
  close('P');
  if (keeps_unnamed) {
    close('S');
  } else {
    server.unnamed_.reset();
  }
}

}  // namespace dbproxy::session::postgres
