// ResultScanner: what each packet of a server's answer is, and when the answer is whole.
//
// It is shown the beginning of each fragment and looks into none but those that end or begin something: rows and
// column definitions pass by their header and first byte. One object is one request's answer; any thread.
// (MySQL internals manual: "COM_QUERY Response", "ProtocolText::Resultset", "COM_STMT_PREPARE Response".)
#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/wire/mysql/constants.hpp"
#include "proxy/wire/mysql/packet.hpp"

namespace dbproxy::wire::mysql {

// What the answer to a request looks like.
enum class Answer : std::uint8_t {
  kNone,     // there is none: COM_STMT_CLOSE, COM_STMT_SEND_LONG_DATA, COM_QUIT
  kOk,       // OK, EOF or ERR
  kResults,  // any number of results: COM_QUERY, COM_STMT_EXECUTE, COM_PROCESS_INFO
  kPrepare,  // COM_STMT_PREPARE
  kFields,   // column definitions and their end: COM_FIELD_LIST
  kRows,     // rows and their end: COM_STMT_FETCH
  kText,     // one packet that is only text, or ERR: COM_STATISTICS
};

enum class PacketKind : std::uint8_t {
  kContinued,    // a further fragment of the packet before it
  kOk,           // the end of a statement without rows
  kError,        // the end of everything
  kColumnCount,  // a result set begins
  kColumn,       // its definition, or that of a parameter
  kColumnsEnd,   // EOF behind them; only without kDeprecateEof
  kRow,
  kRowsEnd,      // EOF, or OK with its header
  kLocalInfile,  // the client is to send a file
  kPrepareOk,
  kText,
  kBroken,  // not what the protocol allows here
};

class ResultScanner {
 public:
  // `capabilities`: what was agreed on with the server.
  ResultScanner() = default;
  ResultScanner(Answer answer, std::uint32_t capabilities);

  // What the fragment at hand will turn out to be; `payload` has all of it that is there, and its first byte unless
  // it is empty. Changes nothing.
  PacketKind peek(const Frame& frame, std::string_view payload) const;
  // Whether take() needs the whole payload of such a packet.
  static bool needs_whole(PacketKind kind) {
    return kind == PacketKind::kOk || kind == PacketKind::kColumnCount || kind == PacketKind::kColumnsEnd ||
           kind == PacketKind::kRowsEnd || kind == PacketKind::kPrepareOk || kind == PacketKind::kError;
  }
  // The fragment goes by. Returns its kind, or kBroken.
  PacketKind take(const Frame& frame, std::string_view payload);

  // The answer is whole.
  bool done() const { return state_ == State::kDone && !continued_; }
  // Between two packets, where an ERR may come that ends it.
  bool takes_error() const { return (state_ == State::kFirst || state_ == State::kRows) && !continued_; }
  // The client's file is on its way: file_sent() once its empty packet has gone to the server.
  bool wants_file() const { return state_ == State::kFile; }
  void file_sent() {
    if (state_ == State::kFile) state_ = State::kFirst;
  }
  // Columns still to come of the result set, or of what is being prepared.
  std::uint64_t columns_left() const { return left_; }
  // Definitions that follow the parameters' of a prepared statement.
  std::uint16_t status() const { return status_; }

 private:
  enum class State : std::uint8_t {
    kFirst,       // of a result
    kColumns,     // of a result set
    kColumnsEnd,  // EOF
    kRows,
    kParameters,     // of a prepared statement
    kParametersEnd,  // EOF
    kPrepareColumns,
    kPrepareColumnsEnd,  // EOF
    kFields,
    kFile,
    kDone,
  };
  bool deprecate_eof() const { return capabilities_ & client::kDeprecateEof; }
  PacketKind first(const Frame& frame, std::string_view payload) const;
  bool read_status(PacketKind kind, std::string_view payload);
  void after_parameters();

  Answer answer_ = Answer::kNone;
  State state_ = State::kDone;
  bool continued_ = false;
  std::uint32_t capabilities_ = 0;
  std::uint64_t left_ = 0;
  std::uint16_t columns_ = 0;  // kPrepare: behind the parameters
  std::uint16_t status_ = 0;
};

}  // namespace dbproxy::wire::mysql
