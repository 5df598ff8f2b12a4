// Server: every sidecar's stream, and what each is to have.
//
// gRPC over TLS. Nothing is served without a token that belongs to the identity of the Hello. `publish` says what a
// DBProxy is from now on; streams get it when it differs from what they hold. The connections that sidecars may have
// are leased to them (budgets.hpp).
//
// Thread-safe. Streams live on gRPC's threads, which are few and do not grow with the streams; `on_target_report` is
// called on them and must not block.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "operator/control/ceiling_store.hpp"
#include "operator/control/rows.hpp"
#include "operator/control/token_store.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/pki/pki.hpp"
#include "proxy/topology/observation.hpp"

namespace dbproxy::operator_control {

struct ServerOptions {
  std::string listen = "127.0.0.1:9931";
  pki::Identity identity;
  // Signs a certificate for each sidecar's own listeners; without a certificate in it, sidecars make their own.
  pki::Authority authority;
  std::chrono::seconds listener_life = std::chrono::hours(24 * 90);  // of those
  std::string software_version;
  // Where the ceilings of connection budgets are kept. None: nothing is leased, each sidecar counts by itself.
  std::shared_ptr<CeilingStore> ceilings = {};
  std::function<bool()> certain = {};  // whether leadership is certain now; asked before slots are granted
  // What became of a sidecar that is silent and may have connections. None: it may come back. Must not block.
  std::function<Fate(const std::string& identity)> fate = {};
  std::function<void(const BudgetNews& news)> budget_news = {};
  std::chrono::milliseconds hello_timeout{5000};
  double messages_per_second = 200, message_burst = 1000;     // of one stream
  double admissions_per_second = 500, admission_burst = 500;  // of all together: a storm of reconnects is spread
};

class Server {
 public:
  Server(ServerOptions options, const TokenStore& tokens, metrics::Registry& registry, const Clock& clock);
  ~Server();  // stops
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Before start. Called for each TargetReport.
  void on_target_report(std::function<void(const TargetReport&)> sink);

  // Before start. Called about once a second with the DBProxies that sidecars are connected for, and whether any of
  // those has clients.
  void on_use(std::function<void(const std::map<std::string, topology::Use>&)> sink);

  // Returns "" or why it cannot listen.
  std::string start();
  int port() const;  // as bound
  // What the next handshake shows, and what signs from now on. Streams that are up stay; sidecars whose certificate
  // another authority has signed get a new one within a second.
  void set_certificates(const pki::Identity& identity, const pki::Authority& authority);
  // Tells the sidecars, ends their streams, and returns within about a second. Idempotent.
  void stop();

  // DBProxies that changed, by namespace/name; none in place of a snapshot: it is gone. The first call must name all
  // that exist, since a sidecar that holds another one is told from then on that it is gone. Streams wait until then.
  // `unknown`: those that exist and of which nothing can be said now; sidecars keep what they have of them.
  void publish(const std::map<std::string, config::SnapshotPtr>& changed, const std::vector<std::string>& unknown = {});

  // Whether streams are served here. Where they are not, sidecars are sent to the address that `leader` gives at that
  // time ("": nobody leads, come back). Streams that are up when leading ends are ended.
  void lead(bool leading, std::function<std::string()> leader = {});
  // Asks the token store about all streams within a second: what tokens are good for has changed.
  void recheck();
  // A sidecar has ended, and its connections with it.
  void ended(const std::string& identity);

  std::vector<SidecarRow> sidecars() const;  // by identity, then proxy
  // Asks, along with whatever else is asked of a database, for sessions that sidecars may have left behind, and for
  // those of others. Notes which server it is that answers.
  topology::ProbeResult ask(const topology::Prober& prober, const topology::ProbeRequest& request);
  ServerNames servers() const;
  std::vector<BudgetRow> budgets() const;                // by proxy, then lane; the sum first
  std::vector<LatencyRow> latencies() const;             // by proxy
  std::vector<PinnedRow> pins() const;                   // by proxy, most sessions first
  SidecarCounts counts(const std::string& proxy) const;  // of those that are to have this one

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::operator_control
