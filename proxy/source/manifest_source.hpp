// ManifestSource: a directory of manifests in, versioned snapshots out, for as long as it runs.
//
// Watches the directory and tells an Assembler what is wanted, which calls back; secrets of AWS Secrets Manager that
// the manifests name are read, and followed. A broken edit changes nothing: the
// last good manifests stay, the errors are logged, counted and shown by `diagnostics`.
//
// Thread-safe. The callback runs on a thread of its own, one call at a time, and must not destroy the source.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/clock.hpp"
#include "proxy/manifest/diagnostic.hpp"
#include "proxy/manifest/directory_watcher.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/source/arn_secrets.hpp"
#include "proxy/source/assembler.hpp"

namespace dbproxy::source {

struct Options {
  std::filesystem::path directory;
  std::chrono::milliseconds coalesce{100};
  std::chrono::milliseconds first_wait{3000};  // 0: what is known goes out at once
  std::string metrics_prefix = "dbproxy";
  std::string versions_file;  // where version numbers survive a restart; empty: they start at 1 again
  topology::Monitor::Options monitor;
  manifest::DirectoryWatcher::Timing watch;
  ArnSecretsOptions secrets;
};

class ManifestSource {
 public:
  using Callback = std::function<void(const Snapshots& changed)>;

  ManifestSource(Options options, topology::Prober prober, Callback on_snapshots, metrics::Registry& registry,
                 const Clock& clock);
  ~ManifestSource();  // stops
  ManifestSource(const ManifestSource&) = delete;
  ManifestSource& operator=(const ManifestSource&) = delete;

  // Reads the directory for the first time, and logs nothing of what is wrong: the caller prints it. Where the answer
  // has errors, do not start.
  std::vector<manifest::Diagnostic> load();
  void start();
  // Waits for a probe or a callback that is under way. Idempotent.
  void stop();

  // Someone saw that a target is not what it was: ask now. `refused`: a password, so that secrets are read again too.
  void poke(const std::string& proxy, bool refused = false);
  bool wants_use() const;  // some of them is to sleep without clients
  // As source::Assembler.
  void use(const std::map<std::string, topology::Use>& proxies);

  // As source::Assembler.
  bool pause(const std::string& proxy, std::chrono::seconds at_most, bool hand_over);
  bool resume(const std::string& proxy);
  bool reconnect(const std::string& proxy);

  // What is wrong with the files as they are now, warnings included; a secret that cannot be read is one of those.
  std::vector<manifest::Diagnostic> diagnostics() const;
  // As called back last.
  Snapshots snapshots() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::source
