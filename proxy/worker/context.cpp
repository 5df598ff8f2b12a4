#include "proxy/worker/context.hpp"

namespace dbproxy::worker {
namespace {

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

}  // namespace

Context::Context(const Clock& clock, ServiceOptions service_options)
    : loop(clock),
      offload(loop),
      resolver(loop),
      options(std::move(service_options)),
      random(auth::system_random()),
      process_secret(random_text(random, 32)),
      statements("dbproxy_" + random_text(random, 6) + "_"),
      scratch(kReadSize) {}

std::uint32_t Context::new_process_id(ClientConnection& client) {
  // libpq shows it as an int: keep it positive.
  while (next_process_id == 0 || next_process_id > 0x7fffffff || clients_by_id.contains(next_process_id)) {
    next_process_id = next_process_id >= 0x7fffffff ? 1 : next_process_id + 1;
  }
  clients_by_id.emplace(next_process_id, &client);
  return next_process_id++;
}

}  // namespace dbproxy::worker
