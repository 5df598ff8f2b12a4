// The part of ClientSession that keeps a BEGIN back until its transaction needs a server connection.
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/transaction_text.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

// A Query while no server is attached. True: it is answered.
bool ClientSession::answered_here(Step& step, std::string_view whole) {
  auto text = whole.substr(wire::kHeaderSize);
  if (text.empty() || text.back() != '\0') return false;
  text.remove_suffix(1);
  if (do_here(step, text).empty()) return false;
  unnamed_.current.reset();  // a simple query ends it
  say_ready(step.to_client);
  return true;
}

// The same by Parse, Bind, perhaps Describe, Execute and Sync without names, if all of it is here: how long that is.
std::size_t ClientSession::sequence_here(Step& step, std::string_view bytes) {
  if (!step.options.deferred_begin && begin_.empty()) return 0;
  std::string_view text;
  std::string answers;
  std::size_t used = 0;
  for (const char* expected = "PBDES"; *expected != '\0'; ++expected) {
    const auto frame = wire::scan_frame(bytes.substr(used));
    if (frame.scan != wire::Scan::kMessage || frame.size > bytes.size() - used) return 0;
    if (*expected == 'D' && frame.type == 'E') continue;
    if (frame.type != *expected) return 0;
    wire::Reader reader(bytes.substr(used + wire::kHeaderSize, frame.size - wire::kHeaderSize));
    used += frame.size;
    switch (frame.type) {
      case 'P':
        if (!reader.cstring().empty()) return 0;
        text = reader.cstring();
        if (reader.u16() != 0 || transaction_text(text) == TransactionText::kOther) return 0;
        wire::empty_message(answers, '1');
        break;
      case 'B': {
        if (!reader.cstring().empty() || !reader.cstring().empty() || reader.u16() != 0 || reader.u16() != 0) return 0;
        reader.bytes(std::size_t{reader.u16()} * 2);
        wire::empty_message(answers, '2');
        break;
      }
      case 'D':
        if (reader.u8() != 'P' || !reader.cstring().empty()) return 0;
        wire::empty_message(answers, 'n');
        break;
      case 'E':
        if (!reader.cstring().empty()) return 0;
        reader.u32();
        break;
      default:
        break;
    }
    if (!reader.ok() || !reader.rest().empty()) return 0;
  }
  auto& own = step.to_client.own();
  const auto before = own.size();
  const auto tag = do_here(step, text);
  if (tag.empty()) return 0;
  own.insert(before, answers);
  // It can be bound again.
  unnamed_.current = cache_->intern(text, "", classify_options(step));
  unnamed_.since = cache_->tick();
  say_ready(step.to_client);
  return used;
}

// Does what a text says where no server is needed for it, and answers up to its tag; empty: one is needed.
std::string_view ClientSession::do_here(Step& step, std::string_view text) {
  const auto kind = transaction_text(text);
  std::string_view tag;
  if (kind == TransactionText::kDiscardAll && begin_.empty()) {
    ++queries_;
    ++answered_here_;
    if (keep_text) (last_text = text) += " (of what this client had)";
    discard_here(step);
    return "DISCARD ALL";
  }
  if (!step.options.deferred_begin && begin_.empty()) return {};
  if (begin_.empty()) {
    if (kind != TransactionText::kBegin && kind != TransactionText::kStart) return {};
    tag = kind == TransactionText::kBegin ? "BEGIN" : "START TRANSACTION";
    begin_ = text;
  } else {
    // A second BEGIN is for the server, which warns.
    if (kind != TransactionText::kCommit && kind != TransactionText::kRollback) return {};
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
  wire::MessageWriter(step.to_client.own(), 'C').cstring(tag);
  return tag;
}

void ClientSession::say_ready(Output& to_client) {
  told_status_ = local_status();
  wire::ready_for_query(to_client.own(), told_status_);
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
