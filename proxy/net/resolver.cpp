#include "proxy/net/resolver.hpp"

namespace dbproxy::net {

namespace {

// Names that are slow at the same time: a cluster has few.
constexpr int kThreads = 4;

}  // namespace

Resolver::Resolver(Loop& loop, Lookup lookup) : lookup_(std::move(lookup)), threads_(loop, kThreads) {}

void Resolver::look_up(const std::string& host, std::uint16_t port, Answer answer) {
  Name name(host, port);
  auto& waiting = waiting_[name];
  waiting.push_back(std::move(answer));
  if (waiting.size() > 1) return;
  threads_.run([this, name]() -> Offload::Done {
    std::string error;
    auto found = lookup_(name.first, name.second, error);
    return [this, name, found = std::move(found), error = std::move(error)] {
      auto answers = std::move(waiting_.extract(name).mapped());
      for (const auto& each : answers) each(found, error);
    };
  });
}

}  // namespace dbproxy::net
