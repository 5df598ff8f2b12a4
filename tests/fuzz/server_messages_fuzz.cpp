// A server that sends anything, at any time, to clients that send anything: no crash, no read outside of the buffers,
// no endless loop. Input: pieces of one byte of who, one byte of length, and the bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "tests/fuzz/session_world.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  dbproxy::fuzz::World world;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  while (rest.size() >= 2) {
    const auto who = static_cast<unsigned char>(rest[0]) % 8;
    const std::size_t length = std::min<std::size_t>(static_cast<unsigned char>(rest[1]), rest.size() - 2);
    const std::string_view piece = rest.substr(2, length);
    rest.remove_prefix(2 + length);
    if (who < 2) {
      world.client_sends(who, piece);
    } else if (who == 2) {
      world.client_vanishes(length % 2 == 0 ? 0 : 1);
    } else {
      world.server_sends(piece);
    }
    world.take_to_server();
  }
  return 0;
}
