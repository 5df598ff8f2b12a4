#include "proxy/wire/mysql/compression.hpp"

#include <algorithm>
#include <zlib.h>

#include "proxy/wire/mysql/packet.hpp"

namespace dbproxy::wire::mysql {

std::size_t Compression::packet_size(std::string_view bytes) {
  return bytes.size() < kHeaderSize ? 0 : kHeaderSize + load_u24(bytes.data());
}

bool Compression::decompress(std::string_view bytes, std::size_t& consumed, std::string& out, std::size_t enough) {
  consumed = 0;
  const std::size_t before = out.size();
  while (out.size() - before < enough) {
    const std::string_view rest = bytes.substr(consumed);
    const std::size_t size = packet_size(rest);
    if (size == 0 || rest.size() < size) return true;
    const std::string_view payload = rest.substr(kHeaderSize, size - kHeaderSize);
    const std::uint32_t length = load_u24(rest.data() + 4);
    if (length == 0) {
      out += payload;
    } else {
      // What it says that it becomes is the bound of what it may become.
      const std::size_t at = out.size();
      out.resize(at + length);
      uLongf produced = length;
      const int result = ::uncompress(reinterpret_cast<Bytef*>(out.data() + at), &produced,
                                      reinterpret_cast<const Bytef*>(payload.data()), payload.size());
      if (result != Z_OK || produced != length) {
        out.resize(at);
        return false;
      }
    }
    sequence_ = static_cast<std::uint8_t>(rest[3] + 1);
    consumed += size;
  }
  return true;
}

bool Compression::compress(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, std::min<std::size_t>(bytes.size(), kMaxFragment));
    bytes.remove_prefix(piece.size());
    const std::size_t begin = out.size();
    out.append(kHeaderSize, '\0');
    std::uint32_t uncompressed = 0;
    if (piece.size() >= kWorthwhile) {
      uLongf produced = ::compressBound(piece.size());
      out.resize(begin + kHeaderSize + produced);
      const int result = ::compress(reinterpret_cast<Bytef*>(out.data() + begin + kHeaderSize), &produced,
                                    reinterpret_cast<const Bytef*>(piece.data()), piece.size());
      if (result != Z_OK) return false;
      if (produced < piece.size()) uncompressed = static_cast<std::uint32_t>(piece.size());
      out.resize(begin + kHeaderSize + (uncompressed > 0 ? produced : 0));
    }
    if (uncompressed == 0) out += piece;
    store_u24(out.data() + begin, static_cast<std::uint32_t>(out.size() - begin - kHeaderSize));
    out[begin + 3] = static_cast<char>(sequence_++);
    store_u24(out.data() + begin + 4, uncompressed);
  }
  return true;
}

}  // namespace dbproxy::wire::mysql
