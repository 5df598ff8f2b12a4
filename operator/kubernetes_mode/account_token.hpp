// The role of a service account, and a token by which STS lets the operator be it.
//
// The role is named by the annotation that EKS reads too (eks.amazonaws.com/role-arn). The token is asked for each time
// it is needed (TokenRequest, audience sts.amazonaws.com, ten minutes) and kept nowhere. Blocks; any thread.
#pragma once

#include <string>

#include "operator/kubernetes/client.hpp"
#include "proxy/aws/accounts.hpp"

namespace dbproxy::kubernetes_mode {

// `account`: "namespace/name". What is wrong is said in words for a condition.
aws::Outcome<aws::AccountToken> account_token(kubernetes::Client& client, const std::string& account);

}  // namespace dbproxy::kubernetes_mode
