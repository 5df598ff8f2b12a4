// What may not follow a replay of settings until the server has answered it.
//
// A client's settings go to the server in the same write as its first request (ServerSession::replay). If they fail
// there, that request must not run with other settings. So they go as one transaction block, which an error leaves
// open and failed: the server then refuses all that follows, except for what ends the block. Only that has to wait.
#pragma once

#include <string_view>

#include "proxy/session/postgres/tokenizer.hpp"

namespace dbproxy::session::postgres {

// Whether there may be a COMMIT, END, ABORT, ROLLBACK or PREPARE TRANSACTION in it. Says yes too often: that costs a
// round trip, and only behind a replay.
inline bool may_end_transaction(std::string_view text) {
  if (text.size() > 64 * 1024) return true;
  for (auto word : {"commit", "rollback", "end", "abort", "prepare"}) {
    if (contains_folded(text, word)) return true;
  }
  return false;
}

}  // namespace dbproxy::session::postgres
