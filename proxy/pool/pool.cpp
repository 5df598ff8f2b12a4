#include "proxy/pool/pool.hpp"

#include <cstdlib>

namespace dbproxy::pool {

KeyPool& TargetPool::key(const std::string& key) {
  auto& slot = keys_[key];
  if (!slot) {
    slot = std::make_unique<KeyPool>();
    slot->target = this;
    slot->key = key;
  }
  return *slot;
}

void TargetPool::set_limits(Limits limits, Actions& actions) {
  limits_ = limits;
  while (total_ > limits_.max_connections) {
    auto server = least_recently_used(nullptr);
    if (server == nullptr) break;  // the rest goes as it is released
    drop(*server);
    actions.close.push_back(server);
  }
  open_where_needed(actions);
}

void TargetPool::require_generation(const std::function<std::uint64_t(const KeyPool&)>& needed, Actions& actions) {
  for (auto& [name, key] : keys_) {
    auto minimum = needed(*key);
    for (auto it = key->idle.begin(); it != key->idle.end();) {
      auto& server = *it++;
      if (server.generation >= minimum) continue;
      drop(server);
      actions.close.push_back(&server);
    }
  }
  open_where_needed(actions);
}

Server* TargetPool::acquire(KeyPool& key, Waiter& waiter, TimePoint now, Actions& actions) {
  if (!key.idle.empty()) {
    auto& server = key.idle.front();
    key.idle.pop_front();
    --key.idle_count;
    --idle_;
    ++key.active_count;
    server.state = Server::State::kActive;
    return &server;
  }
  waiter.key = &key;
  waiter.since = now;
  if (key.waiters.empty()) waiting_keys_.push_back(key);
  key.waiters.push_back(waiter);
  all_waiters_.push_back(waiter);
  ++key.waiting_count;
  ++waiting_;
  open_where_needed(actions);
  return nullptr;
}

void TargetPool::cancel(Waiter& waiter) {
  if (waiter.waiting()) unqueue(waiter);
}

void TargetPool::unqueue(Waiter& waiter) {
  waiter.key_hook.unlink();
  waiter.all_hook.unlink();
  if (waiter.key->waiters.empty()) waiter.key->waiting_hook.unlink();
  --waiter.key->waiting_count;
  --waiting_;
  waiter.key = nullptr;
}

Waiter* TargetPool::opened(KeyPool& key, Server& server, TimePoint now, Actions& actions) {
  --key.connecting_count;
  --connecting_;
  key.opening_suspended = false;
  server.key = &key;
  server.state = Server::State::kActive;
  ++key.active_count;
  return release(server, now, actions);
}

void TargetPool::open_failed(KeyPool& key, Actions& actions) {
  --key.connecting_count;
  --connecting_;
  --total_;
  open_where_needed(actions);
}

void TargetPool::resume(KeyPool& key, Actions& actions) {
  key.opening_suspended = false;
  open_where_needed(actions);
}

Waiter* TargetPool::release(Server& server, TimePoint now, Actions& actions) {
  auto& key = *server.key;
  if (total_ > limits_.max_connections || underserved(key) != nullptr) {
    drop(server);
    actions.close.push_back(&server);
    open_where_needed(actions);
    return nullptr;
  }
  if (!key.waiters.empty()) return hand_over(server);
  make_idle(server, now);
  open_where_needed(actions);
  return nullptr;
}

// Another key that should get this connection's place: it waits, may open one and cannot grow, and its first waiter
// came clearly before this key's. Of several the one that has waited longest.
KeyPool* TargetPool::underserved(const KeyPool& than) {
  if (total_ < limits_.max_connections) return nullptr;
  KeyPool* longest = nullptr;
  for (auto& key : waiting_keys_) {
    if (&key == &than || !wants_connection(key)) continue;
    if (longest == nullptr || key.waiters.front().since < longest->waiters.front().since) longest = &key;
  }
  if (longest == nullptr || than.waiters.empty()) return longest;
  return longest->waiters.front().since + kUnfairness < than.waiters.front().since ? longest : nullptr;
}

Waiter* TargetPool::hand_over(Server& server) {
  auto& waiter = server.key->waiters.front();
  unqueue(waiter);
  server.state = Server::State::kActive;
  return &waiter;
}

void TargetPool::make_idle(Server& server, TimePoint now) {
  auto& key = *server.key;
  --key.active_count;
  ++key.idle_count;
  ++idle_;
  server.state = Server::State::kIdle;
  server.idle_since = now;
  key.idle.push_front(server);
}

void TargetPool::drop(Server& server) {
  auto& key = *server.key;
  if (server.state == Server::State::kIdle) {
    server.hook.unlink();
    --key.idle_count;
    --idle_;
  } else if (server.state == Server::State::kActive) {
    --key.active_count;
  } else {
    std::abort();
  }
  server.state = Server::State::kNone;
  server.key = nullptr;
  --total_;
}

void TargetPool::closed(Server& server, Actions& actions) {
  if (server.state == Server::State::kNone) return;
  drop(server);
  open_where_needed(actions);
}

bool TargetPool::wants_connection(const KeyPool& key) const {
  return !key.opening_suspended && key.waiting_count > key.connecting_count;
}

Server* TargetPool::least_recently_used(const KeyPool* except) {
  Server* oldest = nullptr;
  for (auto& [name, key] : keys_) {
    if (key.get() == except || key->idle.empty()) continue;
    auto& candidate = key->idle.back();
    if (oldest == nullptr || candidate.idle_since < oldest->idle_since) oldest = &candidate;
  }
  return oldest;
}

void TargetPool::open_where_needed(Actions& actions) {
  for (auto& waiter : all_waiters_) {
    if (connecting_ >= limits_.max_connecting) return;
    auto& key = *waiter.key;
    if (!wants_connection(key)) continue;
    if (total_ >= limits_.max_connections) {
      if (total_ > limits_.max_connections || limits_.max_connections == 0) return;
      auto victim = least_recently_used(&key);
      if (victim == nullptr) return;
      drop(*victim);
      actions.close.push_back(victim);
    }
    ++total_;
    ++connecting_;
    ++key.connecting_count;
    actions.open.push_back(&key);
  }
}

void TargetPool::sweep(TimePoint now, Actions& actions) {
  while (idle_ > limits_.max_idle) {
    auto server = least_recently_used(nullptr);
    if (server == nullptr || now - server->idle_since < kIdleGrace) break;
    drop(*server);
    actions.close.push_back(server);
  }
  std::erase_if(keys_, [](const auto& item) {
    const auto& key = *item.second;
    return key.open_count() == 0 && key.waiting_count == 0;
  });
}

void TargetPool::close_idle(Actions& actions) {
  while (auto server = least_recently_used(nullptr)) {
    drop(*server);
    actions.close.push_back(server);
  }
}

Duration TargetPool::longest_wait(TimePoint now) const {
  return all_waiters_.empty() ? Duration::zero() : now - all_waiters_.front().since;
}

}  // namespace dbproxy::pool
