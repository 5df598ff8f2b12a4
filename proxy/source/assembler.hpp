// Assembler: what is wanted and what databases say of themselves in, versioned snapshots out, for as long as it runs.
//
// Asks every database who it is, joins that with what is wanted, and calls back with the snapshots that changed;
// changes that come within `coalesce` of each other go as one. The first call names every DBProxy. It waits
// (`first_wait` at most) until each database has been asked once, so that an operator that restarts does not tell
// sidecars that healthy targets are unknown.
//
// Thread-safe. The callback runs on a thread of its own, one call at a time, and must not destroy the assembler.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/clock.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/plan/plan.hpp"
#include "proxy/topology/monitor.hpp"

namespace dbproxy::source {

using Snapshots = std::map<std::string, config::SnapshotPtr>;  // by "namespace/name"; none: the DBProxy is gone

struct AssemblerOptions {
  std::chrono::milliseconds coalesce{100};
  std::chrono::milliseconds first_wait{3000};  // 0: what is known goes out at once
  std::string versions_file;        // where version numbers survive a restart; empty: they start at the next line's
  std::uint64_t first_version = 0;  // numbers are larger than this
  topology::Monitor::Options monitor;
  // A database refuses every user of this DBProxy. From a thread of the monitor; must not call the assembler.
  std::function<void(const std::string& proxy)> on_refused = {};
};

class Assembler {
 public:
  using Callback = std::function<void(const Snapshots& changed)>;

  Assembler(AssemblerOptions options, topology::Prober prober, Callback on_snapshots, const Clock& clock);
  ~Assembler();  // stops
  Assembler(const Assembler&) = delete;
  Assembler& operator=(const Assembler&) = delete;

  // What is wanted from now on: all of it, or one of it.
  void set_all(const plan::Desired& desired);
  void set(plan::DesiredProxy desired);
  void remove(const std::string& proxy);

  // After everything that exists was set.
  void start();
  // Waits for a probe or a callback that is under way. Idempotent.
  void stop();

  // Someone saw that a target is not what it was: ask now.
  void poke(const std::string& proxy);
  // Who uses them now; of those that are published and not named nobody does. As topology::Monitor.
  void use(const std::map<std::string, topology::Use>& proxies);
  void expect_use();
  // False: there is no such DBProxy. Nothing of it survives a restart of the program. `hand_over`: the pause ends when
  // planned work on the cluster is over (hand_over.hpp), with the snapshot that says who the writer is then.
  bool pause(const std::string& proxy, std::chrono::seconds at_most, bool hand_over);
  bool resume(const std::string& proxy);
  bool reconnect(const std::string& proxy);
  // As called back last.
  Snapshots snapshots() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::source
