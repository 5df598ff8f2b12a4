// Reader: takes fields off the payload of one packet; sticky failure, checked once at the end.
// (MySQL internals manual: "Integer Types", "String Types".)
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/wire/mysql/packet.hpp"

namespace dbproxy::wire::mysql {

// Views point into the bytes given; they live as long as those do. No length is believed beyond what is there.
class Reader {
 public:
  explicit Reader(std::string_view payload) : rest_(payload) {}

  std::uint8_t u8() { return take(1) ? static_cast<std::uint8_t>(taken_[0]) : 0; }
  std::uint16_t u16() { return take(2) ? load_u16(taken_.data()) : 0; }
  std::uint32_t u24() { return take(3) ? load_u24(taken_.data()) : 0; }
  std::uint32_t u32() { return take(4) ? load_u32(taken_.data()) : 0; }
  std::uint64_t u64() { return take(8) ? load_u64(taken_.data()) : 0; }
  std::string_view bytes(std::uint64_t count) { return take(count) ? taken_ : std::string_view{}; }
  std::string_view all() { return bytes(rest_.size()); }

  // A length-encoded integer. NULL (0xfb) and 0xff are none, and fail.
  std::uint64_t lenenc() {
    switch (const std::uint8_t first = u8()) {
      case 0xfb:
      case 0xff:
        failed_ = true;
        return 0;
      case 0xfc:
        return u16();
      case 0xfd:
        return u24();
      case 0xfe:
        return u64();
      default:
        return first;
    }
  }
  std::string_view lenenc_bytes() {
    const std::uint64_t count = lenenc();
    return failed_ ? std::string_view{} : bytes(count);
  }
  // The same where NULL may stand: then nothing, without failing.
  std::optional<std::string_view> nullable_bytes() {
    if (!failed_ && !rest_.empty() && static_cast<std::uint8_t>(rest_[0]) == 0xfb) {
      rest_.remove_prefix(1);
      return std::nullopt;
    }
    return lenenc_bytes();
  }
  // Up to the next zero byte, which is consumed but not returned.
  std::string_view cstring() {
    const auto end = rest_.find('\0');
    if (failed_ || end == std::string_view::npos) {
      failed_ = true;
      return {};
    }
    const auto text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }

  std::string_view rest() const { return rest_; }
  bool ok() const { return !failed_; }

 private:
  bool take(std::uint64_t count) {
    if (failed_ || rest_.size() < count) {
      failed_ = true;
      return false;
    }
    taken_ = rest_.substr(0, static_cast<std::size_t>(count));
    rest_.remove_prefix(static_cast<std::size_t>(count));
    return true;
  }

  std::string_view rest_;
  std::string_view taken_;
  bool failed_ = false;
};

}  // namespace dbproxy::wire::mysql
