// What AWS's answers hold, as the calls that fetched them read it. Internal to proxy/aws, and for those who try what it
// makes of anything else (tests/fuzz). Pure; a reply's body that held secrets is wiped.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "proxy/aws/credentials.hpp"
#include "proxy/aws/endpoint.hpp"
#include "proxy/aws/failure.hpp"
#include "proxy/aws/rds.hpp"
#include "proxy/aws/secrets_manager.hpp"

namespace dbproxy::aws {

// STS's XML: <AccessKeyId>, <SecretAccessKey>, <SessionToken>, <Expiration>; all but the token are needed.
Outcome<Credentials> read_sts_credentials(Reply& reply, const std::string& who);
// {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}, as containers and instances get them.
Outcome<Credentials> read_json_credentials(Reply& reply, const std::string& who);
// A profile of the shared credentials file; `found`: it is there.
Credentials read_profile(const std::string& text, const std::string& profile, bool& found);
// GetSecretValue's.
Outcome<SecretValue> read_secret_answer(Reply& reply, const std::string& arn);
// DescribeDBClusters': without members, and without an endpoint where it names no host.
DescribedCluster read_cluster(std::string_view document, std::set<std::string>& writers);
// DescribeDBInstances': those that have an address, into `out.members`.
void read_instances(std::string_view document, const std::set<std::string>& writers, DescribedCluster& out);

}  // namespace dbproxy::aws
