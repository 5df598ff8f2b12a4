#include "proxy/admin/admin.hpp"

#include <charconv>
#include <mutex>
#include <optional>
#include <set>

#include "proxy/admin/json.hpp"
#include "proxy/admin/pgbouncer.hpp"
#include "proxy/base/log.hpp"
#include "proxy/http/log_routes.hpp"
#include "proxy/live/live.hpp"
#include "proxy/metrics/page.hpp"

namespace dbproxy::admin {
namespace {

constexpr std::size_t kMaxTags = 16;
constexpr std::size_t kMaxTagValue = 256;
constexpr long kMaxDrainSeconds = 24 * 3600;

http::Response answer(unsigned status, std::string body) {
  http::Response response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

http::Response json_answer(std::string body) {
  http::Response response;
  response.content_type = "application/json";
  response.body = std::move(body);
  return response;
}

// "": the default. nullopt: not a number of seconds between 0 and a day.
std::optional<std::chrono::milliseconds> drain_timeout(std::string_view text, std::chrono::milliseconds otherwise) {
  if (text.empty()) return otherwise;
  long seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (seconds < 0 || seconds > kMaxDrainSeconds) return std::nullopt;
  return std::chrono::seconds(seconds);
}

metrics::Labels info_labels(const std::string& proxy, const config::Snapshot& snapshot) {
  metrics::Labels labels{{"proxy", proxy}, {"engine", std::string(config::to_string(snapshot.engine))}};
  std::set<std::string> used;
  for (const auto& [tag, value] : snapshot.tags) {
    if (used.size() == kMaxTags) break;
    const std::string name = metrics::label_name("tag_", tag);
    // Two tags may become one name; the page would be refused as a whole if both were printed.
    if (used.insert(name).second) labels.emplace_back(name, value.substr(0, kMaxTagValue));
  }
  return labels;
}

}  // namespace

struct Admin::Impl {
  Impl(AdminOptions given, Source from, const metrics::Registry& printed)
      : options(std::move(given)), source(std::move(from)), registry(printed), server(options.http) {
    routes();
  }

  AdminOptions options;
  Source source;
  const metrics::Registry& registry;
  std::mutex mutex;
  Snapshots snapshots;  // under mutex
  http::Server server;  // last: its thread uses the rest

  Snapshots current() {
    const std::lock_guard lock(mutex);
    return snapshots;
  }

  SidecarState state() const { return {options.identity, source.configured(), source.connected && source.connected()}; }

  std::string metrics_page() {
    std::vector<prometheus::MetricFamily> extra = metrics::process_families();
    extra.push_back(metrics::build_info_family());
    std::vector<metrics::Labels> series;
    for (const auto& [proxy, snapshot] : current()) series.push_back(info_labels(proxy, *snapshot));
    extra.push_back(metrics::info_family("dbproxy_proxy_info", "A DBProxy in force, with its tags. Always 1.", series));
    return metrics::page(registry, std::move(extra));
  }

  http::Response metrics_answer(const http::Request& request) {
    const auto format = request.parameter("format");
    if (!format.empty() && format != "pgbouncer" && format != "dbproxy") {
      return answer(400, "format is dbproxy (the default) or pgbouncer\n");
    }
    auto page = metrics::rendered(
        format == "pgbouncer" ? pgbouncer_page(registry, source.pools(), source.targets()) : metrics_page(),
        request.header("Accept"));
    http::Response response;
    response.content_type = std::move(page.content_type);
    response.body = std::move(page.body);
    return response;
  }

  http::Response drain(const http::Request& request) {
    const auto timeout = drain_timeout(request.parameter("timeout"), options.drain_timeout);
    if (!timeout) return answer(400, "timeout is a whole number of seconds between 0 and 86400\n");
    log::info("admin", "drain asked for", {{"timeout_ms", timeout->count()}});
    source.drain(*timeout);
    return answer(202, source.drained() ? "drained\n" : "draining\n");
  }

  void routes() {
    using http::Request;
    server.route("GET", "/metrics", [this](const Request& request) { return metrics_answer(request); });
    server.route("GET", "/healthz", [](const Request&) { return answer(200, "ok\n"); });
    server.route("GET", "/readyz", [this](const Request&) {
      return source.configured()
                 ? answer(200, "ok\n")
                 : answer(503, "no configuration is in force yet, or no slot for a connection is there\n");
    });
    server.route("GET", "/startupz", [this](const Request&) {
      return source.listening() ? answer(200, "ok\n") : answer(503, "no listener is up yet\n");
    });
    const http::RouteOptions inside{http::Access::kPrivate, {}};
    server.route(
        "POST", "/drain", [this](const Request& request) { return drain(request); }, inside);
    http::add_log_routes(server, "sidecar", inside, inside);
    if (source.maintenance.pause) http::add_maintenance_routes(server, "sidecar", source.maintenance, inside);
    const auto page = [&](const char* path, std::function<std::string()> body) {
      server.route(
          "GET", path, [body = std::move(body)](const Request&) { return json_answer(body()); }, inside);
    };
    std::vector<std::pair<std::string, std::function<std::string()>>> pages{
        {"dbproxies", [this] { return proxies_json(source.proxies(), source.targets(), current(), state()); }},
        {"targets", [this] { return targets_json(source.targets()); }},
        {"pools", [this] { return pools_json(source.pools()); }},
        {"pins", [this] { return pins_json(source.pins()); }},
        {"sidecars", [this] { return sidecars_json(source.proxies(), state()); }},
        {"latency", [this] { return latency_json(registry); }},
    };
    for (const auto& [name, body] : pages) page(("/api/v1/" + name).c_str(), body);
    server.route(
        "GET", "/", [](const Request&) { return live::page(); }, inside);
    server.route(
        "GET", "/events",
        [pages = std::move(pages)](const Request&) {
          live::Parts parts;
          for (const auto& [name, body] : pages) parts.emplace_back(name, body());
          return live::event(parts);
        },
        inside);
  }
};

Admin::Admin(AdminOptions options, Source source, const metrics::Registry& registry)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(source), registry)) {}

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

void Admin::put(config::SnapshotPtr snapshot) {
  const std::string proxy = snapshot->name_space + "/" + snapshot->name;
  const std::lock_guard lock(impl_->mutex);
  impl_->snapshots[proxy] = std::move(snapshot);
}

void Admin::remove(const std::string& proxy) {
  const std::lock_guard lock(impl_->mutex);
  impl_->snapshots.erase(proxy);
}

}  // namespace dbproxy::admin
