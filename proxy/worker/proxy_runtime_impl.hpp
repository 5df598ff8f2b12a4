// ProxyRuntime between two snapshots; proxy_runtime_apply_impl.hpp has what a new one does, and
// proxy_runtime_choice_impl.hpp which target a client is brought to.
#pragma once

#include <algorithm>
#include <unistd.h>

#include "proxy/base/log.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

template <class P>
ProxyRuntime<P>::ProxyRuntime(Context& context, metrics::Registry& registry, Prepared prepared,
                              ObservationSink& observation_sink, typename P::Shared& shared)
    : context_(context),
      registry_(registry),
      prepared_(std::move(prepared)),
      observation_sink_(observation_sink),
      shared_(shared),
      stats_(registry, name(), P::pin_reason_names()),
      side_(context, name()),
      record_(context.record(name())),
      budget_(context.options.budget, record_ ? slots_file(context.options.budget, name()) : std::string(),
              !context.begun.insert(name()).second),
      left_behind_(*this, record_) {
  if (context_.count_alone) budget_.count_alone();
  apply_tls();
}

template <class P>
ProxyRuntime<P>::~ProxyRuntime() {
  while (!clients_.empty()) clients_.begin()->second->close();
}

template <class P>
void ProxyRuntime<P>::accept(const std::shared_ptr<EndpointRuntime>& endpoint, int fd, bool unix_socket) {
  if (ending_ && !deleted_) {
    ::close(fd);
    return;
  }
  stats_.clients_accepted->add();
  auto made = std::make_unique<ClientConnection<P>>(*this, endpoint, context_, fd, unix_socket);
  auto& client = *made;
  clients_.emplace(&client, std::move(made));
  client.start();
}

template <class P>
std::uint64_t ProxyRuntime<P>::generation(const std::string& user) const {
  if (generations_.empty()) return 0;
  auto it = generations_.find(user);
  return it == generations_.end() ? 0 : it->second;
}

template <class P>
void ProxyRuntime<P>::client_gone(ClientConnection<P>& client) {
  stats_.clients_closed->add();
  auto it = clients_.find(&client);
  if (it == clients_.end()) return;
  context_.loop.retire(std::move(it->second));
  clients_.erase(it);
}

template <class P>
void ProxyRuntime<P>::observed(const Target<P>& target, config::HealthReason reason, const std::string& user) {
  if (!observation_sink_) return;
  TargetObservation observation;
  observation.proxy = name();
  observation.target = target.description().id;
  observation.user = user;
  observation.reason = reason;
  observation.health =
      reason == config::HealthReason::kNone ? config::TargetHealth::kAvailable : config::TargetHealth::kUnavailable;
  observation_sink_(observation);
}

template <class P>
std::string ProxyRuntime<P>::borrow_timeout_error(const Target<P>& target) const {
  auto seconds = std::to_string(snapshot().pool.borrow_timeout.count());
  bool full = target.usable() && target.reachable() && target.own_limit() > 0;
  auto message = "timed out after " + seconds + " s waiting for a database connection";
  return P::error(full ? Trouble::kPoolFull : Trouble::kUnreachable, message,
                  full ? "All server connections are in use: shorten transactions, or raise maxConnectionsPercent, "
                         "connectionBorrowTimeoutSeconds or what limits connections in the DBProxy."
                       : "The database cannot be reached; dbproxyctl targets shows why.");
}

template <class P>
void ProxyRuntime<P>::tick() {
  auto now = context_.loop.now();
  if (debug_logging_ && now >= debug_until_) {
    debug_logging_ = false;
    log::warn("query", "debug logging turned itself off after 24 h", {{"proxy", name()}});
    for (const auto& [client, owner] : clients_) {
      if (client->session() != nullptr) client->session()->keep_text = false;
    }
  }
  if (paused() && now >= paused_until_) {
    end_pause("its time is over");
    for (const auto& [id, target] : targets_) target->update(config::Target(target->description()));
  }
  // With a time-out of 0, who still waits waits for a connection that is being opened.
  auto timeout = std::max<Duration>(snapshot().pool.borrow_timeout, std::chrono::seconds(1));
  const auto look_after = [&](Target<P>& target) {
    while (auto waiter = paused() ? nullptr : target.pool().first_waiter()) {
      if (now - waiter->since < timeout) break;
      auto& client = *static_cast<ClientConnection<P>*>(waiter);
      const std::string refusal = target.refusal_of(client.pool_key()->user);
      if (refusal.empty()) {
        client.borrow_timed_out(borrow_timeout_error(target));
        continue;
      }
      target.cancel(client);
      client.refused(refusal);
    }
    target.tick();
    tell_waiting(target);
  };
  for (const auto& [id, target] : targets_) look_after(*target);
  if (nobody_) look_after(*nobody_);
  balance_readers();
  left_behind_.look();
  for (const auto& [id, target] : targets_) target->note_idle();
  settle_budget();
  for (const auto& target : leaving_) target->check_peers();
  std::erase_if(leaving_, [](const auto& target) { return target->unused(); });
  std::erase_if(keys_, [](const auto& item) { return item.second.use_count() == 1; });
  side_.tick();
  if (!trouble_.empty() && now - keys_looked_for_ > kLookForKeys) look_for_keys();
  update_gauges();
}

