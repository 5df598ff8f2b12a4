// What a client is told of its session, as it has set session_track_…: the server tells the proxy of everything.
//
// Source: MySQL 8.0 Reference Manual, "Server Tracking of Client Session State". MariaDB's variables are the same.
// session_track_gtids is not among them: it is a setting like others, and only who has set it is told.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/session/mysql/tokenizer.hpp"
#include "proxy/wire/mysql/messages.hpp"

namespace dbproxy::session::mysql {

// Whether a system variable, in any letters, is one of those that are the proxy's to set.
bool is_tracking(std::string_view name);

struct Tracking {
  bool schema = true;
  bool state = false;
  bool transaction_state = false;
  bool characteristics = false;
  // Of the session; empty: those that both servers tell by default.
  std::optional<std::vector<std::string>> variables;  // lower case
  bool all_variables = false;

  bool hears_of(const wire::mysql::StateChange& change) const;
};

// `now` after a SET that succeeds. What is no constant is taken for as much as may be asked for.
Tracking after_set(Tracking now, std::string_view sql, const LexOptions& lex);

// The SET without what it says of tracking, which would keep the server from telling of the others. Empty: there are no
// others, or the text is not to be taken apart.
std::string without_tracking(std::string_view sql, const LexOptions& lex);

}  // namespace dbproxy::session::mysql
