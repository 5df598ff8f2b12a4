// Where credentials come from, in the order of AWS's own libraries: environment, web identity (IRSA), the shared
// credentials file, container credentials (EKS Pod Identity, ECS), the instance's metadata service (version 2 only).
//
// The first source that is configured is the one that is used: if it fails, the failure says so, and nothing else is
// tried, since what another source would give is somebody else's identity. Blocking; any thread.
#pragma once

#include "proxy/aws/credentials.hpp"
#include "proxy/aws/environment.hpp"
#include "proxy/aws/sts.hpp"

namespace dbproxy::aws {

Outcome<Credentials> find_credentials(const Environment& environment, const StsOptions& sts = {});

}  // namespace dbproxy::aws
