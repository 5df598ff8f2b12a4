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
      tokens(aws::system_environment(), clock),
      client_tokens(aws::system_environment(), clock),
      options(std::move(service_options)),
      random(auth::system_random()),
      process_secret(random_text(random, 32)),
      scratch(kReadSize) {}

net::Offload& Context::signing() {
  if (!signing_) signing_ = std::make_unique<net::Offload>(loop, 1);
  return *signing_;
}

net::Offload& Context::verifying() {
  if (!verifying_) verifying_ = std::make_unique<net::Offload>(loop, 2);
  return *verifying_;
}

}  // namespace dbproxy::worker
