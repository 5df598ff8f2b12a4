// ProxyRuntime takes a new snapshot: its listeners, users and targets.
#pragma once

#include <algorithm>
#include <unistd.h>

#include "proxy/base/log.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/worker/database_word.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

inline constexpr Duration kDebugLoggingFor = std::chrono::hours(24);

template <class P>
std::string ProxyRuntime<P>::apply(Prepared prepared) {
  Endpoints opened;
  if (!ending_) {
    if (auto error = open_endpoints(*prepared.snapshot, opened); !error.empty()) return error;
  }
  Prepared before = std::exchange(prepared_, std::move(prepared));
  close_endpoints(opened);
  endpoints_ = std::move(opened);

  const auto& limits = snapshot().limits;
  has_time_limits_ = limits.statement_timeout.count() > 0 || limits.transaction_timeout.count() > 0 ||
                     limits.idle_in_transaction_session_timeout.count() > 0;
  apply_tls();
  apply_maintenance();
  apply_users(*before.snapshot);
  apply_targets();
  left_behind_.look();
  settle_budget();
  apply_debug_logging();
  look_for_keys();
  for (auto client : client_list()) {
    bool served = std::any_of(endpoints_.begin(), endpoints_.end(),
                              [&](const auto& item) { return item.get() == &client->endpoint(); });
    if (!served) client->retire(Trouble::kGoingAway, "terminating connection: its endpoint was removed");
    client->new_timeouts();
  }
  log::info("config", "in force",
            {{"proxy", name()}, {"version", snapshot().version}, {"endpoints", endpoints_.size()}});
  return {};
}

// Their clients keep the endpoint for as long as they live, but nobody else comes in by it.
template <class P>
void ProxyRuntime<P>::close_endpoints(const Endpoints& but) {
  for (const auto& endpoint : endpoints_) {
    if (std::find(but.begin(), but.end(), endpoint) == but.end()) endpoint->listeners.clear();
  }
}

// A port that stays keeps its listeners, whatever its endpoint is called now; on failure nothing is opened.
template <class P>
std::string ProxyRuntime<P>::open_endpoints(const config::Snapshot& snapshot, Endpoints& opened) {
  for (const auto& wanted : snapshot.endpoints) {
    auto same = std::find_if(endpoints_.begin(), endpoints_.end(),
                             [&](const auto& item) { return item->endpoint.port == wanted.port; });
    if (same != endpoints_.end()) {
      opened.push_back(*same);
      continue;
    }
    auto made = std::make_shared<EndpointRuntime>();
    made->endpoint = wanted;
    if (auto error = open_endpoint(made); !error.empty()) return error;
    opened.push_back(std::move(made));
  }
  for (std::size_t i = 0; i < opened.size(); ++i) opened[i]->endpoint = snapshot.endpoints[i];
  return {};
}

template <class P>
std::string ProxyRuntime<P>::open_endpoint(const std::shared_ptr<EndpointRuntime>& runtime) {
  const auto& options = context_.options;
  auto port = runtime->endpoint.port;
  std::weak_ptr<EndpointRuntime> weak = runtime;
  auto accepted = [this, weak](int fd, bool unix_socket) {
    if (auto endpoint = weak.lock()) {
      accept(endpoint, fd, unix_socket);
    } else {
      ::close(fd);
    }
  };
  std::string error;
  auto listen = [&](const net::Address& address, const std::string& shown, std::string unix_path) {
    int fd = context_.early_ports.take(shown);
    if (fd < 0) fd = net::listen_on(address, shown, error);
    if (fd < 0) return false;
    bool unix_socket = !unix_path.empty();
    runtime->listeners.push_back(
        std::make_unique<net::Listener>(context_.loop, fd, unix_socket, std::move(unix_path), accepted));
    log::info("net", "listening", {{"proxy", name()}, {"endpoint", runtime->endpoint.name}, {"address", shown}});
    return true;
  };
  auto tcp = net::numeric_address(options.bind_address, port);
  if (!tcp) return "--bind " + options.bind_address + " is not an IP address";
  auto where = "endpoint " + runtime->endpoint.name + ": ";
  if (!listen(*tcp, options.bind_address + ":" + std::to_string(port), {})) return where + error;
  // Clients that try IPv6 first; a machine without it does without.
  if (options.bind_address == "127.0.0.1") {
    if (auto six = net::numeric_address("::1", port)) listen(*six, "[::1]:" + std::to_string(port), {});
    error.clear();
  }
  if (!options.socket_dir.empty()) {
    auto path = options.socket_dir + P::unix_socket_name(port);
    auto address = net::unix_address(path);
    if (!address) return where + "--socket-dir makes a path of more than 107 bytes: " + path;
    if (!listen(*address, path, path)) return where + error;
  }
  return {};
}

template <class P>
void ProxyRuntime<P>::apply_users(const config::Snapshot& before) {
  const auto& now = snapshot();
  // Whose CA it is changes nothing of a connection that is open: an upgraded operator renews none by saying it.
  auto tls_before = before.server_tls;
  tls_before.ca_owner = now.server_tls.ca_owner;
  bool all = tls_before != now.server_tls || before.pool.init_query != now.pool.init_query || before.aws != now.aws;
  for (const auto& user : now.users) {
    auto old = before.find_user(user.name);
    if (all || (old != nullptr && !(old->password == user.password && old->auth_scheme == user.auth_scheme))) {
      ++generations_[user.name];
      side_.forget_user(user.name);
    }
  }
  for (const auto& user : before.users) {
    // One that goes by another name now: its clients may come again by the name of before.
    const auto* still = now.find_user(user.name);
    if (still != nullptr && still->name == user.name) continue;
    ++generations_[user.name];
    side_.forget_user(user.name);
    side_.forget_greetings();
  }
  for (auto client : client_list()) {
    if (!client->pool_key()) continue;
    const auto& name = client->pool_key()->user;
    const auto* user = now.find_user(name);
    const auto* old = before.find_user(name);
    if (user == nullptr) {
      client->retire(Trouble::kGoingAway, "terminating connection: its user is no longer configured in the DBProxy");
    } else if (old != nullptr && old->name != user->name) {
      // What the server told it of itself, session_authorization above all, is not what the next one tells.
      client->retire(Trouble::kGoingAway, "terminating connection: its user has another name in the database now");
    }
  }
  for (const auto& [id, target] : targets_) target->require_current_credentials();
}

