// Builders of MySQL packets, and readers of the few that the proxy looks into: OK, ERR, EOF with session tracking.
//
// Every builder appends one whole packet to `out`. Strings are sent as they are; one that the protocol ends with a
// zero byte is cut at its first. (MySQL internals manual: "Generic Response Packets", "Session Tracking".)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/wire/mysql/constants.hpp"
#include "proxy/wire/mysql/packet.hpp"

namespace dbproxy::wire::mysql {

// One packet under construction; length and, where it needs them, further fragments are made by the destructor or by
// finish().
class PacketWriter {
 public:
  PacketWriter(std::string& out, std::uint8_t sequence);
  ~PacketWriter() { finish(); }
  PacketWriter(const PacketWriter&) = delete;
  PacketWriter& operator=(const PacketWriter&) = delete;

  PacketWriter& u8(std::uint8_t v);
  PacketWriter& u16(std::uint16_t v);
  PacketWriter& u24(std::uint32_t v);
  PacketWriter& u32(std::uint32_t v);
  PacketWriter& u64(std::uint64_t v);
  PacketWriter& zeros(std::size_t count);
  PacketWriter& bytes(std::string_view v);
  PacketWriter& cstring(std::string_view v);
  PacketWriter& lenenc(std::uint64_t v);
  PacketWriter& lenenc_bytes(std::string_view v);
  // The sequence number of the packet that follows.
  std::uint8_t finish();

 private:
  std::string& out_;
  std::size_t begin_;
  std::uint8_t sequence_;
  bool finished_ = false;
};

void append_lenenc(std::string& out, std::uint64_t v);
void append_lenenc_bytes(std::string& out, std::string_view v);

// A payload that exists already, as one packet. Returns the sequence number that follows.
std::uint8_t packet(std::string& out, std::uint8_t sequence, std::string_view payload);
// A request: one command byte and what follows it. Its sequence number is 0.
void command(std::string& out, Command command, std::string_view argument = {});

struct Ok {
  std::uint64_t affected_rows = 0;
  std::uint64_t last_insert_id = 0;
  std::uint16_t status = status::kAutocommit;
  std::uint16_t warnings = 0;
  std::string_view info = {};
  std::string_view state = {};  // session tracking: see StateReader
};
// `capabilities`: of the connection that it is for. With `header` kEofHeader it ends a result set where the connection
// has kDeprecateEof. Without kSessionTrack the state is left out, and kStateChanged is cleared; it is set exactly
// where there is a state.
std::uint8_t ok(std::string& out, std::uint8_t sequence, std::uint32_t capabilities, const Ok& ok,
                std::uint8_t header = kOkHeader);
std::uint8_t eof(std::string& out, std::uint8_t sequence, std::uint16_t warnings, std::uint16_t status);

struct Error {
  std::uint16_t code = error::kUnknown;
  std::string_view sqlstate = "HY000";  // five characters
  std::string_view message = {};
};
std::uint8_t error_packet(std::string& out, std::uint8_t sequence, const Error& error);

// Payloads. Views into them. False: truncated or malformed.
bool read_ok(std::string_view payload, std::uint32_t capabilities, Ok& ok);
bool read_eof(std::string_view payload, std::uint16_t& warnings, std::uint16_t& status);
// Before the log-in is over servers leave the SQLSTATE out: then it is HY000 here.
bool read_error(std::string_view payload, Error& error);

// A definition of a column (Protocol::ColumnDefinition41), of which only what its values are is read.
struct Column {
  std::uint8_t type = 0;
  std::uint16_t flags = 0;
};
bool read_column(std::string_view payload, Column& column);

// Whether a payload with this first byte and of this length ends a result set.
inline bool ends_rows(std::uint8_t first, std::size_t length, std::uint32_t capabilities) {
  return first == kEofHeader && length < (capabilities & client::kDeprecateEof ? std::size_t{kMaxFragment} : 9);
}

// Session tracking: Ok::state, entry by entry.
enum class StateType : std::uint8_t {
  kSystemVariable = 0,    // name and value
  kSchema = 1,            // value
  kStateChange = 2,       // value "1"
  kGtids = 3,             // value
  kCharacteristics = 4,   // value: statements that bring the transaction's characteristics back
  kTransactionState = 5,  // value: eight letters
};
struct StateChange {
  StateType type = StateType::kSystemVariable;
  std::string_view name = {};
  std::string_view value = {};
};
class StateReader {
 public:
  explicit StateReader(std::string_view state) : rest_(state) {}
  // False: no more, or malformed. Entries of types that are not known are skipped.
  bool next(StateChange& change);
  bool ok() const { return !failed_; }

 private:
  std::string_view rest_;
  std::string_view variables_;  // MariaDB puts several into one entry
  bool failed_ = false;
};
void append_state(std::string& state, const StateChange& change);

}  // namespace dbproxy::wire::mysql
