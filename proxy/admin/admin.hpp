// Admin: the sidecar's HTTP server.
//
//   GET  /metrics /healthz /readyz /startupz         for the kubelet and Prometheus: whoever can connect
//   POST /drain[?timeout=SECONDS]                    Unix socket, or loopback when it listens there
//   GET  /api/v1/{dbproxies,targets,pools,pins,sidecars,latency}   likewise; JSON for dbproxyctl
//   GET  / and /events                               likewise; the live page, and what it and `dbproxyctl top` show
//
// /healthz says that the process lives, also while it drains. /readyz never depends on the database nor on the
// operator. `put` and `remove` tell it what is in force, for the tags in dbproxy_proxy_info; any thread may call them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "proxy/admin/source.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/http/server.hpp"
#include "proxy/metrics/registry.hpp"

namespace dbproxy::admin {

struct AdminOptions {
  http::ServerOptions http;
  std::string identity;  // namespace/pod, or the name given with --identity
  std::chrono::milliseconds drain_timeout{25'000};
};

class Admin {
 public:
  // `registry` must outlive it.
  Admin(AdminOptions options, Source source, const metrics::Registry& registry);
  ~Admin();  // stops

  // Returns "" or a sentence that says why it cannot listen.
  std::string start();
  void stop();
  std::uint16_t port() const;

  void put(config::SnapshotPtr snapshot);
  void remove(const std::string& proxy);  // namespace/name

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::admin
