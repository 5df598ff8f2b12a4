// Service: the sidecar's data plane as the rest of the program sees it.
//
// Owns the worker thread(s), their listeners, clients and pools. Every method may be called from any thread but a
// worker's own; calls are posted to the worker and wait for its answer, so they return after at most a few
// milliseconds. Configuration comes in through `apply`, for each DBProxy by itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/clock.hpp"
#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/worker/budget_side.hpp"

namespace dbproxy::aws {
class OwnKeys;
}

namespace dbproxy::worker {

struct ServiceOptions {
  std::string bind_address = "127.0.0.1";  // where application endpoints listen
  std::string socket_dir;                  // where Unix sockets are made; empty: none
  std::string default_application_name;    // for clients that set none; empty: nothing is added
  // With clientAuth: PodIdentity on the Unix socket: none but our own user and root, since nobody proved whose machine
  // this is. False: everybody, since all that share the socket are of one pod, which the operator has proved.
  bool own_user_only = true;
  bool read_catalog = true;  // of each database, for functions that change session state
  // Of the lines about log-ins: where clients are, "namespace/pod" or the identity, and the pod's service account.
  // Empty: not said.
  std::string server_label, service_account;
  Duration catalog_age = std::chrono::seconds(60);  // of what is known of a catalogue, at most. Only tests have another
  Duration wait_notice = std::chrono::seconds(5);   // after which a waiting client is told so. Only tests have another
  BudgetOptions budget;
  std::shared_ptr<aws::OwnKeys> own_keys;  // of AWS; null: the process's own, lent to nobody
  // After which a server that acknowledges nothing counts as vanished. Only tests have another.
  std::chrono::milliseconds server_silence{15'000};
};

// What clients are shown when they ask for TLS. Both PEM; the certificate may be followed by its issuers.
struct ListenerTls {
  std::string certificate_pem;
  Secret key_pem;
};

struct PoolRow {
  std::string proxy, target, role, user, database;
  std::uint32_t clients_active = 0, clients_waiting = 0;
  std::uint32_t servers_idle = 0, servers_active = 0, servers_pinned = 0, servers_connecting = 0;
  double longest_wait_seconds = 0;
  bool paused = false;
};

struct PinRow {
  std::string proxy, endpoint, client, user, database, target, application_name;
  std::vector<std::string> reasons;
  std::string statement_digest;  // literals replaced by ?
  double pinned_seconds = 0;
};

struct TargetRow {
  std::string proxy, id, host, role, health, reason;
  std::uint16_t port = 0;
  std::uint32_t max_connections = 0, limit = 0, servers = 0, servers_in_use = 0;
  std::uint32_t slots = 0;  // of the limit, what this sidecar may have now
  double lag_seconds = 0;
};

struct ProxyRow {
  std::string proxy;
  std::uint64_t version = 0;
  bool draining = false, paused = false;
  std::vector<config::Endpoint> endpoints;
  std::uint32_t clients = 0, clients_active = 0, clients_waiting = 0, servers = 0, servers_in_use = 0, pinned = 0;
  std::map<std::string, std::vector<std::uint32_t>> backends;  // by target: as the servers number the connections
  std::string trouble;         // what keeps clients out and is not the database's fault, in words
  std::uint64_t gave_way = 0;  // idle transactions ended for other sidecars, which waited
};

// What this sidecar learned about a target by using it.
struct TargetObservation {
  std::string proxy, target, user;
  config::TargetHealth health = config::TargetHealth::kAvailable;
  config::HealthReason reason = config::HealthReason::kNone;
  bool operator==(const TargetObservation&) const = default;
};

class Engine;
using Engines = std::vector<std::unique_ptr<Engine>>;

class Service {
 public:
  // `engines`: the kinds of databases that it can serve; the first one's words greet who waits for configuration.
  Service(Engines engines, ServiceOptions options, metrics::Registry& registry, const Clock& clock);
  ~Service();  // stops the worker; connections are closed

  // Puts the snapshot in force: new listeners, users, targets, limits. Returns "" or a sentence that says why not
  // (a port in use, a certificate that cannot be parsed); then what was in force before still is.
  std::string apply(config::SnapshotPtr snapshot, ListenerTls tls);
  // The DBProxy is gone: clients are told so and ended between transactions; so is whoever comes later, until another
  // one takes the ports.
  void remove(const std::string& proxy);

  // Listens on these ports at once; clients wait there until a snapshot has an endpoint with that port. "" or why not.
  std::string listen_early(const std::vector<std::uint16_t>& ports);
  bool listening() const;  // on these ports, or on those of a snapshot

  // At least one snapshot is in force and its listeners are up; and the first slots are there, or have not come for two
  // seconds: so that who is ready does not depend on an operator that goes at this moment.
  bool configured() const;

  std::vector<ProxyRow> proxies();
  std::vector<TargetRow> targets();
  std::vector<PoolRow> pools();
  std::vector<PinRow> pins();

  // Called on the worker thread whenever what a target shows changes; must not block.
  void on_observation(std::function<void(const TargetObservation&)> sink);

  // The fleet's connection budget. What the operator said; whether it leases at all; and what is to be told to it, on
  // the worker thread, which must not block.
  void take(const std::string& proxy, const budget::Open& open);
  void take(const std::string& proxy, const budget::Allowance& allowance);
  void count_alone();
  void operator_is_away();  // nobody hears what is told, until it speaks again
  void on_budget_report(BudgetReportSink sink);
  // Everything is drained: ends what server connections there are, tells that, and waits for at most so long until
  // their servers have ended them.
  void leave_budget(std::chrono::milliseconds timeout);

  // Goes on accepting and serving until no client is left or the time is over; then ends idle clients and refuses
  // new ones. Returns at once; `drained` turns true when nothing is left.
  void drain(std::chrono::milliseconds timeout);
  bool draining() const;
  bool drained() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::worker
