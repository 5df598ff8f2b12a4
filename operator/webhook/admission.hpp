// AdmissionReview (admission.k8s.io/v1) in, AdmissionReview out. Pure.
//
// Anything that is not a review of a pod's creation is an error of whoever sends it: answered with HTTP 400.
#pragma once

#include <string>
#include <string_view>

#include "operator/webhook/injection.hpp"

namespace dbproxy::webhook {

struct Review {
  unsigned status = 200;  // of HTTP
  std::string body;       // the answer as JSON, or a sentence where status is not 200
  // For logs, metrics and Events.
  std::string name_space, pod;  // the name or generateName of the pod
  Decision decision;
  bool dry_run = false;
};

Review review(std::string_view body, const Settings& settings, const FindProxy& find_proxy);

}  // namespace dbproxy::webhook
