// The frame of a PostgreSQL message: one type byte, then a 32-bit big-endian length that counts itself.
// Start-up packets have no type byte. (Protocol: "Message Formats", "Message Flow".)
//
// Pure functions on bytes. "Need more" is decided from the header alone, before any side effect.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dbproxy::wire::postgres {

inline constexpr std::size_t kHeaderSize = 5;
// PostgreSQL takes no message over 1 GiB; a start-up packet is at most 10,000 bytes (MAX_STARTUP_PACKET_LENGTH).
inline constexpr std::uint32_t kMaxMessageLength = 0x3fffffff;
inline constexpr std::uint32_t kMaxStartupLength = 10000;

inline std::uint32_t load_u32(const char* p) {
  auto b = reinterpret_cast<const unsigned char*>(p);
  return (std::uint32_t{b[0]} << 24) | (std::uint32_t{b[1]} << 16) | (std::uint32_t{b[2]} << 8) | b[3];
}

inline std::uint16_t load_u16(const char* p) {
  auto b = reinterpret_cast<const unsigned char*>(p);
  return static_cast<std::uint16_t>((b[0] << 8) | b[1]);
}

inline void store_u32(char* p, std::uint32_t v) {
  p[0] = static_cast<char>(v >> 24);
  p[1] = static_cast<char>(v >> 16);
  p[2] = static_cast<char>(v >> 8);
  p[3] = static_cast<char>(v);
}

enum class Scan { kNeedMore, kMessage, kBad };

struct Frame {
  Scan scan = Scan::kNeedMore;
  char type = 0;
  std::size_t size = 0;  // of the whole message, header included
};

// Looks at the header at the front of `bytes`. kMessage as soon as the header is there, whether or not the body is;
// kBad for a length below 4 or over kMaxMessageLength.
inline Frame scan_frame(std::string_view bytes) {
  if (bytes.size() < kHeaderSize) return {};
  std::uint32_t length = load_u32(bytes.data() + 1);
  if (length < 4 || length > kMaxMessageLength) return {Scan::kBad, bytes[0], 0};
  return {Scan::kMessage, bytes[0], std::size_t{length} + 1};
}

// The same for a start-up packet (no type byte); `size` counts the whole packet. kBad when shorter than 8 bytes or
// longer than kMaxStartupLength.
inline Frame scan_startup(std::string_view bytes) {
  if (bytes.size() < 4) return {};
  std::uint32_t length = load_u32(bytes.data());
  if (length < 8 || length > kMaxStartupLength) return {Scan::kBad, 0, 0};
  return {Scan::kMessage, 0, length};
}

}  // namespace dbproxy::wire::postgres
