#include "proxy/wire/postgres/startup.hpp"

#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::wire::postgres {

StartupPacket parse_startup(std::string_view packet) {
  if (packet.size() < 8) return BadStartup{"incomplete startup packet"};
  Reader reader(packet.substr(4));
  std::uint32_t code = reader.u32();
  switch (code) {
    case kSslRequestCode:
      if (packet.size() != 8) return BadStartup{"invalid length of SSL negotiation request"};
      return SslRequest{};
    case kGssEncRequestCode:
      if (packet.size() != 8) return BadStartup{"invalid length of GSSAPI negotiation request"};
      return GssEncRequest{};
    case kCancelRequestCode: {
      CancelRequest cancel;
      cancel.process_id = reader.u32();
      cancel.key = reader.rest();
      if (!reader.ok() || cancel.key.size() < 4 || cancel.key.size() > 256) {
        return BadStartup{"invalid length of cancel request"};
      }
      return cancel;
    }
    default:
      break;
  }
  Startup startup;
  startup.major = static_cast<std::uint16_t>(code >> 16);
  startup.minor = static_cast<std::uint16_t>(code & 0xffff);
  if (startup.major != 3) return BadStartup{"unsupported frontend protocol: server supports 3.0 to 3.2", "0A000"};
  while (true) {
    auto name = reader.cstring();
    if (!reader.ok()) return BadStartup{"invalid startup packet layout: expected terminator as last byte"};
    if (name.empty()) break;
    auto value = reader.cstring();
    if (!reader.ok()) return BadStartup{"invalid startup packet layout: expected terminator as last byte"};
    startup.parameters.emplace_back(name, value);
  }
  if (!reader.rest().empty()) return BadStartup{"invalid startup packet layout: bytes after the terminator"};
  return startup;
}

std::vector<std::string> split_options(std::string_view options) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  for (std::size_t i = 0; i < options.size(); ++i) {
    char c = options[i];
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      if (inside) words.push_back(std::move(word));
      word.clear();
      inside = false;
      continue;
    }
    if (c == '\\' && i + 1 < options.size()) c = options[++i];
    word += c;
    inside = true;
  }
  if (inside) words.push_back(std::move(word));
  return words;
}

}  // namespace dbproxy::wire::postgres
