// Admin: the operator's HTTP server.
//
//   GET /metrics /healthz /readyz                              whoever can connect
//   GET /                                                      the live page: with a token for what it shows, whoever
//   can
//                                                              connect (it is empty without one); else as the next
//   GET /events                                                what it shows, and `dbproxyctl top`
//   GET /api/v1/{dbproxies,targets,sidecars,diagnostics,events}  Unix socket, loopback, or a token; JSON for dbproxyctl
//   POST /api/v1/{pause,resume,reconnect}?proxy=NAMESPACE/NAME the same, with a token that may change DBProxies
//
// `view` is called on the HTTP thread for every page that needs it and should answer within milliseconds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "operator/admin/view.hpp"
#include "proxy/http/maintenance_routes.hpp"
#include "proxy/http/server.hpp"
#include "proxy/metrics/registry.hpp"

namespace dbproxy::operator_admin {

inline constexpr std::uint16_t kDefaultPort = 9932;

inline http::ServerOptions default_http() {
  http::ServerOptions options;
  options.listen.port = kDefaultPort;
  return options;
}

struct AdminOptions {
  http::ServerOptions http = default_http();
  // Decides about the bearer token of the JSON pages. Unset: none is asked for, and they stay on loopback.
  std::function<bool(std::string_view token)> authorize;
  // The same for what changes something; unset: as for the pages.
  std::function<bool(std::string_view token)> authorize_change;
  http::MaintenanceActions maintenance;
  bool live_page = true;  // GET / is there
};

class Admin {
 public:
  // `registry` must outlive it.
  Admin(AdminOptions options, std::function<OperatorView()> view, const metrics::Registry& registry);
  ~Admin();  // stops

  // Returns "" or a sentence that says why it cannot listen.
  std::string start();
  void stop();
  std::uint16_t port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::operator_admin
