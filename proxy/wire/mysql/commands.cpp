#include "proxy/wire/mysql/commands.hpp"

#include "proxy/wire/mysql/messages.hpp"
#include "proxy/wire/mysql/reader.hpp"

namespace dbproxy::wire::mysql {
namespace {

constexpr std::uint8_t kParameterCountAvailable = 8;

// The value of a parameter in the binary protocol, by its type.
bool skip_value(Reader& reader, std::uint8_t type) {
  switch (type) {
    case 0x06:  // NULL
      return true;
    case 0x01:  // TINY
      reader.u8();
      break;
    case 0x02:  // SHORT
    case 0x0d:  // YEAR
      reader.u16();
      break;
    case 0x03:  // LONG
    case 0x04:  // FLOAT
    case 0x09:  // INT24
      reader.u32();
      break;
    case 0x05:  // DOUBLE
    case 0x08:  // LONGLONG
      reader.u64();
      break;
    case 0x07:  // TIMESTAMP
    case 0x0a:  // DATE
    case 0x0b:  // TIME
    case 0x0c:  // DATETIME
      reader.bytes(reader.u8());
      break;
    default:
      reader.lenenc_bytes();
      break;
  }
  return reader.ok();
}

}  // namespace

bool query_text(std::string_view payload, std::uint32_t capabilities, std::string_view& text) {
  text = {};
  Reader reader(payload);
  reader.u8();
  if (!reader.ok()) return false;
  if (!(capabilities & client::kQueryAttributes)) {
    text = reader.rest();
    return true;
  }
  const std::uint64_t count = reader.lenenc();
  reader.lenenc();  // sets of them: always one
  if (!reader.ok() || count > kMaxParameters) return false;
  if (count > 0) {
    const std::string_view nulls = reader.bytes((count + 7) / 8);
    if (reader.u8() != 1) return false;
    Reader types(reader.rest());
    for (std::uint64_t i = 0; i < count; ++i) {
      reader.u16();
      reader.lenenc_bytes();
    }
    for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
      const std::uint16_t type = types.u16();
      types.lenenc_bytes();
      const bool null = (static_cast<unsigned char>(nulls[i / 8]) >> (i % 8)) & 1;
      if (!null && !skip_value(reader, static_cast<std::uint8_t>(type))) return false;
    }
  }
  text = reader.rest();
  return reader.ok();
}

void query(std::string& out, std::uint32_t capabilities, std::string_view sql) {
  PacketWriter writer(out, 0);
  writer.u8(static_cast<std::uint8_t>(Command::kQuery));
  if (capabilities & client::kQueryAttributes) writer.lenenc(0).lenenc(1);
  writer.bytes(sql);
}

bool read_execute(std::string_view payload, std::uint32_t capabilities, std::uint16_t parameters, Execute& execute) {
  execute = Execute{};
  Reader reader(payload);
  reader.u8();
  execute.statement = reader.u32();
  execute.flags = reader.u8();
  reader.u32();  // how often: always once
  execute.parameters = parameters;
  const bool attributes = capabilities & client::kQueryAttributes;
  if (!reader.ok()) return false;
  if (parameters == 0 && !(attributes && (execute.flags & kParameterCountAvailable))) return true;
  // With a count the client says how many there are; it must not be fewer than the statement has.
  if (attributes) execute.parameters = reader.lenenc();
  if (!reader.ok() || execute.parameters > kMaxParameters || execute.parameters < parameters) return false;
  if (execute.parameters == 0) return true;
  reader.bytes((execute.parameters + 7) / 8);
  execute.bound_at = payload.size() - reader.rest().size();
  execute.types_sent = reader.u8() == 1;
  if (execute.types_sent) {
    const std::size_t before = reader.rest().size();
    for (std::uint64_t i = 0; i < execute.parameters && reader.ok(); ++i) {
      reader.u16();
      if (attributes) reader.lenenc_bytes();
    }
    execute.types_size = before - reader.rest().size();
  }
  return reader.ok();
}

bool read_prepared(std::string_view payload, Prepared& prepared) {
  prepared = Prepared{};
  Reader reader(payload);
  const std::uint8_t header = reader.u8();
  prepared.statement = reader.u32();
  prepared.columns = reader.u16();
  prepared.parameters = reader.u16();
  reader.u8();
  if (reader.rest().size() >= 2) prepared.warnings = reader.u16();
  return reader.ok() && header == kOkHeader;
}

}  // namespace dbproxy::wire::mysql
