// Target: one cluster member as this sidecar uses it: its pool, its connections, and what was learned by connecting.
//
// One thread. Carries out what the pool decides: opens and closes connections, wakes the clients that get one.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "proxy/config/snapshot.hpp"
#include "proxy/net/tls.hpp"
#include "proxy/pool/pool.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/stats.hpp"

namespace dbproxy::worker {

class ProxyRuntime;
class ServerConnection;
class ClientConnection;

// What distinguishes pools on one target: who logs in where, with which settings that only a start can set.
struct PoolKey {
  std::string text;  // unique spelling of all below
  std::string user, database;
  wire::postgres::Parameters parameters;  // sorted by name
  bool replication = false;               // its connections are used once, by one client from end to end
};

// The last failed attempt to open a connection for a key, so that it is not repeated at once.
struct OpenFailure {
  TimePoint until{};
  std::string error;             // an ErrorResponse for clients; empty: keep waiting
  std::uint64_t generation = 0;  // of the credentials that were tried
};

class Target {
 public:
  Target(ProxyRuntime& proxy, Context& context, const config::Target& description);
  ~Target();

  const config::Target& description() const { return description_; }
  // New facts about it: limits are put in force at once.
  void update(const config::Target& description);
  bool usable() const { return description_.health != config::TargetHealth::kUnavailable; }

  // The connection, attached; or null and the client waits. A refused key answers through `error` instead.
  ServerConnection* acquire(ClientConnection& client, const std::shared_ptr<const PoolKey>& key, std::string& error);
  void cancel(ClientConnection& client);
  void release(ServerConnection& server);
  // The connection is logged in and ready.
  void opened(ServerConnection& server);
  // It failed before that. `error`: what clients of this key are told, empty to let them wait for the next attempt.
  void open_failed(ServerConnection& server, config::HealthReason reason, std::string error);
  // It ended after it was ready.
  void lost(ServerConnection& server);

  void tick();         // four times a second
  void check_peers();  // likewise, where there is no tick() any more: ends connections whose server has vanished
  void close_idle();
  void require_current_credentials();
  // Ends everything; waiting clients are told `error`.
  void shut_down(const std::string& error);
  bool unused() const { return servers_.empty() && pool_.waiting() == 0; }

  pool::TargetPool& pool() { return pool_; }
  const pool::TargetPool& pool() const { return pool_; }
  TargetStats& stats() { return stats_; }
  const std::unordered_map<ServerConnection*, std::unique_ptr<ServerConnection>>& servers() const { return servers_; }
  // Whom the sub-pool is for.
  const std::shared_ptr<const PoolKey>& key_of(const pool::KeyPool& key) const { return by_pool_.at(&key); }
  // Protocol 3.2: known of a server that an earlier connection has shown to be PostgreSQL 18 or later.
  bool speaks_3_2() const { return major_version_ >= 18; }
  void learn_version(const wire::postgres::Parameters& greeting);
  bool reachable() const { return observed_ == config::HealthReason::kNone; }
  // What using it has shown. AUTH_FAILURE as long as any user's credentials are refused; the others are served.
  config::HealthReason observed_reason() const {
    return refused_users_.empty() ? observed_ : config::HealthReason::kAuthFailure;
  }

 private:
  pool::KeyPool& sub_pool(const std::shared_ptr<const PoolKey>& key);
  void forget_unused_keys();
  void perform(pool::Actions& actions);
  void hand_over(pool::Waiter* waiter, ServerConnection& server);
  void forget(ServerConnection& server);
  void observe(config::HealthReason reason, const std::string& user);
  std::uint32_t limit() const;

  ProxyRuntime& proxy_;
  Context& context_;
  config::Target description_;
  pool::TargetPool pool_;
  TargetStats stats_;
  std::unordered_map<ServerConnection*, std::unique_ptr<ServerConnection>> servers_;
  std::unordered_map<const PoolKey*, pool::KeyPool*> by_key_;  // entries live as long as their sub-pool
  std::unordered_map<const pool::KeyPool*, std::shared_ptr<const PoolKey>> by_pool_;
  std::unordered_map<pool::KeyPool*, OpenFailure> failures_;
  config::HealthReason observed_ = config::HealthReason::kNone;
  std::set<std::string> refused_users_;
  Duration back_off_{};
  int major_version_ = 0;
  TimePoint peers_checked_{};
};

}  // namespace dbproxy::worker