template <class P>
void ProxyRuntime<P>::tell_waiting(Target<P>& target) {
  auto now = context_.loop.now();
  std::string notice;
  for (auto& waiter : target.pool().waiters()) {
    if (now - waiter.since < context_.options.wait_notice) break;
    if (notice.empty()) {
      bool full = target.usable() && target.reachable();
      notice = P::notice("the query waits for a database connection",
                         paused() ? "The DBProxy is paused."
                         : full   ? "All that this user and database may have are in use."
                                  : "The database cannot be reached.");
      if (notice.empty()) return;  // the engine has none
    }
    static_cast<ClientConnection<P>&>(waiter).tell_waiting(notice);
  }
}

template <class P>
void ProxyRuntime<P>::update_gauges() {
  auto counts = row();
  std::uint64_t login = 0, tls = 0, pinned = 0, replication = 0;
  for (const auto& [client, owner] : clients_) {
    if (client->state() < ClientConnection<P>::State::kGreeting) ++login;
    if (client->tls()) ++tls;
    if (client->pins() != 0) ++pinned;
    if (client->state() == ClientConnection<P>::State::kTunnel) ++replication;
  }
  stats_.clients_login->set(login);
  stats_.clients_tls->set(tls);
  stats_.clients_pinned->set(pinned);
  stats_.clients_replication->set(replication);
  stats_.clients_active->set(counts.clients_active - replication);
  stats_.clients_waiting->set(counts.clients_waiting);
  stats_.clients_idle->set(counts.clients - counts.clients_active - counts.clients_waiting - login);
  Duration longest{};
  for (const auto& [id, target] : targets_)
    longest = std::max(longest, target->pool().longest_wait(context_.loop.now()));
  stats_.longest_wait->set(static_cast<std::uint64_t>(longest.count()));
}

template <class P>
void ProxyRuntime<P>::retire_clients(std::string_view message) {
  for (auto client : client_list()) client->retire(Trouble::kGoingAway, message);
}

template <class P>
std::vector<ClientConnection<P>*> ProxyRuntime<P>::client_list() const {
  std::vector<ClientConnection<P>*> clients;
  clients.reserve(clients_.size());
  for (const auto& [client, owner] : clients_) clients.push_back(client);
  return clients;
}

template <class P>
bool ProxyRuntime<P>::may_log_refusal() {
  auto now = context_.loop.now();
  if (now - refusals_since_ >= std::chrono::seconds(1)) {
    refusals_since_ = now;
    refusals_logged_ = 0;
  }
  return ++refusals_logged_ <= 10;
}

template <class P>
void ProxyRuntime<P>::drain(bool end_now) {
  if (!end_now) return;
  ending_ = true;
  close_endpoints({});
  endpoints_.clear();
  retire_clients("terminating connection: the sidecar is shutting down");
  for (const auto& [id, target] : targets_) target->close_idle();
}

template <class P>
void ProxyRuntime<P>::remove() {
  ending_ = deleted_ = true;
  retire_clients("terminating connection: DBProxy " + name() + " was deleted");
  for (const auto& [id, target] : targets_) target->close_idle();
  log::info("config", "removed", {{"proxy", name()}, {"clients", clients_.size()}});
}

// A DBProxy that came back takes all ports of its own, whichever it listens on now: one of them is nobody's address.
template <class P>
void ProxyRuntime<P>::give_way(const config::Snapshot& other) {
  Endpoints kept;
  for (const auto& endpoint : endpoints_) {
    const bool taken = std::any_of(other.endpoints.begin(), other.endpoints.end(),
                                   [&](const auto& each) { return each.port == endpoint->endpoint.port; });
    if (!taken && name() != other.name_space + "/" + other.name) kept.push_back(endpoint);
  }
  close_endpoints(kept);
  endpoints_ = std::move(kept);
}

template <class P>
ProxyRow ProxyRuntime<P>::row() const {
  ProxyRow row;
  row.proxy = name();
  row.version = snapshot().version;
  row.draining = ending_;
  row.paused = paused();
  row.trouble = trouble_;
  row.gave_way = stats_.time_limits[static_cast<std::size_t>(TimeLimit::kGiveBack)]->get();
  row.endpoints = snapshot().endpoints;
  row.clients = static_cast<std::uint32_t>(clients_.size());
  for (const auto& [client, owner] : clients_) {
    if (client->waiting()) {
      ++row.clients_waiting;
    } else if (client->server() != nullptr) {
      ++row.clients_active;
      if (client->pins() != 0) ++row.pinned;
    }
  }
  const auto add_backends = [&row](const Target<P>& target) {
    for (const auto& [server, owner] : target.servers()) {
      if (server->side().id() != 0) row.backends[target.description().id].push_back(server->side().id());
    }
  };
  for (const auto& target : leaving_) add_backends(*target);
  left_behind_.add_ids(row.backends);
  for (const auto& [id, target] : targets_) {
    add_backends(*target);
    row.servers += target->pool().total();
    row.servers_in_use += target->pool().total() - target->pool().idle() - target->pool().connecting();
  }
  return row;
}

}  // namespace dbproxy::worker
