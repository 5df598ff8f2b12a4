// outdated: which pods run another sidecar than the operator gives to new ones, and how they come to that.
#pragma once

#include <iosfwd>
#include <string>

#include "operator/kubernetes/client.hpp"

namespace dbproxy::ctl {

// Looks at the operator's Deployment and at the pods that have the label, of one namespace or of all (""). Prints a
// table of workloads, and under it the commands that restart them; nothing restarts by itself. Returns an exit code:
// that pods are outdated is no error.
int outdated(kubernetes::Client& client, const std::string& name_space, std::ostream& out, std::ostream& err);

}  // namespace dbproxy::ctl
