// check --aws: what a DBProxy needs of AWS, tried one by one as whoever runs this. One line for each.
#pragma once

#include "operator/ctl/check.hpp"
#include "proxy/aws/environment.hpp"
#include "proxy/manifest/resources.hpp"

namespace dbproxy::ctl {

// Whose keys there are (STS), aws.roleArn, each secret (it is read, and wiped), the cluster by its identifier, and the
// region for tokens. Whether rds-db:connect is allowed only a log-in shows, and that is said. Blocks for as long as AWS
// takes, with the time-outs of proxy/aws.
void check_aws(const manifest::DBProxyResource& proxy, const aws::Environment& environment, const Clock& clock,
               Findings& findings);

}  // namespace dbproxy::ctl
