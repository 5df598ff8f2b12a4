// Pace: how often the members of one cluster are asked, by who makes use of what is learned. Pure, single-threaded.
//
// As often as can be while somebody uses it, or is not told of; seldom once no sidecar has been there for a while; and
// not at all once there has been no client for as long as the cluster says, so that a database which pauses when
// nobody talks to it can.
#pragma once

#include <chrono>

#include "proxy/base/clock.hpp"
#include "proxy/topology/observation.hpp"

namespace dbproxy::topology {

class Pace {
 public:
  // `idle_after`: without clients for so long it sleeps; zero: never. `unused_after`: without sidecars it is seldom.
  void set(Duration idle_after, Duration unused_after) {
    idle_after_ = idle_after;
    unused_after_ = unused_after;
  }
  // It is new or another, or somebody wants to know: what has passed does not count.
  void wake(TimePoint now) { busy_until_ = used_until_ = now; }
  // True: it is asked more often from now on, and should be at once.
  bool use(Use use, TimePoint now);

  bool sleeps(TimePoint now) const;
  bool seldom(TimePoint now) const;

 private:
  Duration idle_after_{}, unused_after_{};
  Use use_ = Use::kClients;  // until somebody says otherwise
  TimePoint busy_until_{};   // there were clients
  TimePoint used_until_{};   // there were sidecars
};

}  // namespace dbproxy::topology
