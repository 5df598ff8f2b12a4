#include "proxy/worker/context.hpp"

namespace dbproxy::worker {

std::string random_text(const auth::RandomBytes& random, std::size_t bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::vector<std::uint8_t> raw(bytes);
  random(raw);
  std::string out;
  for (auto byte : raw) {
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

Context::Context(const Clock& clock, ServiceOptions service_options)
    : loop(clock),
      offload(loop),
      resolver(loop),
      options(std::move(service_options)),
      random(auth::system_random()),
      process_secret(random_text(random, 32)),
      scratch(kReadSize) {}

}  // namespace dbproxy::worker
