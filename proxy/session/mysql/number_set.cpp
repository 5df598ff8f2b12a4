#include "proxy/session/mysql/number_set.hpp"

#include <bit>
#include <cmath>

#include "proxy/wire/mysql/reader.hpp"

namespace dbproxy::session::mysql {

namespace wire = dbproxy::wire::mysql;

namespace {

// Types of parameters, MySQL's numbers of them.
enum Type : std::uint8_t {
  kTiny = 0x01,
  kShort = 0x02,
  kLong = 0x03,
  kFloat = 0x04,
  kDouble = 0x05,
  kNull = 0x06,
  kTimestamp = 0x07,
  kLongLong = 0x08,
  kInt24 = 0x09,
  kDate = 0x0a,
  kTime = 0x0b,
  kDatetime = 0x0c,
  kYear = 0x0d,
};

void add_real(NumberSet& numbers, double value) {
  if (value >= 0.5 && value < 1.8e19) numbers.add(static_cast<std::uint64_t>(std::llround(std::fmin(value, 9e18))));
}

// False: not a type that is known here.
bool add_value(NumberSet& numbers, wire::Reader& reader, std::uint8_t type) {
  switch (type) {
    case kNull:
      return true;
    case kTiny:
      numbers.add(reader.u8());
      return true;
    case kShort:
    case kYear:
      numbers.add(reader.u16());
      return true;
    case kLong:
    case kInt24:
      numbers.add(reader.u32());
      return true;
    case kLongLong:
      numbers.add(reader.u64());
      return true;
    case kFloat:
      add_real(numbers, std::bit_cast<float>(reader.u32()));
      return true;
    case kDouble:
      add_real(numbers, std::bit_cast<double>(reader.u64()));
      return true;
    case kTimestamp:
    case kDate:
    case kTime:
    case kDatetime:
      reader.bytes(reader.u8());
      return true;
    default:
      if (type != 0 && type < 0x0f) return false;
      numbers.add_text(reader.lenenc_bytes());
      return true;
  }
}

}  // namespace

void NumberSet::add_text(std::string_view text) {
  std::uint64_t number = 0;
  bool digits = false;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      number = number * 10 + static_cast<std::uint64_t>(c - '0');
      digits = true;
    } else if (digits && (c == 'e' || c == 'E' || c == '.')) {
      return add_all();
    } else if (digits || (c != ' ' && c != '+' && c != '\t' && c != '\n')) {
      break;
    }
  }
  if (digits) add(number);
}

NumberSet numbers_of(std::string_view payload, const wire::Execute& execute, std::string_view types) {
  NumberSet numbers;
  if (execute.bound_at == 0) return numbers;
  const std::size_t nulls_size = (execute.parameters + 7) / 8;
  const std::string_view nulls = payload.substr(execute.bound_at - nulls_size, nulls_size);
  wire::Reader reader(payload.substr(execute.bound_at + 1 + (execute.types_sent ? execute.types_size : 0)));
  if (types.size() != 2 * execute.parameters) {  // with attributes' names between them
    numbers.add_all();
    return numbers;
  }
  for (std::size_t i = 0; i < execute.parameters; ++i) {
    if ((static_cast<std::uint8_t>(nulls[i / 8]) >> (i % 8)) & 1) continue;
    if (!add_value(numbers, reader, static_cast<std::uint8_t>(types[2 * i])) || !reader.ok()) {
      numbers.add_all();
      return numbers;
    }
  }
  return numbers;
}

}  // namespace dbproxy::session::mysql
