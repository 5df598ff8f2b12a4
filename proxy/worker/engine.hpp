// Engine: one kind of database as the Service sees it; Runtime: one DBProxy of that kind in force on the worker.
//
// Virtual, since nothing here is on the path of a query. An Engine's prepare() may be called from any thread; all else
// belongs to the worker's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/config/snapshot.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/net/address_policy.hpp"
#include "proxy/net/listener.hpp"
#include "proxy/net/tls.hpp"
#include "proxy/worker/service.hpp"

namespace dbproxy::worker {

struct Context;

struct EndpointRuntime {
  config::Endpoint endpoint;
  std::vector<std::unique_ptr<net::Listener>> listeners;
};

// What a snapshot needs besides itself; made by the Service before the worker sees it.
struct Prepared {
  config::SnapshotPtr snapshot;
  net::SslContext listener_tls;      // null: clients get no TLS
  net::SslContext server_tls;        // null: tls.mode disable
  std::shared_ptr<const void> keys;  // what the Engine has derived; only its own runtimes look into it
  net::AddressPolicy address_policy = {};
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  // Opens listeners that are new and closes those that are gone; then the rest. Returns "" or why not; then nothing
  // has changed.
  virtual std::string apply(Prepared prepared) = 0;
  virtual void tick() = 0;  // four times a second
  virtual void drain(bool end_now) = 0;
  // Clients end between transactions; who comes from now on is told that the DBProxy was deleted.
  virtual void remove() = 0;
  // After remove(): leaves the ports that the other one wants.
  virtual void give_way(const config::Snapshot& other) = 0;
  virtual bool listening() const = 0;
  virtual bool empty() const = 0;  // no client is left

  virtual void take(const budget::Open& open) = 0;
  virtual void take(const budget::Allowance& allowance) = 0;
  virtual void count_alone() = 0;
  virtual void operator_is_away() = 0;
  // It need not wait for the operator to open its first connection.
  virtual bool has_slots() const = 0;
  // Closes what there is; true when nothing is left and that has been told.
  virtual bool leave_budget() = 0;

  virtual ProxyRow row() const = 0;
  virtual void add_rows(std::vector<TargetRow>& rows) const = 0;
  virtual void add_rows(std::vector<PoolRow>& rows) const = 0;
  virtual void add_rows(std::vector<PinRow>& rows) const = 0;
};

using ObservationSink = std::function<void(const TargetObservation&)>;

class Engine {
 public:
  virtual ~Engine() = default;
  virtual config::EngineFamily family() const = 0;
  // What takes CPU and belongs to the users' passwords: derived once for each password, on the caller's thread.
  virtual std::shared_ptr<const void> prepare(const config::Snapshot& snapshot) = 0;
  virtual std::unique_ptr<Runtime> make(Context& context, metrics::Registry& registry, Prepared prepared,
                                        ObservationSink& sink) = 0;
  // For a client that has waited for too long on a port that nobody has configured yet.
  virtual std::string no_configuration() const = 0;
};

}  // namespace dbproxy::worker
