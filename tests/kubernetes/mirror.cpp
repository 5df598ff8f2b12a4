// Mirrors one resource of an API server and shows its view over HTTP: what the fault tests compare with the server.
//
//   GET /view  {"synced", "error", "lists", "watches", "expired", "failures", "bookmarks", "objects": {key: version}}
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "operator/kubernetes/reflector.hpp"
#include "proxy/base/process.hpp"
#include "proxy/http/server.hpp"

int main(int argc, char** argv) {
  using namespace dbproxy;
  std::string kubeconfig, listen;
  std::chrono::milliseconds::rep quiet = 150'000, watch = 300'000, overdue = 30'000;
  bool pages_only = false;
  kubernetes::ReflectorOptions options;
  CLI::App app{"Mirrors a resource of the Kubernetes API"};
  app.add_option("--kubeconfig", kubeconfig)->required();
  app.add_option("--listen", listen)->required();
  app.add_option("--group", options.resource.group);
  app.add_option("--version", options.resource.version);
  app.add_option("--plural", options.resource.plural)->required();
  app.add_option("--namespace", options.name_space);
  app.add_option("--selector", options.label_selector);
  app.add_flag("--metadata-only", options.metadata_only);
  app.add_flag("--pages-only", pages_only);
  app.add_option("--page-size", options.page_size);
  app.add_option("--quiet-ms", quiet);
  app.add_option("--watch-ms", watch);
  app.add_option("--overdue-ms", overdue);
  CLI11_PARSE(app, argc, argv);
  const sigset_t signals = process::block_signals();
  if (options.resource.version.empty()) options.resource.version = "v1";
  options.streaming = !pages_only;
  options.quiet_limit = std::chrono::milliseconds(quiet);
  options.watch_least = options.watch_most = std::chrono::milliseconds(watch);
  options.overdue = std::chrono::milliseconds(overdue);
  options.backoff_base = std::chrono::milliseconds(100);
  options.backoff_cap = std::chrono::milliseconds(1000);

  const kubernetes::ConfigOrError config = kubernetes::load_kubeconfig(kubeconfig);
  if (!config.error.empty()) {
    std::fprintf(stderr, "%s\n", config.error.c_str());
    return 2;
  }
  kubernetes::Client client(config.config);
  // A second view, made of the changes alone: it has to equal the store.
  std::mutex mutex;
  std::map<std::string, std::string> told;
  kubernetes::Reflector reflector(client, options, [&](const kubernetes::Change& change) {
    const std::lock_guard lock(mutex);
    if (change.after) {
      told[change.key] = kubernetes::resource_version_of(*change.after);
    } else {
      told.erase(change.key);
    }
  });
  http::ServerOptions server_options;
  server_options.listen = *http::parse_address(listen);
  http::Server server(server_options);
  server.route("GET", "/view", [&](const http::Request&) {
    namespace json = boost::json;
    json::object objects;
    for (const auto& [key, object] : reflector.store().all()) {
      objects[key] = kubernetes::resource_version_of(*object);
    }
    json::object changes;
    {
      const std::lock_guard lock(mutex);
      for (const auto& [key, version] : told) changes[key] = version;
    }
    const kubernetes::ReflectorCounts& counts = reflector.counts();
    const json::object view{{"synced", reflector.synced()},
                            {"error", reflector.last_error()},
                            {"lists", counts.lists.load()},
                            {"watches", counts.watches.load()},
                            {"expired", counts.expired.load()},
                            {"failures", counts.failures.load()},
                            {"bookmarks", counts.bookmarks.load()},
                            {"objects", objects},
                            {"changes", changes},
                            {"throttled", client.throttled()}};
    http::Response response;
    response.content_type = "application/json";
    response.body = json::serialize(view);
    return response;
  });
  if (const std::string error = server.start(); !error.empty()) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 1;
  }
  reflector.start();
  int signal = 0;
  sigwait(&signals, &signal);
  reflector.stop();
  server.stop();
  return 0;
}
