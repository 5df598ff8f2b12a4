// What a client holds of a server connection by names that its texts tell: temporary tables, locks of GET_LOCK, an XA
// transaction. Once all of a kind are given back by texts that are as plain as those that took them, its pin ends.
//
// Nothing is guessed: after a text that cannot be read so, that kind stays until the session is reset. Source: MySQL
// 8.0 Reference Manual, "DROP TABLE", "Locking Functions" (a lock is held as often as it was taken), "XA States".
// Pure, one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/session/mysql/classify.hpp"

namespace dbproxy::session::mysql {

class Holdings {
 public:
  // A text that is sent now; `pins`: of the client, with those of this text. `schema`: where its names are looked up.
  void sent(std::string_view text, const LexOptions& lex, const Verdict& verdict, std::uint32_t pins,
            std::string_view schema);
  struct Ended {
    std::uint32_t pins = 0;  // that end with it
    bool dropped = false;    // a temporary table: that is the change of state which the server told of
  };
  // It is answered.
  Ended done(bool failed, bool syntax_error);
  void reset() { *this = {}; }

 private:
  struct Names {
    std::vector<std::string> held;  // one entry for each time
    bool unsure = false;            // and others
    void take(std::string name);
    bool give(const std::vector<std::string>& names);  // any of them
    bool none() const { return held.empty() && !unsure; }
  };
  struct Request {
    std::string table, lock;  // taken
    std::vector<std::string> dropped, released;
    bool releases_all = false, ends_xa = false;
  };

  Names tables_, locks_;
  Request request_;
  bool looked_at_ = false;  // the text that was sent
};

}  // namespace dbproxy::session::mysql
