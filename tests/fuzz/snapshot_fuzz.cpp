// A snapshot as it comes over the control stream: any bytes are refused in words, or make a snapshot that goes back to
// a message with the same digest.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/config/snapshot.hpp"
#include "proxy/wire/control/convert.hpp"

using namespace dbproxy;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  v1::Snapshot message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  wire_control::digest(message);
  config::Snapshot snapshot;
  const std::string error = wire_control::from_proto(message, snapshot);
  if (error.empty()) {
    const v1::Snapshot again = wire_control::to_proto(snapshot);
    config::Snapshot twice;
    if (!wire_control::from_proto(again, twice).empty() || !snapshot.same_content(twice)) std::abort();
    if (wire_control::digest(again) != wire_control::digest(wire_control::to_proto(twice))) std::abort();
    for (const auto& target : snapshot.targets) config::connection_limit(target, snapshot.pool);
  } else if (error.size() > 4096) {
    std::abort();  // it becomes the text of a NACK
  }
  wire_control::wipe(message);
  return 0;
}
