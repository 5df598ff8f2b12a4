#include "proxy/source/manifest_source.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "proxy/base/log.hpp"
#include "proxy/manifest/loader.hpp"
#include "proxy/plan/plan.hpp"
#include "proxy/source/versions.hpp"

namespace dbproxy::source {
namespace {

constexpr const char* kLoadsHelp = "Times the manifests were read";

using SteadyClock = std::chrono::steady_clock;

void log_diagnostics(const std::vector<manifest::Diagnostic>& diagnostics) {
  for (const manifest::Diagnostic& each : diagnostics) {
    const auto level = each.severity == manifest::Severity::kError ? log::Level::kError : log::Level::kWarn;
    log::write(level, "manifest", manifest::to_text(each));
  }
}

std::uint64_t count_errors(const std::vector<manifest::Diagnostic>& diagnostics) {
  return static_cast<std::uint64_t>(
      std::count_if(diagnostics.begin(), diagnostics.end(),
                    [](const manifest::Diagnostic& each) { return each.severity == manifest::Severity::kError; }));
}

}  // namespace

struct ManifestSource::Impl {
  Impl(Options o, topology::Prober p, Callback c, metrics::Registry& registry, const Clock& t)
      : options(std::move(o)),
        prober(std::move(p)),
        on_snapshots(std::move(c)),
        clock(t),
        loads_good(registry.counter(options.metrics_prefix + "_manifest_loads_total", kLoadsHelp, {{"result", "ok"}})),
        loads_bad(
            registry.counter(options.metrics_prefix + "_manifest_loads_total", kLoadsHelp, {{"result", "error"}})),
        errors(registry.counter(options.metrics_prefix + "_manifest_errors_total", "Errors found in manifests")),
        broken(registry.gauge(options.metrics_prefix + "_manifest_broken",
                              "1 while the manifests have errors and the last good ones are in force")),
        versions(options.versions_file) {}

  void take(manifest::Manifests manifests, bool quiet);
  void observed(const std::string& proxy, const std::vector<topology::Observation>& seen);
  void run();
  bool settled() const;
  Snapshots collect();
  void mark_dirty();

  const Options options;
  const topology::Prober prober;
  const Callback on_snapshots;
  const Clock& clock;
  metrics::Cell& loads_good;
  metrics::Cell& loads_bad;
  metrics::Cell& errors;
  metrics::Cell& broken;

  mutable std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  std::optional<SteadyClock::time_point> dirty_since;
  std::string digest;  // of the manifests that were read last
  std::vector<manifest::Diagnostic> diagnostics;
  plan::Desired desired;
  plan::Observations observations;
  Snapshots published;
  Versions versions;

