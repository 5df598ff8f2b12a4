// The first packet of a client, the words of `options`, and an ErrorResponse of a server: any bytes are measured, read
// or refused, and every view points into what was given.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

#include "proxy/wire/postgres/frame.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/startup.hpp"

using namespace dbproxy::wire::postgres;

namespace {

void inside(std::string_view part, std::string_view whole) {
  if (part.empty()) return;
  if (part.data() < whole.data() || part.data() + part.size() > whole.data() + whole.size()) std::abort();
}

void read_startup(std::string_view bytes) {
  const Frame frame = scan_startup(bytes);
  if (frame.scan != Scan::kMessage) return;
  if (frame.size < 8 || frame.size > kMaxStartupLength) std::abort();
  if (frame.size > bytes.size()) return;
  const std::string_view packet = bytes.substr(0, frame.size);
  const StartupPacket parsed = parse_startup(packet);
  if (const auto* startup = std::get_if<Startup>(&parsed)) {
    for (const auto& [name, value] : startup->parameters) {
      inside(name, packet);
      inside(value, packet);
      std::size_t total = 0;
      for (const auto& word : split_options(value)) total += word.size();
      if (total > value.size()) std::abort();
    }
  } else if (const auto* cancel = std::get_if<CancelRequest>(&parsed)) {
    inside(cancel->key, packet);
    if (cancel->key.empty() || cancel->key.size() > 256) std::abort();
  } else if (const auto* bad = std::get_if<BadStartup>(&parsed)) {
    if (bad->why == nullptr || *bad->why == '\0') std::abort();
  }
}

void read_messages(std::string_view bytes) {
  while (true) {
    const Frame frame = scan_frame(bytes);
    if (frame.scan != Scan::kMessage) return;
    if (frame.size < kHeaderSize) std::abort();
    if (frame.size > bytes.size()) return;
    const std::string_view body = bytes.substr(kHeaderSize, frame.size - kHeaderSize);
    const ErrorFields fields = read_error(body);
    for (const auto field : {fields.severity, fields.sqlstate, fields.message, fields.detail, fields.hint}) {
      inside(field, body);
    }
    bytes.remove_prefix(frame.size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_startup(bytes);
  read_messages(bytes);
  return 0;
}
