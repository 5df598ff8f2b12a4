// Monitor: asks every member of every cluster who it is, and tells what changed.
//
// Once a second when all is well; five times a second while a cluster has no writer that can be reached, or for some
// seconds after somebody said that something is wrong; and ever more seldom a member that has long been away, until
// somebody says that it is back, or that something else is wrong. A cluster that nobody uses is asked seldom, or not at
// all (pace.hpp). What is seldom is spread, so that those which began together do not go on together.
//
// Owns up to eight threads, started as they are needed: members are probed in parallel, so that one in a black hole
// delays no other. A member is never probed twice at a time. Where the database refuses a user, the next credential
// is tried; AUTH_FAILURE is reported when it refused all, and the one that worked is the first to be tried again.
//
// All methods are thread-safe. The callback runs on one of the monitor's threads, one call at a time for the whole
// monitor, with the complete set of a proxy; it may call the monitor, but not destroy it. One that began before a
// cluster was removed may end after remove returns. The destructor waits for probes that are under way, that is
// for the time-out of a probe at most.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/clock.hpp"
#include "proxy/topology/observation.hpp"

namespace dbproxy::topology {

class Monitor {
 public:
  struct Options {
    std::chrono::milliseconds interval{1000};  // between the start of two probes of a member
    std::chrono::milliseconds urgent{200};     // in trouble
    std::chrono::milliseconds trouble{10000};  // how long trouble is urgent
    std::chrono::milliseconds away{60000};     // after that, the interval doubles up to `seldom`
    std::chrono::milliseconds unused{30000};   // likewise, without a sidecar
    std::chrono::milliseconds seldom{15000};
    std::chrono::milliseconds probe_timeout{2000};
    std::size_t threads = 8;
  };
  using Callback = std::function<void(const std::string& proxy, const std::vector<Observation>&)>;

  Monitor(Prober prober, Callback on_change, const Clock& clock);
  Monitor(Prober prober, Callback on_change, const Clock& clock, Options options);
  ~Monitor();

  // To be watched from now on, in place of what was known of the same proxy. What is new or has changed is probed at
  // once. What this costs does not depend on how many others are watched.
  void set(Cluster cluster);
  void remove(const std::string& proxy);
  // Probes all members of a proxy at once; one that is being probed is probed again after.
  void poke(const std::string& proxy);
  // Who uses the cluster now; said again every second or so. Of one that is never told of somebody does.
  void use(const std::string& proxy, Use use);
  // Whoever used them may be here in a moment: all that are seldom asked, or not at all, are asked at once.
  void expect_use();
  // As last seen; empty for a proxy that is not watched.
  std::vector<Observation> observations(const std::string& proxy) const;
  // The clock was moved by hand: look at it again.
  void wake();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::topology
