// The part of ServerSession that asks on the proxy's own account, and ends what a client left unfinished.
#include "proxy/session/postgres/server_session.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

void ServerSession::query(std::string_view sql, Output& to_server, bool may_fail) {
  auto& entry = requests_.push(RequestKind::kQuery);
  entry.hidden = true;
  entry.may_fail = may_fail;
  unnamed_.reset();
  wire::query(to_server.own(), sql);
}

void ServerSession::replay(std::string_view sql, Output& to_server) {
  // Not as the connection's settings have it: a serializable transaction may wait, or fail on a replica.
  std::string block = "BEGIN ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE; ";
  block += sql;
  block += "; COMMIT";
  query(block, to_server);
  requests_.back().replays = true;
  replaying_ = true;
}

void ServerSession::query_rows(std::string_view sql, Output& to_server) {
  query(sql, to_server);
  requests_.back().keeps_rows = true;
  reading_rows_ = true;
  changes_read_ = changes_;
  rows_ = {};
}

void ServerSession::probe(std::string_view sql, Output& to_server) {
  query(sql, to_server);
  requests_.back().keeps_rows = true;
  reading_rows_ = probing_ = true;
  rows_ = {};
}

void ServerSession::keep(std::string_view piece) {
  if (rows_.too_long) return;
  if (rows_.messages.size() + piece.size() > kMaxKeptRows) {
    rows_ = {};
    rows_.too_long = true;
    return;
  }
  rows_.messages += piece;
}

void ServerSession::release_ready(Output& to_client) {
  if (!std::exchange(owes_ready_, false)) return;
  wire::ready_for_query(to_client.own(), 'I');
}

bool ServerSession::finish_sequence(Output& to_server) {
  bool sent = false;
  if (copy_in_) {
    wire::MessageWriter(to_server.own(), 'f').cstring("the client is gone");
    requests_.push(RequestKind::kCopyEnd);
    copy_in_ = false;
    sent = true;
    sync_pending_ = requests_.front().kind == RequestKind::kExecute;
  }
  if (skipping_ || sync_pending_) {
    if (!skipping_) {
      // Without its client's Sync the sequence must not be committed: an error before ours undoes it.
      auto& fails = requests_.push(RequestKind::kBind);
      fails.hidden = true;
      fails.error_text = ErrorText::kDropped;
      wire::MessageWriter(to_server.own(), 'B').cstring("").cstring("dbproxy: abandoned").u16(0).u16(0).u16(0);
    }
    wire::sync(to_server.own());
    requests_.push(RequestKind::kSync).hidden = true;
    skipping_ = false;
    sync_pending_ = false;
    sent = true;
  }
  return sent;
}

bool ServerSession::undecided(const NamedStatement& named) {
  bool parsed = false;
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    const auto& request = requests_.at(i);
    if (request.kind == RequestKind::kParse && request.slot == &named) parsed = true;
    if (parsed && request.kind == RequestKind::kSync) return true;
  }
  return false;
}

void ServerSession::forget_client() {
  owes_ready_ = false;
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    requests_.at(i).slot = nullptr;
    requests_.at(i).previous.reset();
  }
}

}  // namespace dbproxy::session::postgres
