// Statement: the text of a prepared statement and where it is read, shared by all clients that use it.
//
// Interned per worker, so that a server connection prepares the same text once for all clients whose settings read it
// the same way. It is read under the settings that were there when its client prepared it, also where it is prepared
// again later. One thread. The cache must outlive its statements.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "proxy/session/mysql/classify.hpp"
#include "proxy/session/mysql/settings.hpp"

namespace dbproxy::session::mysql {

struct Statement {
  Statement(std::string_view sql, SettingsPtr prepared_under, const ClassifyOptions& options)
      : text(sql), settings(std::move(prepared_under)), lex(options.lex), verdict(classify(text, options)) {}
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  const std::string text;
  const SettingsPtr settings;  // of which Settings::reading() counts
  const LexOptions lex;
  const Verdict verdict;  // its views point into `text`
};
using StatementPtr = std::shared_ptr<const Statement>;

class StatementCache {
 public:
  StatementPtr intern(std::string_view text, const SettingsPtr& settings, const ClassifyOptions& options);
  std::size_t size() const { return known_.size(); }

 private:
  std::unordered_map<std::string, std::weak_ptr<const Statement>> known_;
  std::size_t sweep_at_ = 64;
};

// A client's own number for a statement.
struct ClientStatement {
  StatementPtr statement;
  StatementPtr runs;  // whose cursor it is: that, or one with values in its text
  std::uint16_t parameters = 0;
  std::string types;      // as the client sent them last, so that they can be sent for it
  std::string lost_data;  // an ERR packet: its data went nowhere, which its next execution tells
  bool long_data = false;
  bool cursor = false;
};

}  // namespace dbproxy::session::mysql
