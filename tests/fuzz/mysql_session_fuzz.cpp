// Two clients and a server connection, which send anything, and the last of which may be lost: never beyond the bytes,
// and what is said to be used was there. The input is a row of pieces: who says it, how long it is, and the bytes; with
// some of them made into whole packets, so that more of them get somewhere.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/session/mysql/client_session.hpp"
#include "proxy/session/mysql/server_session.hpp"

namespace {

using namespace dbproxy::session::mysql;
using dbproxy::session::Output;
namespace wire = dbproxy::wire::mysql;
namespace flags = dbproxy::wire::mysql::client;

constexpr std::uint32_t kServer =
    flags::kProtocol41 | flags::kDeprecateEof | flags::kSessionTrack | flags::kMultiStatements;

struct World {
  explicit World(std::uint32_t capabilities)
      : settings(interner.intern("", *variables_of_collation(45))),
        server(std::in_place, interner, settings, kServer, false),
        clients{{cache, interner, settings, capabilities, 1}, {cache, interner, settings, kServer, 2}} {}

  void client_says(std::size_t who, std::string_view piece) {
    if (attached != who) {
      if (attached < 2 && !clients[attached].can_release(*server)) who = attached;
      if (attached < 2 && attached != who) clients[attached].detaching(*server);
      attached = who;
    }
    std::string& bytes = waiting[who];
    bytes += piece;
    Output to_server, to_client;
    std::size_t consumed = 0;
    const ClientVerdict verdict = clients[who].feed(bytes, consumed, &*server, to_server, to_client, {});
    if (consumed > bytes.size()) std::abort();
    std::string out;
    to_server.append_to(out, 0);
    if (server->quiet() && verdict == ClientVerdict::kWait && !out.empty()) std::abort();
    bytes.erase(0, consumed);
    clients[who].take_kill();
    if (verdict == ClientVerdict::kRefuse) bytes.clear();
  }
  // Somebody waits for the connection.
  void let_go() {
    Output out;
    if (attached < 2 && clients[attached].let_go(*server, out) && (out.empty() || server->quiet())) std::abort();
  }
  bool server_says(std::string_view piece) {
    from_server += piece;
    Output out;
    std::size_t consumed = 0;
    const ServerVerdict verdict = server->feed(from_server, consumed, attached < 2 ? &clients[attached] : nullptr, out);
    if (consumed > from_server.size()) std::abort();
    std::string bytes;
    out.append_to(bytes, 0);
    if (verdict == ServerVerdict::kReady && !server->quiet()) std::abort();
    from_server.erase(0, consumed);
    if (verdict == ServerVerdict::kReady && attached < 2) client_says(attached, "");
    return verdict == ServerVerdict::kMore || verdict == ServerVerdict::kReady;
  }

  // The connection is gone, and there is another. False: the client that had it goes with it.
  bool lose(std::string_view last_words) {
    Output out;
    const bool stays = attached > 1 || clients[attached].server_lost(*server, "it is gone", last_words, out);
    from_server.clear();
    attached = 2;
    server.emplace(interner, settings, kServer, false);
    return stays;
  }

  SettingsInterner interner;
  StatementCache cache;
  SettingsPtr settings;
  std::optional<ServerSession> server;
  ClientSession clients[2];
  std::size_t attached = 2;
  std::string waiting[2], from_server;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  World world(data[0] & 1 ? kServer : flags::kProtocol41 | flags::kMultiStatements);
  if (data[0] & 2) {  // most of them begin where the trackers are on
    Output out;
    world.server->start(out);
    if (!world.server_says(std::string_view("\x07\0\0\x01\0\0\0\x0a\0\0\0\x07\0\0\x02\0\0\0\x02\0\0\0", 22)))
      std::abort();
    world.server->set_base();
  }
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::uint8_t sequence = 1;
  while (bytes.size() >= 2) {
    const auto how = static_cast<unsigned char>(bytes[0]);
    const std::size_t length = std::min<std::size_t>(static_cast<unsigned char>(bytes[1]), bytes.size() - 2);
    const std::string_view piece = bytes.substr(2, length);
    bytes.remove_prefix(2 + length);
    std::string made;
    const bool server = how & 1;
    if (how & 8) world.let_go();
    if (how & 4) {
      made = piece;
    } else {
      if (!server) sequence = 1;
      wire::packet(made, server ? sequence++ : 0, piece);
    }
    if (how & 16) {
      if (!world.lose(server ? made : std::string())) return 0;
    } else if (server) {
      if (!world.server_says(made)) return 0;
    } else {
      world.client_says((how >> 1) & 1, made);
    }
  }
  return 0;
}