template <class P>
void ProxyRuntime<P>::apply_targets() {
  std::map<std::string, std::unique_ptr<Target<P>>> kept;
  std::vector<Target<P>*> demoted;
  for (const auto& wanted : snapshot().targets) {
    auto it = targets_.find(wanted.id);
    bool same = it != targets_.end() && it->second->description().host == wanted.host &&
                it->second->description().port == wanted.port;
    if (same) {
      if (it->second->description().role == config::TargetRole::kReadWrite &&
          wanted.role != it->second->description().role)
        demoted.push_back(it->second.get());
      it->second->update(wanted);
      kept[wanted.id] = std::move(it->second);
      targets_.erase(it);
    } else {
      kept[wanted.id] = std::make_unique<Target<P>>(*this, context_, wanted);
      side_.new_target();
    }
  }
  std::vector<Target<P>*> gone;
  for (auto& [id, target] : targets_) {
    gone.push_back(target.get());
    if (!kept.contains(id)) registry_.retire({{"proxy", name()}, {"target", id}});
    leaving_.push_back(std::move(target));
  }
  targets_ = std::move(kept);
  for (auto target : demoted) target->end_active("another member of the cluster is the writer now");
  for (auto client : client_list()) {
    if (client->target() == nullptr) continue;
    std::string error;
    bool better = client->waiting() && choose(client->endpoint(), client->target(), error) != client->target();
    if (better || std::find(gone.begin(), gone.end(), client->target()) != gone.end()) client->forget_target();
  }
  if (nobody_) choose_again(nobody_->pool());
  for (auto target : gone) target->shut_down({});
}

// A target on a Unix socket is as good as one behind TLS: what is said to it does not leave the machine.
template <class P>
void ProxyRuntime<P>::apply_tls() {
  const auto& targets = snapshot().targets;
  bool encrypted = snapshot().server_tls.mode != config::TlsMode::kDisable;
  bool local = !targets.empty() && std::all_of(targets.begin(), targets.end(), [](const config::Target& target) {
    return target.host.starts_with('/');
  });
  offered_tls_ = encrypted || local ? prepared_.listener_tls : nullptr;
  if (encrypted || local) return;
  for (auto client : client_list()) {
    if (client->tls())
      client->retire(Trouble::kGoingAway, "terminating connection: the way on to the database is not encrypted now");
  }
}

// Whether anybody can be let in may depend on the keys of this process, which are asked for on another thread.
template <class P>
void ProxyRuntime<P>::look_for_keys() {
  keys_looked_for_ = context_.loop.now();
  if (needs_own_keys(snapshot()).empty()) {
    trouble_.clear();
    return;
  }
  context_.verifying().run(
      [this, &tokens = context_.client_tokens, alive = std::weak_ptr<int>(alive_)]() -> net::Offload::Done {
        return [this, alive, failure = tokens.own_keys().own().failure] {
          if (alive.expired()) return;
          std::string why = iam_impossible(needs_own_keys(snapshot()), failure);
          if (!why.empty() && trouble_.empty()) log::warn("config", why, {{"proxy", name()}});
          trouble_ = std::move(why);
        };
      });
}

// Before the targets, whose limits follow from it.
template <class P>
void ProxyRuntime<P>::apply_maintenance() {
  const auto& orders = snapshot().maintenance;
  if (orders.pause != pause_seen_) {
    pause_seen_ = orders.pause;
    if (orders.pause == 0) {
      end_pause("by order");
    } else {
      paused_until_ = context_.loop.now() + orders.pause_for;
      log::info("config", "paused: new transactions wait",
                {{"proxy", name()}, {"at_most_seconds", orders.pause_for.count()}});
    }
  }
  if (orders.reconnect != reconnect_seen_) {
    reconnect_seen_ = orders.reconnect;
    for (const auto& user : snapshot().users) ++generations_[user.name];
    log::info("config", "server connections are replaced as their transactions end", {{"proxy", name()}});
  }
}

template <class P>
void ProxyRuntime<P>::end_pause(std::string_view why) {
  if (!paused()) return;
  paused_until_ = {};
  log::info("config", "resumed", {{"proxy", name()}, {"why", why}});
  // Who has waited only for this has not waited for a connection yet.
  for (const auto& [id, target] : targets_) {
    for (auto& waiter : target->pool().waiters()) waiter.since = context_.loop.now();
  }
}

template <class P>
void ProxyRuntime<P>::apply_debug_logging() {
  if (snapshot().debug_logging && debug_until_ == TimePoint{}) {
    debug_until_ = context_.loop.now() + kDebugLoggingFor;
    debug_logging_ = true;
    log::warn("query", "debug logging is on: statement text is logged for 24 h", {{"proxy", name()}});
  } else if (!snapshot().debug_logging) {
    debug_until_ = {};
    debug_logging_ = false;
  }
  for (const auto& [client, owner] : clients_) {
    if (client->session() != nullptr) client->session()->keep_text = debug_logging_;
  }
}

}  // namespace dbproxy::worker
