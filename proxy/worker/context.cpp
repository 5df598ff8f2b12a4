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
      client_tokens(aws::system_environment(),
                    service_options.own_keys ? service_options.own_keys
                                             : std::make_shared<aws::OwnKeys>(aws::system_environment(), clock),
                    clock),
      options(std::move(service_options)),
      random(auth::system_random()),
      process_secret(random_text(random, 32)),
      scratch(kReadSize) {}

net::Offload& Context::signing() {
  if (!signing_) signing_ = std::make_unique<net::Offload>(loop, 1);
  return *signing_;
}

void Context::forget(const net::Pollable& done) {
  const auto it = cancels.find(&done);
  if (it == cancels.end()) return;
  loop.retire(std::move(it->second));
  cancels.erase(it);
}

std::shared_ptr<ConnectionRecord> Context::record(const std::string& proxy) {
  const std::string path = slots_file(options.budget, proxy);
  if (path.empty()) return nullptr;
  auto& record = records_[proxy];
  if (!record) record = ConnectionRecord::open(path + ".open");
  return record;
}

net::Offload& Context::verifying() {
  if (!verifying_) verifying_ = std::make_unique<net::Offload>(loop, 2);
  return *verifying_;
}

}  // namespace dbproxy::worker
