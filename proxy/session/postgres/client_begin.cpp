// The part of ClientSession that keeps a BEGIN back until its transaction needs a server connection.
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/transaction_text.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

// A Query while no server is attached. True: it is answered.
bool ClientSession::answered_here(Step& step, std::string_view whole) {
  auto text = whole.substr(wire::kHeaderSize);
  if (text.empty() || text.back() != '\0') return false;
  text.remove_suffix(1);
  const auto kind = transaction_text(text);
  std::string_view tag;
  if (kind == TransactionText::kDiscardAll && begin_.empty()) {
    ++queries_;
    ++answered_here_;
    if (keep_text) (last_text = text) += " (of what this client had)";
    discard_here(step);
    wire::ready_for_query(step.to_client.own(), 'I');
    return true;
  }
  if (!step.options.deferred_begin) return false;
  if (begin_.empty()) {
    if (kind != TransactionText::kBegin && kind != TransactionText::kStart) return false;
    tag = kind == TransactionText::kBegin ? "BEGIN" : "START TRANSACTION";
    begin_ = text;
  } else {
    // A second BEGIN is for the server, which warns.
    if (kind != TransactionText::kCommit && kind != TransactionText::kRollback) return false;
    tag = kind == TransactionText::kCommit && !begin_failed_ ? "COMMIT" : "ROLLBACK";
    begin_.clear();
    begin_failed_ = false;
  }
  ++queries_;
  ++answered_here_;
  if (keep_text) {
    last_text = text;
    last_text += begin_.empty() ? " (not sent: its transaction did nothing)" : " (deferred)";
  }
  unnamed_.current.reset();  // a simple query ends it
  wire::MessageWriter(step.to_client.own(), 'C').cstring(tag);
  wire::ready_for_query(step.to_client.own(), local_status());
  return true;
}

// Goes before everything else that this transaction sends. By extended query without a Sync: if BEGIN failed after all,
// the server would ignore everything up to the next Sync, and ServerVerdict::kReplayFailed ends the client; what would
// come behind that Sync waits in feed(). Flush: so that the answer does not wait for a long query's end.
void ClientSession::send_begin(ServerSession& server, Output& to_server) {
  if (begin_.empty()) return;
  auto& own = to_server.own();
  const auto push = [&](RequestKind kind) -> Request& {
    auto& entry = server.requests_.push(kind);
    entry.hidden = true;
    return entry;
  };
  wire::parse(own, "", begin_, "");
  push(RequestKind::kParse).replays = true;
  wire::MessageWriter(own, 'B').cstring("").cstring("").u16(0).u16(0).u16(0);
  push(RequestKind::kBind).replays = true;
  wire::MessageWriter(own, 'E').cstring("").u32(0);
  push(RequestKind::kExecute).replays = true;
  wire::empty_message(own, 'H');
  server.unnamed_.reset();
  server.replaying_ = server.beginning_ = true;
  server.sync_pending_ = true;
  begin_.clear();
  if (std::exchange(begin_failed_, false)) {
    // The client has been told that its transaction failed: so it has to be there.
    wire::sync(own);
    push(RequestKind::kSync);
    wire::MessageWriter(own, 'B').cstring("").cstring("dbproxy: failed before").u16(0).u16(0).u16(0);
    push(RequestKind::kBind).error_text = ErrorText::kDropped;
    wire::sync(own);
    push(RequestKind::kSync);
    server.sync_pending_ = false;
  }
}

}  // namespace dbproxy::session::postgres
