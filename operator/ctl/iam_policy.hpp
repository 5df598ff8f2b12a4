// iam-policy: what AWS has to allow for a DBProxy, and to whom: the least policy, and the trust policy of the role.
//
// Pure. Exactly the secrets that the DBProxy names, their keys by way of Secrets Manager only, and log-in to the
// database as exactly its users.
#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "proxy/manifest/resources.hpp"

namespace dbproxy::ctl {

struct IamPolicyOptions {
  std::string name;           // of a DBProxy, with or without its namespace; empty: all there are
  std::string oidc_provider;  // "oidc.eks.us-east-2.amazonaws.com/id/ABC": IRSA; empty: EKS Pod Identity
  std::string account;        // of the role and of the database; empty: that of the first secret
  std::string service_account = "dbproxy/dbproxy-operator";  // NAMESPACE/NAME of who reads the secrets
};

// {"policy": …, "trustPolicy": …}, with aws.serviceAccountName trusting that account; with aws.roleArn also
// "operatorPolicy", which lets the operator assume the role. `error`, where it is not empty, says what cannot be
// printed.
boost::json::object iam_policy(const manifest::DBProxyResource& proxy, const IamPolicyOptions& options,
                               std::string& error);

}  // namespace dbproxy::ctl
