#include "proxy/wire/mysql/result_scanner.hpp"

#include "proxy/wire/mysql/messages.hpp"
#include "proxy/wire/mysql/reader.hpp"

namespace dbproxy::wire::mysql {
namespace {

// MySQL allows 4,096 columns; what a statement has of parameters fits into 16 bits.
constexpr std::uint64_t kMaxColumns = 65535;
// An OK of nothing: header, rows, id, status, warnings.
constexpr std::uint32_t kOkSize = 7;

std::uint8_t first_byte(std::string_view payload) {
  return payload.empty() ? 0 : static_cast<std::uint8_t>(payload[0]);
}

}  // namespace

ResultScanner::ResultScanner(Answer answer, std::uint32_t capabilities) : answer_(answer), capabilities_(capabilities) {
  switch (answer) {
    case Answer::kNone:
      state_ = State::kDone;
      break;
    case Answer::kFields:
      state_ = State::kFields;
      break;
    case Answer::kRows:
      state_ = State::kRows;
      break;
    default:
      state_ = State::kFirst;
      break;
  }
}

PacketKind ResultScanner::first(const Frame& frame, std::string_view payload) const {
  if (frame.length == 0) return answer_ == Answer::kText ? PacketKind::kText : PacketKind::kBroken;
  const std::uint8_t byte = first_byte(payload);
  if (byte == kErrorHeader) return PacketKind::kError;
  switch (answer_) {
    case Answer::kText:
      return PacketKind::kText;
    case Answer::kPrepare:
      // MySQL 8.0.15 answers some that it refuses (SET GLOBAL without the privilege) with an OK of no statement.
      if (byte == kOkHeader && frame.length == kOkSize) return PacketKind::kText;
      // With a state, where its status would be the upper half of a statement's number.
      if (byte == kOkHeader && payload.size() > kOkSize && payload[1] == 0 && payload[2] == 0 &&
          (load_u16(payload.data() + 3) & status::kStateChanged))
        return PacketKind::kOk;
      return byte == kOkHeader ? PacketKind::kPrepareOk : PacketKind::kBroken;
    case Answer::kOk:
      return byte == kOkHeader || byte == kEofHeader ? PacketKind::kOk : PacketKind::kBroken;
    case Answer::kResults:
      if (byte == kOkHeader) return PacketKind::kOk;
      if (byte == kLocalInfileHeader) return PacketKind::kLocalInfile;
      // COM_STMT_EXECUTE with nothing to give: some servers end it as they end rows.
      if (ends_rows(byte, frame.length, capabilities_)) return PacketKind::kOk;
      return PacketKind::kColumnCount;
    default:
      return PacketKind::kBroken;
  }
}

PacketKind ResultScanner::peek(const Frame& frame, std::string_view payload) const {
  if (continued_) return PacketKind::kContinued;
  const std::uint8_t byte = first_byte(payload);
  const bool error = frame.length >= 3 && byte == kErrorHeader;
  const bool end = ends_rows(byte, frame.length, capabilities_) && frame.length > 0;
  switch (state_) {
    case State::kFirst:
      return first(frame, payload);
    case State::kColumns:
    case State::kParameters:
    case State::kPrepareColumns:
      return error ? PacketKind::kError : PacketKind::kColumn;
    case State::kColumnsEnd:
    case State::kParametersEnd:
    case State::kPrepareColumnsEnd:
      return error ? PacketKind::kError : end ? PacketKind::kColumnsEnd : PacketKind::kBroken;
    case State::kRows:
      return error ? PacketKind::kError : end ? PacketKind::kRowsEnd : PacketKind::kRow;
    case State::kFields:
      return error ? PacketKind::kError : end ? PacketKind::kRowsEnd : PacketKind::kColumn;
    case State::kFile:
      return error ? PacketKind::kError : PacketKind::kBroken;
    case State::kDone:
      return PacketKind::kBroken;
  }
  return PacketKind::kBroken;
}

bool ResultScanner::read_status(PacketKind kind, std::string_view payload) {
  std::uint16_t warnings = 0;
  const bool eof_form = first_byte(payload) == kEofHeader && !deprecate_eof();
  if (eof_form || kind == PacketKind::kColumnsEnd) return read_eof(payload, warnings, status_);
  Ok ok;
  if (!read_ok(payload, capabilities_, ok)) return false;
  status_ = ok.status;
  return true;
}

void ResultScanner::after_parameters() {
  left_ = columns_;
  columns_ = 0;
  state_ = left_ > 0 ? State::kPrepareColumns : State::kDone;
}

PacketKind ResultScanner::take(const Frame& frame, std::string_view payload) {
  const PacketKind kind = peek(frame, payload);
  continued_ = frame.continued();
  if (needs_whole(kind) && frame.continued()) return PacketKind::kBroken;
  switch (kind) {
    case PacketKind::kError:
    case PacketKind::kText:
      state_ = State::kDone;
      break;
    case PacketKind::kOk:
    case PacketKind::kRowsEnd:
      if (!read_status(kind, payload)) return PacketKind::kBroken;
      state_ = answer_ == Answer::kResults && (status_ & status::kMoreResults) ? State::kFirst : State::kDone;
      break;
    case PacketKind::kLocalInfile:
      state_ = State::kFile;
      break;
    case PacketKind::kColumnCount: {
      Reader reader(payload);
      left_ = reader.lenenc();
      if (!reader.ok() || left_ == 0 || left_ > kMaxColumns) return PacketKind::kBroken;
      state_ = State::kColumns;
      break;
    }
    case PacketKind::kPrepareOk: {
      Reader reader(payload);
      reader.bytes(5);  // header, the statement's number
      columns_ = reader.u16();
      left_ = reader.u16();
      if (!reader.ok()) return PacketKind::kBroken;
      if (left_ > 0)
        state_ = State::kParameters;
      else
        after_parameters();
      break;
    }
    case PacketKind::kColumn:
      if (state_ == State::kFields || --left_ > 0) break;
      if (state_ == State::kColumns)
        state_ = deprecate_eof() ? State::kRows : State::kColumnsEnd;
      else if (state_ == State::kPrepareColumns)
        state_ = deprecate_eof() ? State::kDone : State::kPrepareColumnsEnd;
      else if (deprecate_eof())
        after_parameters();
      else
        state_ = State::kParametersEnd;
      break;
    case PacketKind::kColumnsEnd:
      if (!read_status(kind, payload)) return PacketKind::kBroken;
      if (state_ == State::kParametersEnd)
        after_parameters();
      else if (state_ == State::kPrepareColumnsEnd || (status_ & status::kCursorExists))
        state_ = State::kDone;  // of a cursor the rows are fetched
      else
        state_ = State::kRows;
      break;
    case PacketKind::kContinued:
    case PacketKind::kRow:
    case PacketKind::kBroken:
      break;
  }
  return kind;
}

}  // namespace dbproxy::wire::mysql
