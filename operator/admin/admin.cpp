#include "operator/admin/admin.hpp"

#include <chrono>

#include "operator/admin/json.hpp"
#include "proxy/http/log_routes.hpp"
#include "proxy/live/live.hpp"
#include "proxy/metrics/page.hpp"

namespace dbproxy::operator_admin {
namespace {

constexpr std::chrono::seconds kSameNews{1};

http::Response answer(unsigned status, std::string body) {
  http::Response response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

}  // namespace

struct Admin::Impl {
  Impl(AdminOptions options, std::function<OperatorView()> from, const metrics::Registry& printed)
      : view(std::move(from)), registry(printed), server(options.http) {
    routes(std::move(options));
  }

  std::function<OperatorView()> view;
  const metrics::Registry& registry;
  http::Response told;  // of the server's thread
  std::chrono::steady_clock::time_point told_at;
  http::Server server;  // last: its thread uses the rest

  // Made once for all who look within a second.
  http::Response news() {
    const auto now = std::chrono::steady_clock::now();
    if (told.body.empty() || now - told_at >= kSameNews) {
      told = live::event(live_parts(view()));
      told_at = now;
    }
    return told;
  }

  void routes(AdminOptions options) {
    using http::Request;
    server.route("GET", "/metrics", [this](const Request& request) {
      std::vector<prometheus::MetricFamily> extra = metrics::process_families();
      extra.push_back(metrics::build_info_family());
      auto page = metrics::rendered(metrics::page(registry, std::move(extra)), request.header("Accept"));
      http::Response response;
      response.content_type = std::move(page.content_type);
      response.body = std::move(page.body);
      return response;
    });
    server.route("GET", "/healthz", [](const Request&) { return answer(200, "ok\n"); });
    server.route("GET", "/readyz", [this](const Request&) {
      return view().ready ? answer(200, "ok\n") : answer(503, "manifests are not read yet, or nothing listens\n");
    });
    http::RouteOptions guard;
    guard.access = options.authorize ? http::Access::kPublic : http::Access::kPrivate;
    guard.authorize = std::move(options.authorize);
    using Print = std::string (*)(const OperatorView&);
    static constexpr std::pair<const char*, Print> kPages[]{
        {"dbproxies", proxies_json}, {"targets", targets_json},
        {"sidecars", sidecars_json}, {"diagnostics", diagnostics_json},
        {"pins", pins_json},         {"latency", latency_json},
        {"events", events_json}};
    for (const auto& [name, print] : kPages) {
      const auto handler = [this, print = print](const Request&) {
        http::Response response;
        response.content_type = "application/json";
        response.body = print(view());
        return response;
      };
      server.route("GET", std::string("/api/v1/") + name, handler, guard);
    }
    server.route(
        "GET", "/events", [this](const Request&) { return news(); }, guard);
    http::RouteOptions page = guard;
    page.authorize = {};  // it says nothing by itself: it asks for a token, and with that for /events
    if (options.live_page) {
      server.route(
          "GET", "/", [](const Request&) { return live::page(); }, page);
    }
    const http::RouteOptions readers = guard;
    if (options.authorize_change) guard.authorize = std::move(options.authorize_change);
    http::add_log_routes(server, "operator", readers, guard);
    if (options.maintenance.pause) http::add_maintenance_routes(server, "operator", options.maintenance, guard);
  }
};

Admin::Admin(AdminOptions options, std::function<OperatorView()> view, const metrics::Registry& registry)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(view), registry)) {}

Admin::~Admin() {
  stop();
}

std::string Admin::start() {
  return impl_->server.start();
}

void Admin::stop() {
  impl_->server.stop();
}

std::uint16_t Admin::port() const {
  return impl_->server.port();
}

}  // namespace dbproxy::operator_admin
