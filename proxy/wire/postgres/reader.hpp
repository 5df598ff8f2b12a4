// Reader: takes fields off the body of one message; sticky failure, checked once at the end.
#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/wire/postgres/frame.hpp"

namespace dbproxy::wire::postgres {

// Views point into the bytes given; they live as long as those do.
class Reader {
 public:
  explicit Reader(std::string_view body) : rest_(body) {}

  std::uint8_t u8() { return take(1) ? static_cast<std::uint8_t>(taken_[0]) : 0; }
  std::uint16_t u16() { return take(2) ? load_u16(taken_.data()) : 0; }
  std::uint32_t u32() { return take(4) ? load_u32(taken_.data()) : 0; }
  std::string_view bytes(std::size_t count) { return take(count) ? taken_ : std::string_view{}; }

  // Up to the next zero byte, which is consumed but not returned.
  std::string_view cstring() {
    auto end = rest_.find('\0');
    if (failed_ || end == std::string_view::npos) {
      failed_ = true;
      return {};
    }
    auto text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }

  std::string_view rest() const { return rest_; }
  bool ok() const { return !failed_; }

 private:
  bool take(std::size_t count) {
    if (failed_ || rest_.size() < count) {
      failed_ = true;
      return false;
    }
    taken_ = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return true;
  }

  std::string_view rest_;
  std::string_view taken_;
  bool failed_ = false;
};

}  // namespace dbproxy::wire::postgres
