// Target: how many connections there may be, and when one that is wanted may be opened.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/parting.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/target.hpp"

namespace dbproxy::worker {

template <class P>
Target<P>::~Target() = default;

// Nobody may write to a writer of before, nor read there.
template <class P>
std::uint32_t Target<P>::own_limit() const {
  if (proxy_.paused()) return 0;
  if (!usable() && description_.reason == config::HealthReason::kInvalidReplicationState) return 0;
  return config::connection_limit(description_, proxy_.snapshot().pool);
}

// Of what may be idle in the fleet, this sidecar's part is as large as its part of the connections.
template <class P>
pool::Limits Target<P>::limits() const {
  const auto& pool = proxy_.snapshot().pool;
  const auto& clients = proxy_.snapshot().limits;
  const std::uint32_t most = limit();
  auto idle = std::uint64_t{description_.max_connections} * pool.max_idle_connections_percent / 100;
  if (proxy_.leased()) {
    const std::uint64_t all = std::max(pool.max_connections_percent, 1U);
    idle = (std::uint64_t{most} * pool.max_idle_connections_percent + all - 1) / all;
  }
  return {.max_connections = most,
          .max_idle = static_cast<std::uint32_t>(std::min<std::uint64_t>(idle, most)),
          .max_per_user = clients.max_connections_per_user,
          .max_per_database = clients.max_connections_per_database};
}

template <class P>
void Target<P>::apply_limit() {
  if (limit() == pool_.limits().max_connections) return;
  pool::Actions actions;
  pool_.set_limits(limits(), actions);
  perform(actions);
  connect_held_back();
}

template <class P>
budget::Use Target<P>::use() const {
  const auto held_back = static_cast<std::uint32_t>(held_back_.size());
  budget::Use use;
  use.writer = description_.role == config::TargetRole::kReadWrite;
  use.open = pool_.total() + parting_ - held_back;
  const std::uint32_t more = own_limit() > use.open ? own_limit() - use.open : 0;
  use.waiting = std::min(pool_.unserved() + held_back, more);
  use.idle = std::min(idle_.unused(), pool_.idle());
  return use;
}

// Less to wait for is no news until the next tick: where all connections are in use it changes with each query.
template <class P>
void Target<P>::account() {
  if (!proxy_.leased()) return;
  idle_.note(pool_.idle());
  const budget::Use now = use();
  if (now.writer == known_use_.writer && now.open == known_use_.open && now.waiting <= known_use_.waiting) return;
  proxy_.use_changed();
}

template <class P>
void Target<P>::note_idle() {
  idle_.note(pool_.idle());
  idle_.look(pool_.idle(), pool_.total());
}

template <class P>
void Target<P>::end_idle_excess() {
  const auto now = context_.loop.now();
  const std::uint32_t most = pool_.limits().max_connections;
  if (!proxy_.leased() || proxy_.paused() || !usable() || pool_.total() <= most) {
    over_since_ = {};
    return;
  }
  if (over_since_ == TimePoint{}) over_since_ = now;
  const auto timeout = Duration(proxy_.snapshot().pool.give_back_timeout);
  if (now - over_since_ < timeout) return;
  std::vector<ClientConnection<P>*> idle;
  std::size_t enough = pool_.total() - most;
  for (const auto& [server, owner] : servers_) {
    if (server->pool::Server::state != pool::Server::State::kActive) continue;
    if (server->client() == nullptr) {  // its client has ended, and it is being cleaned
      enough -= std::min<std::size_t>(enough, 1);
    } else if (server->client()->idle_in_transaction(timeout)) {
      idle.push_back(server->client());
    }
  }
  std::sort(idle.begin(), idle.end(), [](const auto* a, const auto* b) { return a->active_at() < b->active_at(); });
  idle.resize(std::min(idle.size(), enough));
  for (auto client : idle) client->end_for_others();
}

template <class P>
void Target<P>::part(net::Stream stream, ConnectionRecord::Place place) {
  ++parting_;
  Parting::start(context_, std::move(stream), silence(), [this, place, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    if (auto* record = proxy_.record()) record->gone(place);
    --parting_;
    connect_held_back();
    account();
  });
}

template <class P>
bool Target<P>::room_to_connect() const {
  return pool_.total() + parting_ - held_back_.size() < limit();
}

template <class P>
void Target<P>::connect_held_back() {
  while (!held_back_.empty() && (parting_ == 0 || room_to_connect())) {
    auto server = held_back_.front();
    held_back_.pop_front();
    server->connect();
  }
}

template <class P>
double Target<P>::load() const {
  const auto busy = clients_ + pool_.total() - pool_.idle() + pool_.waiting();
  return static_cast<double>(busy) / std::max(1U, own_limit());
}

}  // namespace dbproxy::worker
