#include "proxy/wire/mysql/compression.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <zlib.h>
#include <zstd.h>

#include "proxy/wire/mysql/packet.hpp"

namespace dbproxy::wire::mysql {
namespace {

// A library's state is hundreds of KB, and of no use between two calls.
struct Deflater {
  z_stream stream{};
  bool made = ::deflateInit(&stream, Z_DEFAULT_COMPRESSION) == Z_OK;
  Deflater() = default;
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater() {
    if (made) ::deflateEnd(&stream);
  }
};

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ::ZSTD_freeCCtx(context); }
};

std::optional<std::size_t> zlib_compress(std::string_view from, char* to, std::size_t room) {
  thread_local Deflater deflater;
  z_stream& stream = deflater.stream;
  if (!deflater.made || ::deflateReset(&stream) != Z_OK) return std::nullopt;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = reinterpret_cast<Bytef*>(to);
  stream.avail_out = static_cast<uInt>(room);
  if (::deflate(&stream, Z_FINISH) != Z_STREAM_END) return std::nullopt;
  return stream.total_out;
}

std::optional<std::size_t> zstd_compress(std::string_view from, char* to, std::size_t room, int level) {
  thread_local std::unique_ptr<ZSTD_CCtx, FreeContext> context(::ZSTD_createCCtx());
  if (!context) return std::nullopt;
  const std::size_t size = ::ZSTD_compressCCtx(context.get(), to, room, from.data(), from.size(), level);
  if (::ZSTD_isError(size)) return std::nullopt;
  return size;
}

std::size_t bound(CompressionAlgorithm algorithm, std::size_t size) {
  return algorithm == CompressionAlgorithm::kZlib ? ::compressBound(size) : ::ZSTD_compressBound(size);
}

// Into exactly `size` bytes.
bool expand(CompressionAlgorithm algorithm, std::string_view from, char* to, std::size_t size) {
  if (algorithm == CompressionAlgorithm::kZstd) return ::ZSTD_decompress(to, size, from.data(), from.size()) == size;
  uLongf produced = size;
  return ::uncompress(reinterpret_cast<Bytef*>(to), &produced, reinterpret_cast<const Bytef*>(from.data()),
                      from.size()) == Z_OK &&
         produced == size;
}

}  // namespace

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
      if (!expand(algorithm_, payload, out.data() + at, length)) {
        out.resize(at);
        return false;
      }
    }
    sequence_ = static_cast<std::uint8_t>(rest[3] + 1);
    consumed += size;
  }
  return true;
}

bool Compression::compress_packets(std::string_view bytes, std::string& out) {
  const bool joined = !begun_.empty();
  if (joined) {
    begun_ += bytes;
    bytes = begun_;
  }
  std::size_t whole = 0;
  while (bytes.size() - whole >= mysql::kHeaderSize) {
    const std::size_t size = mysql::kHeaderSize + load_u24(bytes.data() + whole);
    if (bytes.size() - whole < size) break;
    whole += size;
  }
  if (!compress(bytes.substr(0, whole), out)) return false;
  if (joined)
    begun_.erase(0, whole);
  else
    begun_ = bytes.substr(whole);
  if (begun_.empty()) std::string().swap(begun_);
  return true;
}

bool Compression::compress(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, std::min<std::size_t>(bytes.size(), kMaxFragment));
    bytes.remove_prefix(piece.size());
    const std::size_t begin = out.size(), payload = begin + kHeaderSize;
    out.append(kHeaderSize, '\0');
    std::uint32_t uncompressed = 0;
    if (piece.size() >= kWorthwhile) {
      const std::size_t room = bound(algorithm_, piece.size());
      out.resize(payload + room);
      const auto size = algorithm_ == CompressionAlgorithm::kZlib
                            ? zlib_compress(piece, out.data() + payload, room)
                            : zstd_compress(piece, out.data() + payload, room, level_);
      if (!size) return false;
      if (*size < piece.size()) uncompressed = static_cast<std::uint32_t>(piece.size());
      out.resize(payload + (uncompressed > 0 ? *size : 0));
    }
    if (uncompressed == 0) out += piece;
    store_u24(out.data() + begin, static_cast<std::uint32_t>(out.size() - payload));
    out[begin + 3] = static_cast<char>(sequence_++);
    store_u24(out.data() + begin + 4, uncompressed);
  }
  return true;
}

}  // namespace dbproxy::wire::mysql
