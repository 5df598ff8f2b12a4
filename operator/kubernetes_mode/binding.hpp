// Which DBProxies a pod is bound to. Pure.
//
// The binding is what the webhook wrote into the arguments of the sidecar's container, which nobody can change once the
// pod exists: --proxy NAMESPACE/NAME, repeatable. Labels decide only whether a DBProxy's podSelector admits the pod.
#pragma once

#include <string>
#include <vector>

#include "operator/kubernetes/json.hpp"

namespace dbproxy::kubernetes_mode {

inline constexpr const char* kInjectLabel = "dbproxy.io/inject";
inline constexpr const char* kSidecarContainer = "dbproxy";

struct PodFacts {
  std::string name_space, name, uid;
  kubernetes::json::object labels;
  bool sidecar = false;              // there is one
  bool terminating = false;          // someone deleted it
  std::string deadline;              // if so: when it is to be gone at the latest
  bool sidecar_ended = false;        // its container is no more, and will not be started again
  bool ended = false;                // Succeeded or Failed
  std::vector<std::string> proxies;  // that it is bound to, as written
  std::string key() const { return name_space + "/" + name; }
};

// Of a pod as the API has it, or as trim_pod leaves it.
PodFacts facts_of(const kubernetes::json::object& pod);
// What facts_of reads, and no more: thousands of pods are kept.
kubernetes::json::object trim_pod(kubernetes::json::object pod);

}  // namespace dbproxy::kubernetes_mode
