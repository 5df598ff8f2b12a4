// ProxyRuntime: one DBProxy in force on a worker: its endpoints, users, targets and clients.
//
// Everything a connection asks about configuration goes through here, so that a new snapshot is one exchange. One
// thread.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "proxy/config/snapshot.hpp"
#include "proxy/net/listener.hpp"
#include "proxy/worker/catalog.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/stats.hpp"
#include "proxy/worker/target.hpp"

namespace dbproxy::worker {

struct EndpointRuntime {
  config::Endpoint endpoint;
  std::vector<std::unique_ptr<net::Listener>> listeners;
};

// Keys of all users by name, derived off the worker's thread.
using UserKeys = std::unordered_map<std::string, auth::ScramKeys>;

// What a snapshot needs besides itself; made by the Service before the worker sees it.
struct Prepared {
  config::SnapshotPtr snapshot;
  net::SslContext listener_tls;  // null: clients get no TLS
  net::SslContext server_tls;    // null: tls.mode disable
  UserKeys keys;
};

class ProxyRuntime {
 public:
  ProxyRuntime(Context& context, metrics::Registry& registry, Prepared prepared,
               std::function<void(const TargetObservation&)>& observation_sink);
  ~ProxyRuntime();

  // Opens listeners that are new and closes those that are gone; then the rest. Returns "" or why not; then nothing
  // has changed.
  std::string apply(Prepared prepared);
  bool listening() const { return !endpoints_.empty(); }

  const config::Snapshot& snapshot() const { return *prepared_.snapshot; }
  std::string name() const { return snapshot().name_space + "/" + snapshot().name; }
  // What clients are shown when they ask for TLS. Null: they get none, either because there is no certificate, or
  // because the way on to the database would be plain: it is never less encrypted than theirs.
  const net::SslContext& listener_tls() const { return offered_tls_; }
  const net::SslContext& server_tls() const { return prepared_.server_tls; }
  Stats& stats() { return stats_; }
  metrics::Registry& registry() { return registry_; }
  bool debug_logging() const { return debug_logging_; }
  bool has_time_limits() const { return has_time_limits_; }
  session::postgres::ClientOptions client_options() const;
  session::postgres::LoginPolicy login_policy(bool unix_socket);

  // For a client that needs a server connection: `current` as long as it serves, else a new choice. Null: `error` is
  // the ErrorResponse, or empty when there is nobody to wait for yet and the client is told nothing but to wait.
  Target* choose(const EndpointRuntime& endpoint, Target* current, std::string& error);
  const std::shared_ptr<const PoolKey>& pool_key(const std::string& user, const std::string& database,
                                                 wire::postgres::Parameters parameters);
  const std::shared_ptr<Catalog>& catalog(const std::string& database);
  // What a client of this key is greeted with; null until a server connection has shown it.
  session::postgres::SettingsPtr greeting(const PoolKey& key, config::TargetRole role) const;
  void learn_greeting(const PoolKey& key, config::TargetRole role, session::postgres::SettingsPtr settings);
  void forget_greeting(const PoolKey& key);
  // What a server made of settings that a start-up packet asks for; null: none was asked yet.
  const session::postgres::Settings::Values* start_settings(const PoolKey& key,
                                                            const session::postgres::Settings::Values& asked) const;
  void learn_start_settings(const PoolKey& key, const session::postgres::Settings::Values& asked,
                            session::postgres::Settings::Values values);
  // Derived keys for logging in to servers, kept because servers keep their salt.
  const auth::ScramKeys* server_keys(const std::string& user, const std::string& salt, int iterations) const;
  void keep_server_keys(const std::string& user, const auth::ScramKeys& keys);
  // Counts up whenever this user's credential changes: connections opened before are not reused.
  std::uint64_t generation(const std::string& user) const;

  void client_gone(ClientConnection& client);
  // A flood of bad log-ins is counted in full, but at most ten a second are logged.
  bool may_log_refusal();
  void passed_on_cancel() { stats_.cancels->add(); }
  void cancel_request(std::uint32_t process_id, std::string_view key);
  void observed(const Target& target, config::HealthReason reason, const std::string& user);
  // What a client is told that has waited for too long for `target`.
  std::string borrow_timeout_error(const Target& target) const;

  void tick();
  void drain(bool end_now);
  void remove();
  bool empty() const { return clients_.empty(); }

  const std::map<std::string, std::unique_ptr<Target>>& targets() const { return targets_; }
  const std::unordered_map<ClientConnection*, std::unique_ptr<ClientConnection>>& clients() const { return clients_; }
  ProxyRow row() const;

 private:
  using Endpoints = std::vector<std::shared_ptr<EndpointRuntime>>;
  std::string open_endpoints(const config::Snapshot& snapshot, Endpoints& opened);
  std::string open_endpoint(const std::shared_ptr<EndpointRuntime>& runtime);
  void close_endpoints(const Endpoints& but);
  void accept(const std::shared_ptr<EndpointRuntime>& endpoint, int fd, bool unix_socket);
  void apply_targets();
  void apply_users(const config::Snapshot& before);
  // A copy: whatever is done to a client may end it.
  std::vector<ClientConnection*> client_list() const;
  void retire_clients(std::string_view sqlstate, std::string_view message);
  void apply_debug_logging();
  void apply_tls();
  void tell_waiting(Target& target);
  void update_gauges();

  Context& context_;
  metrics::Registry& registry_;
  Prepared prepared_;
  net::SslContext offered_tls_;
  std::function<void(const TargetObservation&)>& observation_sink_;
  Stats stats_;
  Endpoints endpoints_;
  std::map<std::string, std::unique_ptr<Target>> targets_;
  std::vector<std::unique_ptr<Target>> leaving_;  // no longer configured, until their connections are done
  std::unordered_map<ClientConnection*, std::unique_ptr<ClientConnection>> clients_;
  std::unordered_map<std::string, std::shared_ptr<const PoolKey>> keys_;
  std::unordered_map<std::string, std::shared_ptr<Catalog>> catalogs_;
  std::unordered_map<std::string, session::postgres::SettingsPtr> greetings_;
  std::unordered_map<std::string, session::postgres::Settings::Values> starts_;
  std::unordered_map<std::string, auth::ScramKeys> server_keys_;
  std::unordered_map<std::string, std::uint64_t> generations_;
  bool debug_logging_ = false;
  bool has_time_limits_ = false;
  bool ending_ = false;  // no new clients
  TimePoint refusals_since_{};
  int refusals_logged_ = 0;
  TimePoint debug_until_{};
};

}  // namespace dbproxy::worker
