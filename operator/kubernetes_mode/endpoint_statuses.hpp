// The statuses of DBProxyEndpoints, written where they differ from what is there. For one thread, which blocks in it.
#pragma once

#include <map>
#include <string>

#include "operator/kubernetes/objects.hpp"
#include "operator/kubernetes_mode/kubernetes_source.hpp"
#include "operator/status/endpoint.hpp"

namespace dbproxy::kubernetes_mode {

// Server-side apply of an object's status, as the operator. With the uid, so that one that was made anew under the name
// does not get the status of the one before.
kubernetes::Failure apply_status(kubernetes::Client& client, const char* kind, const kubernetes::ObjectRef& ref,
                                 const std::string& uid, kubernetes::json::object status,
                                 kubernetes::Canceller& canceller);

class EndpointStatuses {
 public:
  EndpointStatuses(kubernetes::Client& client, const KubernetesSource& source, const Clock& clock)
      : client_(client), source_(source), clock_(clock) {}

  struct Counts {
    std::uint64_t written = 0, failed = 0;
  };
  // `proxies`: what is known of every DBProxy.
  Counts pass(const std::map<std::string, operator_status::Facts>& proxies, kubernetes::Canceller& canceller);
  void forget() { known_.clear(); }  // another writes now

 private:
  struct Known {
    kubernetes::ObjectPtr object;
    operator_status::EndpointFacts facts;
  };
  kubernetes::Client& client_;
  const KubernetesSource& source_;
  const Clock& clock_;
  std::map<std::string, Known> known_;  // of which the status says so
};

}  // namespace dbproxy::kubernetes_mode
