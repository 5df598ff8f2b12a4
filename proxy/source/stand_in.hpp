// StandIn: a sidecar that asks databases itself while its operator is away.
//
// Takes every snapshot that the operator sends. While the operator is away it watches the clusters of those where
// something is wrong, or has been shortly before, and of all of them after some time; each gets its targets as seen
// from here, put in force over what the operator said last. It knows what the operator knew of who writes, so that it
// takes nobody for the writer whom the operator had given up. When the operator is back it goes on until that has said
// how things are now.
//
// Hundreds of sidecars may do this at once: quiet clusters are asked seldom, and not all at the same time.
//
// Thread-safe; trouble() waits for nobody. `apply` is called by whoever puts or from a thread of the monitor, one call
// at a time, and must not call put() or remove().
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "proxy/base/clock.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/topology/monitor.hpp"

namespace dbproxy::source {

struct StandInOptions {
  std::chrono::milliseconds patience{15000};        // after the operator left, where nothing is wrong; up to twice that
  std::chrono::milliseconds recent_trouble{20000};  // about what an operator that is going might not have heard
  topology::Monitor::Options monitor = {.interval = std::chrono::milliseconds(15000),
                                        .urgent = std::chrono::milliseconds(500),
                                        .seldom = std::chrono::milliseconds(30000),
                                        .threads = 4};
};

class StandIn {
 public:
  // Returns "" or why not.
  using Apply = std::function<std::string(config::SnapshotPtr)>;

  StandIn(topology::Prober prober, metrics::Registry& registry, const Clock& clock, StandInOptions options = {});
  ~StandIn();  // stops
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  // The operator said so: it is in force from now on, through `apply`, which is kept for what is seen here later.
  // Returns what that said; when it refused, nothing has changed.
  std::string put(config::SnapshotPtr snapshot, Apply apply);
  void remove(const std::string& proxy);
  // Whether the operator is there. Away is to be said again every few seconds.
  void operator_is(bool there);
  // A target of this DBProxy is not what it was.
  void trouble(const std::string& proxy);
  // What is in force of it was seen here, and not said by the operator.
  bool overrides(const std::string& proxy) const;
  // Waits for a probe that is under way. Idempotent.
  void stop();

 private:
  struct Watched {
    config::SnapshotPtr said;  // by the operator
    config::SnapshotPtr seen;  // in force instead; none: what was said is
    Apply apply;
    bool watching = false;
    TimePoint troubled{};
  };
  void watch();
  void unwatch(const std::string& proxy, Watched& watched);
  void count();
  config::SnapshotPtr changed(const std::string& proxy, const std::vector<topology::Observation>& observations) const;
  void observed(const std::string& proxy, const std::vector<topology::Observation>& observations);
  bool troubled(const Watched& watched) const;

  const topology::Prober prober_;
  const Clock& clock_;
  const StandInOptions options_;
  const Duration patience_;
  metrics::Cell& standing_in_;
  std::mutex applying_;       // taken before the other
  mutable std::mutex mutex_;  // everything below
  std::map<std::string, Watched> watched_;
  TimePoint away_since_{};  // {}: it is there
  std::unique_ptr<topology::Monitor> monitor_;
  bool stopped_ = false;
};

}  // namespace dbproxy::source
