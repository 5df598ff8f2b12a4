// Statement: the text of a prepared statement and where it is read, shared by all clients that use it.
//
// Interned per worker, so that a server connection prepares the same text once for all clients whose settings read it
// the same way. One thread. The cache must outlive its statements.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "proxy/session/mysql/classify.hpp"

namespace dbproxy::session::mysql {

struct Statement {
  Statement(std::string_view sql, const ClassifyOptions& options) : text(sql), verdict(classify(text, options)) {}
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  const std::string text;
  const Verdict verdict;  // its views point into `text`
};
using StatementPtr = std::shared_ptr<const Statement>;

class StatementCache {
 public:
  StatementPtr intern(std::string_view text, const std::string& reading, const ClassifyOptions& options);
  std::size_t size() const { return known_.size(); }

 private:
  std::unordered_map<std::string, std::weak_ptr<const Statement>> known_;
  std::size_t sweep_at_ = 64;
};

// A client's own number for a statement.
struct ClientStatement {
  StatementPtr statement;
  std::uint16_t parameters = 0;
  std::string types;  // as the client sent them last, so that they can be sent for it
  bool long_data = false;
  bool cursor = false;
};

}  // namespace dbproxy::session::mysql
