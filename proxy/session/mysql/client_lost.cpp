// The part of ClientSession that goes on when the server connection is lost under it.
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

}  // namespace

bool ClientSession::server_lost(ServerSession& server, std::string_view why, std::string_view last_words,
                                Output& to_client) {
  // What waits for its answer; a step ahead of it is nothing to the client.
  const bool asked = server.asked_ && !server.hidden();
  error_sequence_ = asked ? static_cast<std::uint8_t>(server.last_sequence_ + 1) : std::uint8_t{1};
  if ((asked ? pins_before_ : pins_) != 0 || !is_the_servers(last_words)) return false;
  if (server.in_transaction() || server.tables_locked_ || !server.characteristics_.empty()) return false;
  // A client in the middle of an answer, or of sending a file, could not tell what follows.
  if (asked && (server.last_sequence_ != 0 || server.file_sequence_ != 0)) return false;
  pins_ = asked ? pins_before_ : pins_;
  if (pins_ == 0) pin_statement_.clear();
  if (asked) {
    const std::string message = "Lost connection to the database before it answered: " + std::string(why) +
                                ". Whether this was carried out is not known; the session goes on";
    wire::error_packet(to_client.own(), 1, {wire::error::kServerLost, "08S01", message});
    row_count_ = -1;
    executing_ = 0;
  }
  hold_ = calc_found_rows_ = in_step_ = step_error_is_answer_ = false;
  kept_.clear();
  return true;
}

}  // namespace dbproxy::session::mysql
