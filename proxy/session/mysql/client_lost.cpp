// The part of ClientSession that goes on when the server connection is lost under it: the client is told what became of
// its work, and its session stays, since nothing of it was on that connection that is not known here too.
#include "proxy/session/mysql/client_session.hpp"

namespace dbproxy::session::mysql {

namespace wire = dbproxy::wire::mysql;

namespace {

// Whether the server's last words tell of its own end, or of having waited for too long, and not of this client.
bool is_the_servers(std::string_view last_words) {
  if (last_words.size() <= wire::kHeaderSize) return true;
  wire::Error error;
  return wire::read_error(last_words.substr(wire::kHeaderSize), error) &&
         (error.code == wire::error::kServerShutdown || error.code == wire::error::kIdleTimeout);
}

// What drivers and frameworks run a transaction again for. ER_LOCK_DEADLOCK is the one error of MySQL's that says that
// the whole of it was rolled back.
void rolled_back(std::string& out, std::uint8_t number, std::string_view why) {
  wire::error_packet(out, number,
                     {wire::error::kDeadlock, "40001",
                      "The transaction was rolled back, since the connection to the database was lost: " +
                          std::string(why) + "; try restarting transaction. The session goes on"});
}

}  // namespace

bool ClientSession::server_lost(ServerSession& server, std::string_view why, std::string_view last_words,
                                Output& to_client) {
  // What waits for its answer; a step ahead of it is nothing to the client.
  const bool asked = (server.asked_ || server.cut_off_) && !server.hidden();
  error_sequence_ = asked ? static_cast<std::uint8_t>(server.last_sequence_ + 1) : std::uint8_t{1};
  const std::size_t unread = asked ? unread_before_ : unread_.size();
  if ((asked ? pins_before_ : pins_) != 0 || unread != 0 || !is_the_servers(last_words)) return false;
  const bool open = server.holds_transaction();
  if (server.tables_locked_ || (!open && !server.characteristics_.empty())) return false;
  // A client in the middle of a packet, or of sending a file, could not tell what follows.
  const bool between = server.cut_off_ || (server.scanner_.takes_error() && server.body_left_ == 0);
  if (asked && (!between || server.columns_end_owed_ || server.file_sequence_ != 0)) return false;
  pins_ = asked ? pins_before_ : pins_;
  if (pins_ == 0) pin_statement_.clear();
  if (asked && open && server.only_rows_) {
    rolled_back(to_client.own(), error_sequence_, why);
  } else if (asked) {
    const std::string message = "Lost connection to the database before it answered: " + std::string(why) +
                                ". Whether this was carried out is not known; the session goes on";
    wire::error_packet(to_client.own(), error_sequence_, {wire::error::kServerLost, "08S01", message});
  } else if (open) {
    std::string error;
    rolled_back(error, 1, why);
    reject(std::move(error));
    lost_untold_ = true;
  }
  if (asked) {
    row_count_ = -1;
    executing_ = 0;
  }
  status_ &= static_cast<std::uint16_t>(~wire::status::kInTransaction);
  hold_ = calc_found_rows_ = in_step_ = step_error_is_answer_ = false;
  insert_id_doubt_ = false;  // nobody can say any more
  unread_.clear();
  unput_.clear();
  kept_.clear();
  return true;
}

// ROLLBACK is done; to everything else, COMMIT as well, the answer is that there is no transaction any more.
bool ClientSession::ends_lost(Step& step, std::string_view text) {
  if (!lost_untold_) return false;
  Tokenizer tokens(text, settings_->lex());
  if (!tokens.next().is_word("rollback")) return false;
  Token token = tokens.next();
  if (token.is_word("work")) token = tokens.next();
  if (token.is(';')) token = tokens.next();
  if (token.kind != TokenKind::kEnd) return false;  // to a savepoint, which is gone as well
  forget_lost();
  local_ok(step);
  row_count_ = 0;
  row_count_here_ = true;
  return true;
}

void ClientSession::forget_lost() {
  if (!std::exchange(lost_untold_, false)) return;
  rejecting_ = false;
  error_.clear();
}

}  // namespace dbproxy::session::mysql
