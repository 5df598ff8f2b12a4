// LeaseView: whether a Lease of coordination.k8s.io/v1 is held, judged by this process's own clock. Pure.
//
// Clocks of other machines are not trusted: a lease has expired when it was not seen to change for as long as it says
// that it lasts (client-go's rule). Not thread-safe.
#pragma once

#include <chrono>
#include <string>

#include "operator/kubernetes/json.hpp"
#include "proxy/base/clock.hpp"

namespace dbproxy::kubernetes {

// Where the holder is reached: an annotation of the Lease.
inline constexpr const char* kAddressAnnotation = "dbproxy.io/address";

class LeaseView {
 public:
  // The Lease as it was read at that time.
  void observe(const json::object& lease, TimePoint now);

  const std::string& holder() const { return holder_; }  // "": nobody
  const std::string& address() const { return address_; }
  bool expired(TimePoint now) const { return holder_.empty() || now - changed_ >= duration_; }

 private:
  std::string holder_, address_, version_;
  Duration duration_{};
  TimePoint changed_{};
};

struct LeaseClaim {
  std::string name_space, name, identity, address;
  std::chrono::seconds duration{15};
};

// The Lease to create, or to put in place of `now`: held by the claimant from this time on.
json::object claimed_lease(const LeaseClaim& claim, const json::object* now, WallTime wall);
// The same given back: whoever sees it may take it at once.
json::object released_lease(const json::object& now, WallTime wall);

}  // namespace dbproxy::kubernetes
