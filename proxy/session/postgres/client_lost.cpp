// The part of ClientSession that goes on when the server connection is lost under it: the client is told what became of
// its work, and its session stays, since nothing of it was on that connection that is not known here too.
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/replay_guard.hpp"
#include "proxy/session/postgres/transaction_text.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

namespace {

// Comments may stand before the word.
bool may_begin_an_end(std::string_view text) {
  const auto at = text.find_first_not_of(" \t\r\n");
  return at != std::string_view::npos && std::string_view("cCeErRaApP-/;").find(text[at]) != std::string_view::npos;
}

// Whether a FATAL tells of the server's end, and not of something that this client did or is.
bool is_the_servers(std::string_view last_words) {
  if (last_words.empty()) return true;
  const auto sqlstate = wire::read_error(last_words.substr(wire::kHeaderSize)).sqlstate;
  return sqlstate == "57P01" || sqlstate == "57P02" || sqlstate == "57P03";
}

}  // namespace

// For every text that is sent: cheap for those that cannot end a transaction.
void ClientSession::note_end(std::string_view text, std::uint32_t statement_count) {
  if (may_have_ended_ || told_status_ == 'I') return;
  may_have_ended_ = statement_count > 1 || (may_begin_an_end(text) && may_end_transaction(text));
}

// Whether the session is all here: no state of the connection's own, and settings as they are without what was lost.
bool ClientSession::survives(const ServerSession& server) const {
  if (pins_ != 0 || listen_due_ || names_due_ || channels_new_ || server.in_mid_message()) return false;
  return !settled_since_attached_ || (server.settings_ == settings_ && server.settings_known());
}

bool ClientSession::server_lost(ServerSession& server, std::string_view why, std::string_view last_words,
                                Output& to_client) {
  if (!survives(server) || !is_the_servers(last_words)) return false;
  server.release_ready(to_client);
  if (!server.replaying_) tell_changes(server.settings_, settings_, to_client);  // else it had told of none yet

  const bool in_block = told_status_ != 'I' || !begin_.empty();
  const auto* const standby = server.settings_->find("in_hot_standby");  // where nothing can be carried out for good
  const bool reads_only = standby != nullptr && *standby == "on";
  const bool unknown = !reads_only && (!in_block || (may_have_ended_ && told_status_ == 'T'));
  // All was answered but the Sync, which has nothing left to do: the client hears of no loss.
  const bool only_sync = server.requests_.empty() || server.requests_.front().kind == RequestKind::kSync;
  const bool ended = server.sequence_ == ServerSession::Sequence::kEnded && only_sync && server.settings_ == settings_;
  const bool over = !in_block || may_have_ended_ || ended;
  std::string error;
  if (unknown) {
    wire::error_response(error, {.sqlstate = "08007",
                                 .message = "the connection to the database was lost before it answered",
                                 .detail = why,
                                 .hint = "Whether this was carried out is not known. The session goes on."});
  } else {
    wire::error_response(error, {.sqlstate = "40001",
                                 .message = "the transaction was rolled back: the connection to the database was lost",
                                 .detail = why,
                                 .hint = "Nothing of it was kept. Run the transaction again; the session goes on."});
  }

  // One error for each sequence that waits for an answer, as if the server had given it.
  bool told = server.skipping_ || ended || server.sequence_ == ServerSession::Sequence::kFailed, any = false;
  const auto tell = [&] {
    if (!std::exchange(told, true)) to_client.own() += error;
    any = true;
  };
  const auto ready = [&] {
    told = false;
    told_status_ = over ? 'I' : 'E';
    wire::ready_for_query(to_client.own(), told_status_);
  };
  for (std::size_t i = 0; i < server.requests_.size(); ++i) {
    const auto& request = server.requests_.at(i);
    if (request.hidden) continue;
    if (request.kind == RequestKind::kCopyEnd || request.kind == RequestKind::kLocal) continue;
    tell();
    if (request.kind == RequestKind::kQuery || request.kind == RequestKind::kFunctionCall ||
        request.kind == RequestKind::kSync) {
      ready();
    }
  }
  for (std::size_t i = server.requests_.size(); i > 0; --i) server.undo(server.requests_.at(i - 1), this, i == 1);

  begin_.clear();
  begin_failed_ = false;
  if (!over) {
    begin_ = "BEGIN";  // which has failed, or will, as soon as the client asks for something
    begin_failed_ = any || told_status_ == 'E';
  }
  if (ended && told) {
    told_status_ = 'I';  // what follows in this sequence is a transaction of its own
  } else if (told) {
    rejecting_ = Rejecting::kUntilSync;
  } else if (server.sync_pending_ || (!begin_.empty() && !begin_failed_)) {
    lost_untold_ = true;
    reject(std::move(error));
  }
  body_forward_ = false;
  after_execute_.clear();
  execute_discards_ = false;
  held_ = waits_ = wait_for_quiet_ = execute_sets_ = execute_runs_ = may_have_ended_ = settled_since_attached_ = false;
  return true;
}

// The text that a message is about, where it is all here.
std::string_view ClientSession::text_of(char type, std::string_view available, std::size_t whole_size) const {
  if (available.size() < whole_size) return {};
  wire::Reader reader(available.substr(wire::kHeaderSize, whole_size - wire::kHeaderSize));
  if (type == 'Q') return reader.cstring();
  if (type != 'P' && type != 'B') return {};
  reader.cstring();  // the statement's name of a Parse, the portal's of a Bind
  const auto second = reader.cstring();
  if (type == 'P') return second;
  const StatementPtr bound = statement_of(second);  // lives on in its place
  return bound ? bound->text() : std::string_view();
}

// The first message after a loss that nobody was told of. An end of the transaction is one: COMMIT has failed, and
// ROLLBACK is done. False: it is an ordinary message, in a transaction that has failed.
bool ClientSession::ends_lost(Step& step, char type, std::string_view available, std::size_t whole_size,
                              std::size_t& used) {
  const auto kind = transaction_text(text_of(type, available, whole_size));
  const bool commits = kind == TransactionText::kCommit;
  if (!commits && kind != TransactionText::kRollback) {
    reject_next(step, type);
  } else if (!commits && type != 'Q') {
    begin_failed_ = true;  // then a ROLLBACK is what works
    error_.clear();
    rejecting_ = Rejecting::kNo;
    return false;
  } else {
    if (commits) {
      step.to_client.own() += error_;
    } else {
      wire::MessageWriter(step.to_client.own(), 'C').cstring("ROLLBACK");
    }
    error_.clear();
    begin_.clear();
    begin_failed_ = false;
    rejecting_ = type == 'Q' ? Rejecting::kNo : Rejecting::kUntilSync;
    if (type == 'Q') say_ready(step.to_client);
  }
  pass(nullptr, available, whole_size, used);
  return true;
}

}  // namespace dbproxy::session::postgres
