// Target, but for what its connections do.
#pragma once

#include <algorithm>

#include "proxy/base/log.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/target.hpp"

namespace dbproxy::worker {
inline constexpr Duration kFirstBackOff = std::chrono::milliseconds(100);
inline constexpr Duration kLongestBackOff = std::chrono::seconds(1);
inline constexpr Duration kRefusedFor = std::chrono::seconds(1);
inline constexpr Duration kSuspectedFor = std::chrono::seconds(10);  // when nobody has asked for a connection since

template <class P>
Target<P>::Target(ProxyRuntime<P>& proxy, Context& context, const config::Target& description)
    : proxy_(proxy),
      context_(context),
      description_(description),
      pool_({}),
      stats_(proxy.registry(), proxy.name(), description.id) {
  update(description);
}

template <class P>
void Target<P>::update(const config::Target& description) {
  const bool demoted = description_.role != description.role;
  const bool went = usable() && description.health == config::TargetHealth::kUnavailable;
  const bool came = !usable() && description.health != config::TargetHealth::kUnavailable;
  description_ = description;
  pool::Actions actions;
  pool_.set_limits(limits(), actions);
  if (demoted || went) pool_.close_idle(actions);
  if (demoted || came) {  // what failed was tried on something else
    back_off_ = Duration::zero();
    for (auto it = failures_.begin(); it != failures_.end();) {
      if (!it->second.error.empty()) {
        ++it;
        continue;
      }
      pool_.resume(*it->first, actions);
      it = failures_.erase(it);
    }
  }
  perform(actions);
}

template <class P>
ServerConnection<P>* Target<P>::acquire(ClientConnection<P>& client, const std::shared_ptr<const Key>& key,
                                        std::string& error) {
  auto& key_pool = sub_pool(key);
  if (!failures_.empty()) {
    auto failure = failures_.find(&key_pool);
    if (failure != failures_.end() && !failure->second.error.empty() && key_pool.open_count() == 0) {
      error = failure->second.error;  // fresh: tick() forgets it when it may be tried again
      return nullptr;
    }
  }
  pool::Actions actions;
  auto server = static_cast<ServerConnection<P>*>(pool_.acquire(key_pool, client, context_.loop.now(), actions));
  if (server != nullptr) proxy_.stats().borrow_seconds->observe(Duration::zero());
  perform(actions);
  if constexpr (requires { side_.somebody_waits(*this); }) {
    if (server == nullptr) side_.somebody_waits(*this);
  }
  return server;
}

template <class P>
pool::KeyPool& Target<P>::sub_pool(const std::shared_ptr<const Key>& key) {
  auto& found = by_key_[key.get()];
  if (found == nullptr) {
    found = &pool_.key(key->text, key->user, key->database);
    by_pool_[found] = key;
  }
  return *found;
}

// After the pool has forgotten sub-pools that nobody uses.
template <class P>
void Target<P>::forget_unused_keys() {
  for (auto it = by_key_.begin(); it != by_key_.end();) {
    if (pool_.keys().contains(it->first->text)) {
      ++it;
      continue;
    }
    auto gone = it->second;
    failures_.erase(gone);
    it = by_key_.erase(it);
    by_pool_.erase(gone);
  }
}

template <class P>
void Target<P>::cancel(ClientConnection<P>& client) {
  pool_.cancel(client);
}

template <class P>
void Target<P>::release(ServerConnection<P>& server) {
  pool::Actions actions;
  if (server.spent() || server.generation < proxy_.generation(server.pool_key()->user)) {
    pool_.closed(server, actions);
    actions.close.push_back(&server);
    perform(actions);
    return;
  }
  auto waiter = pool_.release(server, context_.loop.now(), actions);
  if (waiter != nullptr) hand_over(waiter, server);
  perform(actions);
}

template <class P>
void Target<P>::opened(ServerConnection<P>& server) {
  proxy_.stats().server_opened->add();
  back_off_ = Duration::zero();
  failures_.erase(&server.key_pool());
  observe(config::HealthReason::kNone, server.pool_key()->user);
  accepted(server);
  pool::Actions actions;
  auto waiter = pool_.opened(server.key_pool(), server, context_.loop.now(), actions);
  if (waiter != nullptr) {
    hand_over(waiter, server);
  } else if (server.pool_key()->replication) {  // who asked for it has left, and no other client may have it
    pool_.closed(server, actions);
    actions.close.push_back(&server);
  }
  perform(actions);
}

template <class P>
void Target<P>::hand_over(pool::Waiter* waiter, ServerConnection<P>& server) {
  auto& client = static_cast<ClientConnection<P>&>(*waiter);
  proxy_.stats().borrow_seconds->observe(context_.loop.now() - client.since);
  client.attached(server);
}

template <class P>
void Target<P>::open_failed(ServerConnection<P>& server, config::HealthReason reason, std::string error) {
  auto& key = server.key_pool();
  proxy_.stats().server_login_failures->add();
  if (server.generation < proxy_.generation(server.pool_key()->user)) {  // tried with what is out of date: try again
    pool::Actions again;
    pool_.open_failed(key, again);
    forget(server);
    perform(again);
    return;
  }
  if (reason == config::HealthReason::kAuthFailure && try_other_password(server)) {
    pool::Actions again;
    pool_.open_failed(key, again);
    forget(server);
    perform(again);
    return;
  }
  observe(reason, server.pool_key()->user);
  if (reason == config::HealthReason::kAuthFailure && may_hold(server, error)) error.clear();
  bool refused = !error.empty();
  back_off_ = refused ? kRefusedFor : std::clamp(back_off_ * 2, kFirstBackOff, kLongestBackOff);
  failures_[&key] = {context_.loop.now() + back_off_, error, server.generation};
  pool::Actions actions;
  pool_.suspend(key);
  if (refused) {
    // Everybody who waits for this key would hear the same.
    std::vector<ClientConnection<P>*> waiting;
    for (auto& waiter : key.waiters) waiting.push_back(static_cast<ClientConnection<P>*>(&waiter));
    for (auto client : waiting) {
      pool_.cancel(*client);
      client->refused(error);
    }
  }
  pool_.open_failed(key, actions);
  forget(server);
  perform(actions);
  if (!refused) proxy_.in_doubt(*this);
}

// A rotation changes the password in the database and in the secret one after the other: until the second step is seen
// it is the one from before that fits, or the one that is current does again.
template <class P>
bool Target<P>::try_other_password(ServerConnection<P>& server) {
  const auto& name = server.pool_key()->user;
  if (server.with_previous_password()) {
    previous_users_.erase(name);
    return false;
  }
  const auto* user = proxy_.snapshot().find_user(name);
  if (user == nullptr || user->previous_password.empty() || !user->previous_name.empty()) return false;
  if (user->auth_scheme == config::AuthScheme::kIam) return false;
  return previous_users_.insert(name).second;
}

// Credentials that were good until now are being exchanged: whoever waits is told of it only when no others have come
// for as long as anybody waits for a connection.
template <class P>
bool Target<P>::may_hold(const ServerConnection<P>& server, const std::string& error) {
  const auto found = taken_.find(server.pool_key()->user);
  if (found == taken_.end() || server.uses_token()) return false;
  const auto now = context_.loop.now();
  if (found->second.refused_since == TimePoint{}) found->second.refused_since = now;
  found->second.refusal = error;
  return now - found->second.refused_since < proxy_.snapshot().pool.borrow_timeout;
}

template <class P>
void Target<P>::accepted(const ServerConnection<P>& server) {
  taken_[server.pool_key()->user] = {};
}

template <class P>
void Target<P>::lost(ServerConnection<P>& server) {
  proxy_.stats().server_lost->add();
  pool::Actions actions;
  pool_.closed(server, actions);
  forget(server);
  perform(actions);
}

template <class P>
void Target<P>::forget(ServerConnection<P>& server) {
  auto it = servers_.find(&server);
  if (it == servers_.end()) return;
  std::erase(held_back_, &server);
  context_.loop.retire(std::move(it->second));
  servers_.erase(it);
}

template <class P>
void Target<P>::perform(pool::Actions& actions) {
  for (auto server : actions.close) {
    auto& connection = static_cast<ServerConnection<P>&>(*server);
    connection.close();
    forget(connection);
  }
  for (auto key : actions.open) {
    auto made = std::make_unique<ServerConnection<P>>(proxy_, *this, context_, key_of(*key), *key);
    auto& server = *made;
    server.generation = proxy_.generation(server.pool_key()->user);
    servers_.emplace(&server, std::move(made));
    held_back_.push_back(&server);
    if (parting_ > 0 && !room_to_connect()) continue;
    held_back_.pop_back();
    server.connect();
  }
  actions.clear();
  account();
}

template <class P>
void Target<P>::observe(config::HealthReason reason, const std::string& user) {
  if (reason == config::HealthReason::kAuthFailure) {
    if (refused_users_.insert(user).second) proxy_.observed(*this, reason, user);
    return;
  }
  bool was_refused = reason == config::HealthReason::kNone && refused_users_.erase(user) > 0;
  if (observed_ == reason && !was_refused) return;
  observed_ = reason;
  // Without a user it is about the target: what was said of it so is taken back so.
  proxy_.observed(*this, reason, {});
  if (was_refused) proxy_.observed(*this, reason, user);
}

template <class P>
void Target<P>::tick() {
  auto now = context_.loop.now();
  pool::Actions actions;
  for (auto it = failures_.begin(); it != failures_.end();) {
    if (now < it->second.until) {
      ++it;
      continue;
    }
    pool_.resume(*it->first, actions);
    it = failures_.erase(it);
  }
  std::vector<ServerConnection<P>*> all;  // each may end
  for (const auto& [server, owner] : servers_) all.push_back(server);
  for (auto server : all) server->tick();
  pool_.sweep(now, actions);
  perform(actions);
  forget_unused_keys();
  if (suspected_ != TimePoint{} && now - suspected_ >= kSuspectedFor) {
    suspected_ = {};
    if (failures_.empty() && pool_.connecting() == 0) observe(config::HealthReason::kNone, {});
  }

  check_peers();
  end_idle_excess();

  std::uint32_t pinned = 0;
  std::uint32_t replication = 0;
  std::uint32_t active = 0;
  for (const auto& [server, owner] : servers_) {
    if (server->pool::Server::state != pool::Server::State::kActive) continue;
    auto client = server->client();
    const bool holds = client != nullptr && client->pins() != 0;
    ++(server->pool_key()->replication ? replication : holds ? pinned : active);
  }
  stats_.idle->set(pool_.idle());
  stats_.active->set(active);
  stats_.pinned->set(pinned);
  stats_.replication->set(replication);
  stats_.connecting->set(pool_.connecting());
  stats_.limit->set(pool_.limits().max_connections);
  stats_.available->set(usable() ? 1 : 0);
}

template <class P>
void Target<P>::check_peers() {
  auto now = context_.loop.now();
  if (now - peers_checked_ < silence() / 3) return;
  peers_checked_ = now;
  std::vector<ServerConnection<P>*> active;
  for (const auto& [server, owner] : servers_) {
    if (server->pool::Server::state == pool::Server::State::kActive) active.push_back(server);
  }
  for (auto server : active) server->check_peer();
}

template <class P>
void Target<P>::close_idle() {
  pool::Actions actions;
  pool_.close_idle(actions);
  perform(actions);
}

template <class P>
void Target<P>::require_current_credentials() {
  std::erase_if(taken_, [this](const auto& each) { return proxy_.snapshot().find_user(each.first) == nullptr; });
  previous_users_.clear();
  pool::Actions actions;
  pool_.require_generation([this](const pool::KeyPool& key) { return proxy_.generation(key_of(key)->user); }, actions);
  // What was refused before may be taken now.
  for (auto it = failures_.begin(); it != failures_.end();) {
    if (it->second.generation < proxy_.generation(key_of(*it->first)->user)) {
      pool_.resume(*it->first, actions);
      it = failures_.erase(it);
    } else {
      ++it;
    }
  }
  perform(actions);
}

template <class P>
void Target<P>::shut_down(const std::string& error) {
  while (auto waiter = pool_.first_waiter()) {
    auto client = static_cast<ClientConnection<P>*>(waiter);
    pool_.cancel(*client);
    client->refused(error);
  }
  pool::Actions actions;
  pool_.set_limits({}, actions);
  perform(actions);
  if constexpr (requires { side_.shut_down(); }) side_.shut_down();
}

}  // namespace dbproxy::worker
