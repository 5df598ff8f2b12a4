// Activity: what all sidecars together report of how long queries take and of what is pinned.
//
// Latencies are counted up over all streams: the first report of a stream says where its sidecar's counts stand, each
// further one adds what has come since. So the sums only grow while this replica leads, whoever comes and goes. Pins
// are those of the last report of each stream that is up. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "dbproxy/v1/control.pb.h"

#include "operator/control/rows.hpp"
#include "proxy/base/clock.hpp"

namespace dbproxy::operator_control {

class Activity {
 public:
  // From a stream, which is but a name here. What is out of bounds is left out.
  void report(const void* stream, const v1::ActivityReport& report);
  void forget(const void* stream);
  void clear();  // this replica does not lead any more

  std::vector<LatencyRow> latencies() const;        // by DBProxy
  std::vector<PinnedRow> pins(WallTime now) const;  // by DBProxy, most sessions first; the first ones

 private:
  struct Told {
    std::vector<std::uint64_t> query, borrow;
    std::vector<v1::PinnedSessions> pins;
  };
  mutable std::mutex mutex_;
  std::map<const void*, std::map<std::string, Told>> told_;  // last, by stream and DBProxy
  std::map<std::string, LatencyRow> sums_;
};

}  // namespace dbproxy::operator_control
