// ProxyRuntime as the sidecar's pages show it.
#pragma once

#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

template <class P>
void ProxyRuntime<P>::add_rows(std::vector<TargetRow>& rows) const {
  for (const auto& [id, target] : targets_) {
    const auto& description = target->description();
    TargetRow row;
    row.proxy = name();
    row.id = id;
    row.host = description.host;
    row.port = description.port;
    row.role = config::to_string(description.role);
    row.health = config::to_string(description.health);
    row.reason = config::to_string(description.reason);
    // What this sidecar met by itself counts where the monitor has no complaint.
    if (row.reason.empty() && target->observed_reason() != config::HealthReason::kNone) {
      row.reason = config::to_string(target->observed_reason());
    }
    row.max_connections = description.max_connections;
    row.limit = target->own_limit();
    row.slots = target->pool().limits().max_connections;
    row.servers = target->pool().total();
    row.servers_in_use = target->pool().total() - target->pool().idle() - target->pool().connecting();
    row.lag_seconds = description.lag_seconds;
    rows.push_back(row);
  }
}

template <class P>
void ProxyRuntime<P>::add_rows(std::vector<PoolRow>& rows) const {
  auto now = context_.loop.clock().now();
  for (const auto& [id, target] : targets_) {
    std::map<const pool::KeyPool*, std::uint32_t> pinned;
    for (const auto& [server, owner] : target->servers()) {
      auto client = server->client();
      if (client != nullptr && client->pins() != 0) ++pinned[&server->key_pool()];
    }
    for (const auto& [text, key] : target->pool().keys()) {
      PoolRow row;
      row.proxy = name();
      row.target = id;
      row.role = config::to_string(target->description().role);
      row.user = target->key_of(*key)->user;
      row.database = target->key_of(*key)->database;
      row.paused = paused();
      row.clients_active = key->active_count;
      row.clients_waiting = key->waiting_count;
      row.servers_idle = key->idle_count;
      row.servers_active = key->active_count;
      row.servers_pinned = pinned[key.get()];
      row.servers_connecting = key->connecting_count;
      if (!key->waiters.empty()) {
        row.longest_wait_seconds = std::chrono::duration<double>(now - key->waiters.front().since).count();
      }
      rows.push_back(row);
    }
  }
}

template <class P>
void ProxyRuntime<P>::add_rows(std::vector<PinRow>& rows) const {
  auto now = context_.loop.clock().now();
  for (const auto& [client, owner] : clients_) {
    if (client->pins() == 0) continue;
    PinRow row;
    row.proxy = name();
    row.endpoint = client->endpoint().endpoint.name;
    row.client = client->name();
    row.user = client->pool_key()->user;
    row.database = client->pool_key()->database;
    if (client->target() != nullptr) row.target = client->target()->description().id;
    row.application_name = client->side().application_name(client->session());
    const auto names = P::pin_reason_names();
    for (std::size_t i = 0; i < names.size(); ++i) {
      if ((client->pins() >> i) & 1) row.reasons.emplace_back(names[i]);
    }
    if (auto session = client->session()) row.statement_digest = session->pin_statement();
    row.pinned_seconds = std::chrono::duration<double>(now - client->pinned_since()).count();
    rows.push_back(row);
  }
}

}  // namespace dbproxy::worker