  std::unique_ptr<topology::Monitor> monitor;
  std::unique_ptr<manifest::DirectoryWatcher> watcher;
  std::thread thread;
};

void ManifestSource::Impl::mark_dirty() {
  if (!dirty_since) dirty_since = SteadyClock::now();
  wake.notify_all();
}

// `quiet`: whoever called prints what is wrong.
void ManifestSource::Impl::take(manifest::Manifests manifests, bool quiet) {
  std::vector<topology::Cluster> clusters;
  {
    const std::lock_guard lock(mutex);
    const bool was_broken = manifest::has_errors(diagnostics);
    digest = manifests.digest;
    diagnostics = manifests.diagnostics;
    const std::uint64_t found = count_errors(diagnostics);
    errors.add(found);
    broken.set(found > 0 ? 1 : 0);
    if (!quiet) log_diagnostics(diagnostics);
    if (!manifests.ok()) {
      loads_bad.add();
      if (quiet) return;
      log::error("manifest", "manifests refused, what is in force stays",
                 {{"directory", options.directory.string()}, {"errors", found}});
      return;
    }
    loads_good.add();
    desired = plan::make_desired(manifests);
    log::info("manifest", was_broken ? "manifests are good again" : "manifests taken",
              {{"directory", options.directory.string()}, {"proxies", desired.proxies.size()}});
    clusters = plan::clusters(desired);
    mark_dirty();
  }
  if (monitor) monitor->set_clusters(std::move(clusters));
}

void ManifestSource::Impl::observed(const std::string& proxy, const std::vector<topology::Observation>& seen) {
  const std::lock_guard lock(mutex);
  observations[proxy] = seen;
  mark_dirty();
}

// Every target that is wanted has been asked once, with whatever answer.
bool ManifestSource::Impl::settled() const {
  for (const plan::DesiredProxy& proxy : desired.proxies) {
    const auto seen = observations.find(proxy.key);
    if (seen == observations.end()) return false;
    for (const config::Target& target : plan::make_snapshot(proxy, seen->second).targets) {
      if (target.health == config::TargetHealth::kRegistering) return false;
    }
  }
  return true;
}

Snapshots ManifestSource::Impl::collect() {
  Snapshots changed;
  Snapshots now;
  for (const plan::DesiredProxy& proxy : desired.proxies) {
    const auto seen = observations.find(proxy.key);
    config::Snapshot snapshot =
        plan::make_snapshot(proxy, seen == observations.end() ? std::vector<topology::Observation>() : seen->second);
    const auto before = published.find(proxy.key);
    if (before != published.end() && before->second->same_content(snapshot)) {
      now[proxy.key] = before->second;
      continue;
    }
    snapshot.version = versions.assign(snapshot);
    now[proxy.key] = changed[proxy.key] = std::make_shared<const config::Snapshot>(std::move(snapshot));
  }
  for (const auto& [key, snapshot] : published) {
    if (now.contains(key)) continue;
    changed[key] = nullptr;
    versions.gone(key);
    observations.erase(key);
  }
  published = std::move(now);
  return changed;
}

void ManifestSource::Impl::run() {
  const auto first_until = SteadyClock::now() + options.first_wait;
  bool first = true;
  std::unique_lock lock(mutex);
  while (!stopping) {
    if (first) {
      wake.wait_until(lock, first_until, [this] { return stopping || settled(); });
    } else {
      wake.wait(lock, [this] { return stopping || dirty_since; });
      if (stopping) return;
      wake.wait_until(lock, *dirty_since + options.coalesce, [this] { return stopping; });
    }
    if (stopping) return;
    dirty_since.reset();
    const Snapshots changed = collect();
    if (changed.empty() && !first) continue;
    first = false;
    lock.unlock();
    versions.save();  // only this thread uses them; before anyone hears of a number
    for (const auto& [key, snapshot] : changed) {
      log::info("source", snapshot ? "snapshot changed" : "DBProxy is gone",
                {{"proxy", key}, {"version", snapshot ? snapshot->version : 0}});
    }
    on_snapshots(changed);
    lock.lock();
  }
}

ManifestSource::ManifestSource(Options options, topology::Prober prober, Callback on_snapshots,
                               metrics::Registry& registry, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(prober), std::move(on_snapshots), registry, clock)) {}

ManifestSource::~ManifestSource() {
  stop();
}

std::vector<manifest::Diagnostic> ManifestSource::load() {
  impl_->take(manifest::load_directory(impl_->options.directory), true);
  return diagnostics();
}

void ManifestSource::start() {
  Impl* const impl = impl_.get();
  impl->monitor = std::make_unique<topology::Monitor>(
      impl->prober,
      [impl](const std::string& proxy, const std::vector<topology::Observation>& seen) { impl->observed(proxy, seen); },
      impl->clock, impl->options.monitor);
  impl->monitor->set_clusters(plan::clusters(impl->desired));
  impl->thread = std::thread([impl] { impl->run(); });
  impl->watcher = std::make_unique<manifest::DirectoryWatcher>(
      impl->options.directory, impl->digest,
      [impl](manifest::Manifests manifests) { impl->take(std::move(manifests), false); }, impl->options.watch);
}

void ManifestSource::stop() {
  impl_->watcher.reset();
  impl_->monitor.reset();
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
}

void ManifestSource::poke(const std::string& proxy) {
  if (impl_->monitor) impl_->monitor->poke(proxy);
}

std::vector<manifest::Diagnostic> ManifestSource::diagnostics() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->diagnostics;
}

Snapshots ManifestSource::snapshots() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->published;
}

}  // namespace dbproxy::source
