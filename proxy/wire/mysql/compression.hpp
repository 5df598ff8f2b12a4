// Compression: the compressed protocol (zlib) as a layer under the packets. One object is one connection's end; one
// thread.
//
// A compressed packet holds any bytes of the stream of ordinary packets; its sequence numbers are its own and begin
// again with each request. (MySQL internals manual: "Compression".)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dbproxy::wire::mysql {

class Compression {
 public:
  static constexpr std::size_t kHeaderSize = 7;
  // Shorter pieces are sent as they are: MySQL's own bound.
  static constexpr std::size_t kWorthwhile = 50;

  // Takes whole compressed packets off the front of `bytes`, at most one over `enough` bytes of output, and appends
  // what is in them to `out`. False: malformed, nothing more can be read.
  bool decompress(std::string_view bytes, std::size_t& consumed, std::string& out, std::size_t enough = 1u << 20);
  // How many bytes the packet at the front has, once its header is there; else 0.
  static std::size_t packet_size(std::string_view bytes);
  // Appends `bytes` as compressed packets. False: the library is out of memory.
  bool compress(std::string_view bytes, std::string& out);

 private:
  std::uint8_t sequence_ = 0;
};

}  // namespace dbproxy::wire::mysql
