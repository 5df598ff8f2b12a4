#include "proxy/wire/mysql/messages.hpp"

#include <algorithm>

#include "proxy/wire/mysql/reader.hpp"

namespace dbproxy::wire::mysql {

PacketWriter::PacketWriter(std::string& out, std::uint8_t sequence)
    : out_(out), begin_(out.size()), sequence_(sequence) {
  out_.append(kHeaderSize, '\0');
}

PacketWriter& PacketWriter::u8(std::uint8_t v) {
  out_ += static_cast<char>(v);
  return *this;
}

PacketWriter& PacketWriter::u16(std::uint16_t v) {
  char bytes[2];
  store_u16(bytes, v);
  out_.append(bytes, 2);
  return *this;
}

PacketWriter& PacketWriter::u24(std::uint32_t v) {
  char bytes[3];
  store_u24(bytes, v);
  out_.append(bytes, 3);
  return *this;
}

PacketWriter& PacketWriter::u32(std::uint32_t v) {
  char bytes[4];
  store_u32(bytes, v);
  out_.append(bytes, 4);
  return *this;
}

PacketWriter& PacketWriter::u64(std::uint64_t v) {
  return u32(static_cast<std::uint32_t>(v)).u32(static_cast<std::uint32_t>(v >> 32));
}

PacketWriter& PacketWriter::zeros(std::size_t count) {
  out_.append(count, '\0');
  return *this;
}

PacketWriter& PacketWriter::bytes(std::string_view v) {
  out_ += v;
  return *this;
}

PacketWriter& PacketWriter::cstring(std::string_view v) {
  out_ += v.substr(0, v.find('\0'));
  out_ += '\0';
  return *this;
}

PacketWriter& PacketWriter::lenenc(std::uint64_t v) {
  append_lenenc(out_, v);
  return *this;
}

PacketWriter& PacketWriter::lenenc_bytes(std::string_view v) {
  append_lenenc_bytes(out_, v);
  return *this;
}

std::uint8_t PacketWriter::finish() {
  if (finished_) return sequence_;
  finished_ = true;
  std::size_t left = out_.size() - begin_ - kHeaderSize;
  std::size_t at = begin_;
  for (;;) {
    const std::size_t length = std::min<std::size_t>(left, kMaxFragment);
    store_u24(out_.data() + at, static_cast<std::uint32_t>(length));
    out_[at + 3] = static_cast<char>(sequence_++);
    left -= length;
    if (length < kMaxFragment) return sequence_;
    at += kHeaderSize + length;
    out_.insert(at, kHeaderSize, '\0');
  }
}

void append_lenenc(std::string& out, std::uint64_t v) {
  int size = 0;
  if (v < 0xfb) {
    out += static_cast<char>(v);
    return;
  }
  if (v <= 0xffff) {
    out += '\xfc';
    size = 2;
  } else if (v <= 0xffffff) {
    out += '\xfd';
    size = 3;
  } else {
    out += '\xfe';
    size = 8;
  }
  for (int i = 0; i < size; ++i) out += static_cast<char>(v >> (8 * i));
}

void append_lenenc_bytes(std::string& out, std::string_view v) {
  append_lenenc(out, v.size());
  out += v;
}

std::uint8_t packet(std::string& out, std::uint8_t sequence, std::string_view payload) {
  return PacketWriter(out, sequence).bytes(payload).finish();
}

void command(std::string& out, Command command, std::string_view argument) {
  PacketWriter(out, 0).u8(static_cast<std::uint8_t>(command)).bytes(argument);
}

std::uint8_t ok(std::string& out, std::uint8_t sequence, std::uint32_t capabilities, const Ok& ok,
                std::uint8_t header) {
  const bool tracks = capabilities & client::kSessionTrack;
  const bool state = tracks && !ok.state.empty();
  const std::uint16_t status =
      static_cast<std::uint16_t>((ok.status & ~status::kStateChanged) | (state ? status::kStateChanged : 0));
  PacketWriter writer(out, sequence);
  writer.u8(header).lenenc(ok.affected_rows).lenenc(ok.last_insert_id).u16(status).u16(ok.warnings);
  if (state || !ok.info.empty()) {
    writer.lenenc_bytes(ok.info);
    if (state) writer.lenenc_bytes(ok.state);
  }
  return writer.finish();
}

std::uint8_t eof(std::string& out, std::uint8_t sequence, std::uint16_t warnings, std::uint16_t status) {
  return PacketWriter(out, sequence).u8(kEofHeader).u16(warnings).u16(status).finish();
}

std::uint8_t error_packet(std::string& out, std::uint8_t sequence, const Error& error) {
  PacketWriter writer(out, sequence);
  writer.u8(kErrorHeader).u16(error.code).u8('#');
  writer.bytes(error.sqlstate.size() == 5 ? error.sqlstate : std::string_view("HY000")).bytes(error.message);
  return writer.finish();
}

bool read_ok(std::string_view payload, std::uint32_t capabilities, Ok& ok) {
  ok = Ok{};
  Reader reader(payload);
  const std::uint8_t header = reader.u8();
  ok.affected_rows = reader.lenenc();
  ok.last_insert_id = reader.lenenc();
  ok.status = reader.u16();
  ok.warnings = reader.u16();
  // Servers write its length whatever the manual says of clients without kSessionTrack, and leave an empty text out
  // where nothing follows it.
  if (!reader.rest().empty()) ok.info = reader.lenenc_bytes();
  if ((capabilities & client::kSessionTrack) && (ok.status & status::kStateChanged)) ok.state = reader.lenenc_bytes();
  return reader.ok() && (header == kOkHeader || header == kEofHeader);
}

bool read_eof(std::string_view payload, std::uint16_t& warnings, std::uint16_t& status) {
  Reader reader(payload);
  const std::uint8_t header = reader.u8();
  warnings = reader.u16();
  status = reader.u16();
  return reader.ok() && header == kEofHeader;
}

bool read_error(std::string_view payload, Error& error) {
  error = Error{};
  Reader reader(payload);
  const std::uint8_t header = reader.u8();
  error.code = reader.u16();
  if (!reader.ok() || header != kErrorHeader) return false;
  if (!reader.rest().empty() && reader.rest()[0] == '#') {
    reader.u8();
    error.sqlstate = reader.bytes(5);
  }
  error.message = reader.rest();
  return reader.ok();
}

bool read_column(std::string_view payload, Column& column) {
  Reader reader(payload);
  for (int i = 0; i < 6; ++i) reader.lenenc_bytes();  // catalog, schema, table and column, two of them twice
  Reader fixed(reader.lenenc_bytes());
  fixed.u16();  // collation
  fixed.u32();  // length
  column.type = fixed.u8();
  column.flags = fixed.u16();
  return reader.ok() && fixed.ok();
}

bool StateReader::next(StateChange& change) {
  while (!failed_) {
    if (!variables_.empty()) {
      Reader reader(variables_);
      change.type = StateType::kSystemVariable;
      change.name = reader.lenenc_bytes();
      change.value = reader.lenenc_bytes();
      variables_ = reader.rest();
      failed_ = !reader.ok();
      return reader.ok();
    }
    if (rest_.empty()) return false;
    Reader entry(rest_);
    const std::uint8_t type = entry.u8();
    const std::string_view data = entry.lenenc_bytes();
    rest_ = entry.rest();
    failed_ = !entry.ok();
    if (failed_ || type > static_cast<std::uint8_t>(StateType::kTransactionState)) continue;
    change.type = static_cast<StateType>(type);
    change.name = {};
    if (change.type == StateType::kSystemVariable) {
      variables_ = data;
      continue;
    }
    Reader reader(data);
    if (change.type == StateType::kGtids) reader.u8();  // how they are written: there is one way
    // Of this one the value is all that there is: seen of MySQL 8.0 and MariaDB 10.11.
    change.value = change.type == StateType::kStateChange ? data : reader.lenenc_bytes();
    failed_ = !reader.ok();
    return reader.ok();
  }
  return false;
}

void append_state(std::string& state, const StateChange& change) {
  std::string data;
  if (change.type == StateType::kSystemVariable) append_lenenc_bytes(data, change.name);
  if (change.type == StateType::kGtids) data += '\0';
  if (change.type == StateType::kStateChange) {
    data += change.value;
  } else {
    append_lenenc_bytes(data, change.value);
  }
  state += static_cast<char>(change.type);
  append_lenenc_bytes(state, data);
}

}  // namespace dbproxy::wire::mysql
