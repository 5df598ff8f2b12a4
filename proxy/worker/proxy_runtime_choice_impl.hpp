// ProxyRuntime chooses targets for clients: the writer, or one of the readers.
//
// A client stays with its reader for as long as that serves, since of two readers one may be behind the other. It is
// moved, between transactions, when a reader came and has much less than its share, so that the whole takes seconds.
#pragma once

#include <algorithm>
#include <vector>

#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

// Of the clients that a reader has beyond its share: how many are left alone, and how many of the others move at once.
inline constexpr std::uint32_t kUnevenClients = 2;
inline constexpr std::uint32_t kUnevenPart = 4;
inline constexpr std::uint32_t kMovedPart = 8;

template <class P>
Target<P>* ProxyRuntime<P>::choose(const EndpointRuntime& endpoint, Target<P>* current, std::string& error) {
  const auto& wanted = endpoint.endpoint;
  const bool read_only = wanted.role == config::TargetRole::kReadOnly;
  auto target = read_only ? choose_reader(wanted, current) : choose_writer(current);
  if (target == nullptr) {
    error = P::error(Trouble::kNoTarget, "endpoint \"" + wanted.name + "\" has no reader to go to",
                     "The cluster has no reader now. Add one, or set fallbackToWriter: true on the DBProxyEndpoint.");
  }
  return target;
}

template <class P>
Target<P>* ProxyRuntime<P>::choose_writer(Target<P>* current) {
  const auto serves = [](const Target<P>& target) {
    return target.description().role == config::TargetRole::kReadWrite && target.usable();
  };
  if (current != nullptr && serves(*current)) return current;
  Target<P>* down = nullptr;
  for (const auto& [id, target] : targets_) {
    if (serves(*target)) return target.get();
    if (target->description().role == config::TargetRole::kReadWrite) down = target.get();
  }
  if (down != nullptr) return down;  // wait for it
  if (!nobody_) {
    config::Target none;
    none.id = "none";
    none.health = config::TargetHealth::kUnavailable;
    none.reason = config::HealthReason::kInvalidReplicationState;
    nobody_ = std::make_unique<Target<P>>(*this, context_, none);
  }
  return nobody_.get();
}

template <class P>
Target<P>* ProxyRuntime<P>::choose_reader(const config::Endpoint& endpoint, Target<P>* current) {
  const auto is_reader = [](const Target<P>& target) {
    return target.description().role == config::TargetRole::kReadOnly;
  };
  if (current != nullptr && is_reader(*current) && current->usable() && current->reachable()) return current;
  Target<P>* best = nullptr;
  Target<P>* doubtful = nullptr;  // whoever probes it is about to say more
  Target<P>* down = nullptr;
  Target<P>* unknown = nullptr;
  Target<P>* writer = nullptr;
  for (const auto& [id, target] : targets_) {
    const bool kept = target.get() == current;
    if (target->description().health == config::TargetHealth::kRegistering) {
      unknown = target.get();
    } else if (!is_reader(*target)) {
      if (target->usable() || writer == nullptr) writer = target.get();
    } else if (!target->usable()) {
      if (down == nullptr || kept) down = target.get();
    } else if (!target->reachable()) {
      if (doubtful == nullptr || kept) doubtful = target.get();
    } else if (best == nullptr || target->load() < best->load()) {
      best = target.get();
    }
  }
  if (best != nullptr) return best;
  if (doubtful != nullptr) return doubtful;
  if (endpoint.fallback_to_writer && writer != nullptr) return writer;
  return down != nullptr ? down : unknown;
}

template <class P>
void ProxyRuntime<P>::choose_again(pool::TargetPool& waiting) {
  std::vector<ClientConnection<P>*> better;
  for (auto& waiter : waiting.waiters()) {
    auto& client = static_cast<ClientConnection<P>&>(waiter);
    std::string error;
    if (choose(client.endpoint(), client.target(), error) != client.target()) better.push_back(&client);
  }
  for (auto client : better) client->forget_target();
}

template <class P>
void ProxyRuntime<P>::in_doubt(Target<P>& target) {
  if (target.description().role == config::TargetRole::kReadOnly) choose_again(target.pool());
}

template <class P>
void ProxyRuntime<P>::balance_readers() {
  std::vector<Target<P>*> readers;
  std::uint64_t clients = 0, connections = 0;
  for (const auto& [id, target] : targets_) {
    const auto& description = target->description();
    if (description.role != config::TargetRole::kReadOnly || !target->reachable()) continue;
    if (description.health != config::TargetHealth::kAvailable) continue;
    readers.push_back(target.get());
    clients += target->clients();
    connections += target->own_limit();
  }
  if (readers.size() < 2 || connections == 0) return;
  for (auto reader : readers) {
    const auto share = static_cast<std::uint32_t>((clients * reader->own_limit() + connections - 1) / connections);
    if (reader->clients() <= share + std::max(kUnevenClients, share / kUnevenPart)) continue;
    std::uint32_t moving = 0;
    std::vector<ClientConnection<P>*> movable;
    for (const auto& [client, owner] : clients_) {
      if (client->target() != reader) continue;
      if (client->moving_on()) {
        ++moving;
      } else if (client->state() == ClientConnection<P>::State::kRunning && !client->waiting() && client->pins() == 0) {
        movable.push_back(client);
      }
    }
    const auto surplus = reader->clients() - share - std::min(moving, reader->clients() - share);
    const auto most = std::min<std::size_t>(movable.size(), (surplus + kMovedPart - 1) / kMovedPart);
    for (std::size_t i = 0; i < most; ++i) {
      movable[i]->move_on();
      stats_.clients_moved->add();
    }
  }
}

}  // namespace dbproxy::worker
