#include "proxy/worker/postgres/shared.hpp"

#include <charconv>

#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::postgres {

session::postgres::CancelKey Shared::new_cancel_key(Client& client, bool long_key, const Context& context) {
  while (true) {
    auto key = session::postgres::make_cancel_key(context.worker, long_key, context.random);
    if (clients_by_id.emplace(key.process_id(), &client).second) return key;
  }
}

void TargetSide::learn_version(const wire::postgres::Parameters& greeting) {
  for (const auto& [name, value] : greeting) {
    if (name == "server_version") std::from_chars(value.data(), value.data() + value.size(), major_version_);
  }
}

Server* TargetSide::listener(const Key& key) const {
  const auto it = listeners_.find(&key);
  return it == listeners_.end() ? nullptr : it->second;
}

void TargetSide::set_listener(const Key& key, Server* server) {
  if (server == nullptr) {
    listeners_.erase(&key);
  } else {
    listeners_[&key] = server;
  }
}

void TargetSide::shut_down() {
  for (const auto& [key, server] : std::exchange(listeners_, {})) server->lose("its target is no longer configured");
}

}  // namespace dbproxy::worker::postgres
