#include "proxy/pool/pool.hpp"

#include <algorithm>
#include <cstdlib>

namespace dbproxy::pool {

KeyPool& TargetPool::key(const std::string& key, const std::string& user, const std::string& database) {
  auto& slot = keys_[key];
  if (!slot) {
    slot = std::make_unique<KeyPool>();
    slot->target = this;
    slot->key = key;
    slot->user = &users_[user];
    slot->database = &databases_[database];
    ++slot->user->keys;
    ++slot->database->keys;
  }
  return *slot;
}

void TargetPool::set_limits(Limits limits, Actions& actions) {
  limits_ = limits;
  for (auto& [name, key] : keys_) {
    while (!key->idle.empty() && groups_over_limit(*key)) {
      auto& server = key->idle.back();
      drop(server);
      actions.close.push_back(&server);
    }
  }
  while (total_ > limits_.max_connections) {
    auto server = least_recently_used();
    if (server == nullptr) break;  // the rest goes as it is released
    drop(*server);
    actions.close.push_back(server);
  }
  open_where_needed(actions);
}

void TargetPool::count(KeyPool& key, int change) {
  total_ += static_cast<std::uint32_t>(change);
  key.user->open += static_cast<std::uint32_t>(change);
  key.database->open += static_cast<std::uint32_t>(change);
}

bool TargetPool::groups_over_limit(const KeyPool& key) const {
  return (limits_.max_per_user != 0 && key.user->open > limits_.max_per_user) ||
         (limits_.max_per_database != 0 && key.database->open > limits_.max_per_database);
}

// Whether one more is within all limits, once a connection of `instead_of` is gone.
bool TargetPool::may_open(const KeyPool& key, const KeyPool* instead_of) const {
  auto within = [](std::uint32_t open, bool one_less, std::uint32_t most) { return open - (one_less ? 1 : 0) < most; };
  bool other = instead_of != nullptr;
  if (!within(total_, other, limits_.max_connections)) return false;
  if (limits_.max_per_user != 0 && !within(key.user->open, other && instead_of->user == key.user, limits_.max_per_user))
    return false;
  return limits_.max_per_database == 0 ||
         within(key.database->open, other && instead_of->database == key.database, limits_.max_per_database);
}

// The idle connection that was used least recently of those whose place this key can have.
Server* TargetPool::make_room(const KeyPool& key) {
  Server* oldest = nullptr;
  for (auto& [name, other] : keys_) {
    if (other.get() == &key || other->idle.empty() || !may_open(key, other.get())) continue;
    auto& candidate = other->idle.back();
    if (oldest == nullptr || candidate.idle_since < oldest->idle_since) oldest = &candidate;
  }
  return oldest;
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
  count(key, -1);
  open_where_needed(actions);
}

void TargetPool::resume(KeyPool& key, Actions& actions) {
  key.opening_suspended = false;
  open_where_needed(actions);
}

Waiter* TargetPool::release(Server& server, TimePoint now, Actions& actions) {
  auto& key = *server.key;
  if (total_ > limits_.max_connections || groups_over_limit(key) || underserved(key) != nullptr) {
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

// Another key that should get this connection's place: it waits, may open one and cannot do so beside it, and its first
// waiter came clearly before this key's. Of several the one that has waited longest.
KeyPool* TargetPool::underserved(const KeyPool& than) {
  if (total_ < limits_.max_connections && !has_group_limits()) return nullptr;
  KeyPool* longest = nullptr;
  for (auto& key : waiting_keys_) {
    if (&key == &than || !wants_connection(key) || may_open(key) || !may_open(key, &than)) continue;
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
  count(key, -1);
}

void TargetPool::closed(Server& server, Actions& actions) {
  if (server.state == Server::State::kNone) return;
  drop(server);
  open_where_needed(actions);
}

std::uint32_t TargetPool::unserved() const {
  std::uint32_t sum = 0;
  for (const auto& key : waiting_keys_) {
    if (!wants_connection(key)) continue;
    std::uint32_t more = key.waiting_count - key.connecting_count;
    const auto bound = [&](std::uint32_t most, std::uint32_t open) {
      if (most != 0) more = std::min(more, most > open ? most - open : 0);
    };
    bound(limits_.max_per_user, key.user->open);
    bound(limits_.max_per_database, key.database->open);
    sum += more;
  }
  return sum;
}

bool TargetPool::wants_connection(const KeyPool& key) const {
  return !key.opening_suspended && key.waiting_count > key.connecting_count;
}

Server* TargetPool::least_recently_used() {
  Server* oldest = nullptr;
  for (auto& [name, key] : keys_) {
    if (key->idle.empty()) continue;
    auto& candidate = key->idle.back();
    if (oldest == nullptr || candidate.idle_since < oldest->idle_since) oldest = &candidate;
  }
  return oldest;
}

void TargetPool::open(KeyPool& key, Actions& actions) {
  count(key, 1);
  ++connecting_;
  ++key.connecting_count;
  actions.open.push_back(&key);
}

void TargetPool::open_where_needed(Actions& actions) {
  if (has_group_limits()) return open_within_groups(actions);
  for (auto& waiter : all_waiters_) {
    if (connecting_ >= limits_.max_connecting) return;
    auto& key = *waiter.key;
    if (!wants_connection(key)) continue;
    if (total_ >= limits_.max_connections) {
      if (total_ > limits_.max_connections || limits_.max_connections == 0) return;
      auto victim = make_room(key);
      if (victim == nullptr) return;
      drop(*victim);
      actions.close.push_back(victim);
    }
    open(key, actions);
  }
}

// By keys rather than by waiters: a limit of one key says nothing about the next one's, and there are fewer keys.
void TargetPool::open_within_groups(Actions& actions) {
  while (connecting_ < limits_.max_connecting && total_ <= limits_.max_connections) {
    KeyPool* next = nullptr;
    Server* victim = nullptr;
    for (auto& key : waiting_keys_) {
      if (!wants_connection(key)) continue;
      if (next != nullptr && next->waiters.front().since <= key.waiters.front().since) continue;
      Server* room = nullptr;
      if (!may_open(key) && (room = make_room(key)) == nullptr) continue;
      next = &key;
      victim = room;
    }
    if (next == nullptr) return;
    if (victim != nullptr) {
      drop(*victim);
      actions.close.push_back(victim);
    }
    open(*next, actions);
  }
}

void TargetPool::sweep(TimePoint now, Actions& actions) {
  while (idle_ > limits_.max_idle) {
    auto server = least_recently_used();
    if (server == nullptr || now - server->idle_since < kIdleGrace) break;
    drop(*server);
    actions.close.push_back(server);
  }
  std::erase_if(keys_, [](const auto& item) {
    const auto& key = *item.second;
    if (key.open_count() != 0 || key.waiting_count != 0) return false;
    --key.user->keys;
    --key.database->keys;
    return true;
  });
  for (auto groups : {&users_, &databases_}) {
    std::erase_if(*groups, [](const auto& item) { return item.second.keys == 0; });
  }
}

void TargetPool::close_idle(Actions& actions) {
  while (auto server = least_recently_used()) {
    drop(*server);
    actions.close.push_back(server);
  }
}

Duration TargetPool::longest_wait(TimePoint now) const {
  return all_waiters_.empty() ? Duration::zero() : now - all_waiters_.front().since;
}

}  // namespace dbproxy::pool
