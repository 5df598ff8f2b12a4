// Requests: what a server connection has been asked and has not answered yet, in order.
//
// One entry per message that the server answers, and entries for answers that the proxy itself gives when their turn
// comes. An entry remembers what to undo if the server never executes it. A ring: steady work allocates nothing.
// (Protocol: "Message Flow", "Extended Query", "Pipelining".)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/session/postgres/statement.hpp"

namespace dbproxy::session::postgres {

enum class RequestKind : std::uint8_t {
  kQuery,         // ends with ReadyForQuery
  kFunctionCall,  // ends with ReadyForQuery
  kSync,          // ends with ReadyForQuery
  kParse,         // ParseComplete
  kBind,          // BindComplete
  kDescribe,      // RowDescription or NoData
  kExecute,       // CommandComplete, EmptyQueryResponse or PortalSuspended
  kClose,         // CloseComplete
  kCopyEnd,       // CopyDone or CopyFail: no answer of its own
  kLocal,         // answered here: `answer` is the message's type
};

// Names the first column of what the proxy put into a client's text: it is hidden (start_settings.hpp).
inline constexpr const char* kSetsStart = "dbproxy: as at the start";

// What an error at this entry is turned into before the client sees it.
// kKept: it is the answer of the EXECUTE that follows, should that not find its statement.
enum class ErrorText : std::uint8_t { kAsIs, kStatementExists, kNoUnnamedStatement, kDropped, kKept };

struct Request {
  RequestKind kind = RequestKind::kQuery;
  bool hidden = false;             // the client never asked for it: its answer is dropped
  bool replays = false;            // hidden, and the settings of the client whose requests follow
  bool keeps_rows = false;         // hidden, and its rows are for the proxy
  bool settings_expected = false;  // the text was seen to hold a SET, so that the tag tells nothing new
  bool block_expected = false;     // the same of a DO or CALL
  bool ends_block = false;         // the text is a COMMIT or ROLLBACK and nothing else
  bool may_fail = false;           // kQuery, hidden: that it fails changes nothing
  bool sequence_goes_on = false;   // kSync, hidden: after an error before it the client's own Sync is still to come
  bool sets_start = false;         // statements of the proxy's own are in it: see kSetsStart
  char answer = 0;                 // kLocal
  ErrorText error_text = ErrorText::kAsIs;
  StatementPtr statement;          // kParse: what is being prepared; kBind: what is bound
  NamedStatement* slot = nullptr;  // the client's name that this entry changed…
  StatementPtr previous;           // …and what stood there before
};

// Errors of statements that could not be put on the server under the name by which what follows asks for them.
class KeptErrors {
 public:
  void add(std::string_view name, std::string_view response) { errors_.emplace_back(name, response); }
  // What is the answer instead of this error; "": there is none.
  std::string_view answer(std::string_view sqlstate, std::string_view message) const {
    for (const auto& [name, response] : errors_) {
      if (sqlstate == "25P02") return response;
      if (sqlstate == "26000" && message.find('"' + name + '"') != std::string_view::npos) return response;
    }
    return {};
  }
  void clear() { errors_.clear(); }

 private:
  std::vector<std::pair<std::string, std::string>> errors_;
};

class Requests {
 public:
  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  Request& front() { return ring_[head_]; }
  Request& back() { return at(count_ - 1); }
  Request& at(std::size_t index) { return ring_[(head_ + index) & (ring_.size() - 1)]; }
  const Request& front() const { return ring_[head_]; }
  const Request& at(std::size_t index) const { return ring_[(head_ + index) & (ring_.size() - 1)]; }

  Request& push(RequestKind kind) {
    if (count_ == ring_.size()) grow();
    auto& entry = ring_[(head_ + count_) & (ring_.size() - 1)];
    ++count_;
    entry = Request{};
    entry.kind = kind;
    return entry;
  }

  void pop() {
    ring_[head_].statement.reset();
    ring_[head_].previous.reset();
    head_ = (head_ + 1) & (ring_.size() - 1);
    --count_;
  }

  void erase(std::size_t index) {
    for (std::size_t i = index; i + 1 < count_; ++i) at(i) = std::move(at(i + 1));
    back() = Request{};
    --count_;
  }

 private:
  void grow() {
    std::vector<Request> bigger(ring_.size() * 2);
    for (std::size_t i = 0; i < count_; ++i) bigger[i] = std::move(at(i));
    ring_ = std::move(bigger);
    head_ = 0;
  }

  std::vector<Request> ring_ = std::vector<Request>(8);
  std::size_t head_ = 0;
  std::size_t count_ = 0;
};

}  // namespace dbproxy::session::postgres
