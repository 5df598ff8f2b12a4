// inject: manifests of workloads with the sidecar in them, for people without the webhook.
//
// The same decisions as the webhook's, over DBProxies from files. Comments and the style of the YAML are not kept.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "operator/webhook/injection.hpp"

namespace dbproxy::ctl {

struct InjectOptions {
  std::vector<std::string> files;      // "-": standard input
  std::string manifests;               // a directory with the DBProxies; empty: they are in `files`
  std::string name_space = "default";  // of what names none
  webhook::Settings settings;
};

// Pod, and what has a pod template: Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob. Others pass as they
// are. Returns an exit code; nothing is printed where anything is refused.
int inject(const InjectOptions& options, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace dbproxy::ctl
