// The frame of a MySQL packet: a 24-bit little-endian length that does not count the header, a sequence number, the
// payload. A payload of 2²⁴−1 bytes or more comes in fragments: one of exactly that length is continued by the next,
// which may be empty. (MySQL internals manual: "MySQL Packets".)
//
// Pure functions on bytes. "Need more" is decided from headers alone, before any side effect.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace dbproxy::wire::mysql {

inline constexpr std::size_t kHeaderSize = 4;
inline constexpr std::uint32_t kMaxFragment = 0xffffff;

// What can be changed in place, to read.
inline std::string_view view(std::span<char> bytes) {
  return {bytes.data(), bytes.size()};
}

inline std::uint16_t load_u16(const char* p) {
  auto b = reinterpret_cast<const unsigned char*>(p);
  return static_cast<std::uint16_t>(b[0] | (b[1] << 8));
}
inline std::uint32_t load_u24(const char* p) {
  auto b = reinterpret_cast<const unsigned char*>(p);
  return std::uint32_t{b[0]} | (std::uint32_t{b[1]} << 8) | (std::uint32_t{b[2]} << 16);
}
inline std::uint32_t load_u32(const char* p) {
  return load_u24(p) | (std::uint32_t{static_cast<unsigned char>(p[3])} << 24);
}
inline std::uint64_t load_u64(const char* p) {
  return load_u32(p) | (std::uint64_t{load_u32(p + 4)} << 32);
}
inline void store_u16(char* p, std::uint16_t v) {
  p[0] = static_cast<char>(v);
  p[1] = static_cast<char>(v >> 8);
}
inline void store_u24(char* p, std::uint32_t v) {
  store_u16(p, static_cast<std::uint16_t>(v));
  p[2] = static_cast<char>(v >> 16);
}
inline void store_u32(char* p, std::uint32_t v) {
  store_u24(p, v);
  p[3] = static_cast<char>(v >> 24);
}

struct Frame {
  bool known = false;  // the header is there, whether or not the payload is
  std::uint8_t sequence = 0;
  std::uint32_t length = 0;  // of the payload
  std::size_t size() const { return kHeaderSize + length; }
  bool continued() const { return length == kMaxFragment; }
};

inline Frame scan_frame(std::string_view bytes) {
  if (bytes.size() < kHeaderSize) return {};
  return {true, static_cast<std::uint8_t>(bytes[3]), load_u24(bytes.data())};
}

// All fragments of the packet at the front of `bytes`.
struct Packet {
  bool known = false;            // the header of the last fragment is there
  std::uint8_t sequence = 0;     // of the first fragment
  std::uint8_t fragments = 0;    // stops counting at 255
  std::size_t size = 0;          // headers included; of what is known so far while it is not
  std::size_t payload_size = 0;  // likewise
};

inline Packet scan_packet(std::string_view bytes) {
  Packet packet;
  while (packet.size <= bytes.size()) {
    const Frame frame = scan_frame(bytes.substr(packet.size));
    if (!frame.known) return packet;
    if (packet.fragments == 0) packet.sequence = frame.sequence;
    if (packet.fragments < 255) ++packet.fragments;
    packet.size += frame.size();
    packet.payload_size += frame.length;
    if (!frame.continued()) {
      packet.known = true;
      return packet;
    }
  }
  return packet;
}

// The payload of a whole packet in one piece: a view of it, or where it has several fragments of `scratch`.
inline std::string_view payload_of(std::string_view packet, std::string& scratch) {
  const Frame first = scan_frame(packet);
  if (!first.continued()) return packet.substr(kHeaderSize, first.length);
  scratch.clear();
  for (std::size_t at = 0; at < packet.size();) {
    const Frame frame = scan_frame(packet.substr(at));
    if (!frame.known) break;
    scratch.append(packet.substr(at + kHeaderSize, frame.length));
    at += frame.size();
  }
  return scratch;
}

}  // namespace dbproxy::wire::mysql
