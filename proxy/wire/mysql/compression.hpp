// Compression: the compressed protocol (zlib or zstd) as a layer under the packets. One object is one connection's end;
// one thread. What the libraries need beside is kept for each thread, not for each connection.
//
// A compressed packet holds any bytes of the stream of ordinary packets; its sequence numbers are its own and begin
// again with each request. (MySQL internals manual: "Compression"; MySQL Reference Manual: "Connection Compression
// Control".)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dbproxy::wire::mysql {

enum class CompressionAlgorithm { kZlib, kZstd };

class Compression {
 public:
  static constexpr std::size_t kHeaderSize = 7;
  // Shorter pieces are sent as they are: MySQL's own bound.
  static constexpr std::size_t kWorthwhile = 50;
  // Of zstd. What a client may ask for, and what it gets at most: above it costs ever more for hardly anything.
  static constexpr int kHighestLevel = 22, kMostLevel = 6;

  explicit Compression(CompressionAlgorithm algorithm = CompressionAlgorithm::kZlib, int level = 3)
      : algorithm_(algorithm), level_(level < kMostLevel ? level : kMostLevel) {}

  // Takes whole compressed packets off the front of `bytes`, at most one over `enough` bytes of output, and appends
  // what is in them to `out`. False: malformed, nothing more can be read.
  bool decompress(std::string_view bytes, std::size_t& consumed, std::string& out, std::size_t enough = 1u << 20);
  // How many bytes the packet at the front has, once its header is there; else 0.
  static std::size_t packet_size(std::string_view bytes);
  // Appends `bytes` as compressed packets. False: the library is out of memory.
  bool compress(std::string_view bytes, std::string& out);
  // The same for a stream of ordinary packets: what is of one that has not come whole is kept until it has. Drivers are
  // used to servers, which compress when they have a packet whole, and some read no others.
  bool compress_packets(std::string_view bytes, std::string& out);

 private:
  CompressionAlgorithm algorithm_;
  int level_;
  std::uint8_t sequence_ = 0;
  std::string begun_;  // the front of a packet
};

}  // namespace dbproxy::wire::mysql
