#include "proxy/source/manifest_source.hpp"

#include <algorithm>
#include <mutex>
#include <optional>

#include "proxy/base/log.hpp"
#include "proxy/manifest/loader.hpp"
#include "proxy/plan/plan.hpp"

namespace dbproxy::source {
namespace {

constexpr const char* kLoadsHelp = "Times the manifests were read";

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

AssemblerOptions assembler_options(const Options& options) {
  AssemblerOptions out;
  out.coalesce = options.coalesce;
  out.first_wait = options.first_wait;
  out.versions_file = options.versions_file;
  out.monitor = options.monitor;
  return out;
}

// A file is not wrong because AWS does not answer.
std::vector<manifest::Diagnostic> as_warnings(std::vector<manifest::Diagnostic> problems) {
  for (manifest::Diagnostic& each : problems) each.severity = manifest::Severity::kWarning;
  return problems;
}

}  // namespace

struct ManifestSource::Impl {
  Impl(Options o, topology::Prober prober, Callback on_snapshots, metrics::Registry& registry, const Clock& clock)
      : options(std::move(o)),
        loads_good(registry.counter(options.metrics_prefix + "_manifest_loads_total", kLoadsHelp, {{"result", "ok"}})),
        loads_bad(
            registry.counter(options.metrics_prefix + "_manifest_loads_total", kLoadsHelp, {{"result", "error"}})),
        errors(registry.counter(options.metrics_prefix + "_manifest_errors_total", "Errors found in manifests")),
        broken(registry.gauge(options.metrics_prefix + "_manifest_broken",
                              "1 while the manifests have errors and the last good ones are in force")),
        secrets(
            options.secrets, [this](const std::set<std::string>&) { secrets_changed(); }, &registry,
            options.metrics_prefix, clock),
        assembler(with_refusals(), std::move(prober), std::move(on_snapshots), clock) {}

  void take(manifest::Manifests manifests, bool quiet);
  void secrets_changed();
  AssemblerOptions with_refusals() {
    AssemblerOptions out = assembler_options(options);
    out.on_refused = [this](const std::string& proxy) { secrets.refused(proxy); };
    return out;
  }

  const Options options;
  metrics::Cell& loads_good;
  metrics::Cell& loads_bad;
  metrics::Cell& errors;
  metrics::Cell& broken;

  mutable std::mutex mutex;
  std::string digest;  // of the manifests that were read last
  std::vector<manifest::Diagnostic> diagnostics;
  std::optional<manifest::Manifests> good;  // in force

  ArnSecrets secrets;
  Assembler assembler;
  std::unique_ptr<manifest::DirectoryWatcher> watcher;
};

// `quiet`: whoever called prints what is wrong.
void ManifestSource::Impl::take(manifest::Manifests manifests, bool quiet) {
  if (manifests.ok()) {
    // Before the lock, which whoever brings a secret takes.
    secrets.want_all(manifests.proxies);
    const auto until = std::chrono::steady_clock::now() + options.first_wait;
    for (const manifest::DBProxyResource& proxy : manifests.proxies) {
      secrets.wait(proxy.metadata.key(), std::chrono::duration_cast<std::chrono::milliseconds>(std::max<Duration>(
                                             until - std::chrono::steady_clock::now(), Duration(0))));
    }
  }
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
  log::info("manifest", was_broken ? "manifests are good again" : "manifests taken",
            {{"directory", options.directory.string()}, {"proxies", manifests.proxies.size()}});
  assembler.set_all(secrets.desired(manifests));
  good = std::move(manifests);
}

void ManifestSource::Impl::secrets_changed() {
  const std::lock_guard lock(mutex);
  if (good) assembler.set_all(secrets.desired(*good));
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
  impl->assembler.start();
  impl->watcher = std::make_unique<manifest::DirectoryWatcher>(
      impl->options.directory, impl->digest,
      [impl](manifest::Manifests manifests) { impl->take(std::move(manifests), false); }, impl->options.watch);
}

void ManifestSource::stop() {
  impl_->watcher.reset();
  impl_->secrets.stop();
  impl_->assembler.stop();
}

void ManifestSource::poke(const std::string& proxy, bool refused) {
  if (refused) impl_->secrets.refused(proxy);
  impl_->assembler.poke(proxy);
}

bool ManifestSource::wants_use() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->good && std::any_of(impl_->good->proxies.begin(), impl_->good->proxies.end(),
                                    [](const auto& proxy) { return proxy.cluster.monitor_idle_seconds > 0; });
}

void ManifestSource::use(const std::map<std::string, topology::Use>& proxies) {
  impl_->assembler.use(proxies);
}

bool ManifestSource::pause(const std::string& proxy, std::chrono::seconds at_most, bool hand_over) {
  return impl_->assembler.pause(proxy, at_most, hand_over);
}

bool ManifestSource::resume(const std::string& proxy) {
  return impl_->assembler.resume(proxy);
}

bool ManifestSource::reconnect(const std::string& proxy) {
  return impl_->assembler.reconnect(proxy);
}

std::vector<manifest::Diagnostic> ManifestSource::diagnostics() const {
  const std::lock_guard lock(impl_->mutex);
  std::vector<manifest::Diagnostic> out = impl_->diagnostics;
  if (!impl_->good) return out;
  for (const manifest::DBProxyResource& proxy : impl_->good->proxies) {
    for (auto& each : as_warnings(impl_->secrets.problems(proxy))) out.push_back(std::move(each));
  }
  return out;
}

Snapshots ManifestSource::snapshots() const {
  return impl_->assembler.snapshots();
}

}  // namespace dbproxy::source
