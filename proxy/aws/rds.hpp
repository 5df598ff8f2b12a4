// The members of a database cluster, as RDS tells them: DescribeDBClusters and DescribeDBInstances. Blocking; any
// thread. (Amazon RDS API Reference, version 2014-10-31.)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proxy/aws/credentials.hpp"
#include "proxy/aws/environment.hpp"
#include "proxy/aws/failure.hpp"

namespace dbproxy::aws {

inline constexpr std::size_t kMaxMembers = 64;  // Aurora has 16 at most

struct ClusterMember {
  std::string id, host;
  std::uint16_t port = 0;
  bool writer = false;  // when RDS was asked; the database itself knows better
  bool operator==(const ClusterMember&) const = default;
};

struct DescribedCluster {
  std::string engine;           // "aurora-postgresql", "postgres", …
  std::string endpoint;         // that of the writer; of an instance that is in no cluster: its own
  std::string reader_endpoint;  // empty: there is none
  std::uint16_t port = 0;
  std::vector<ClusterMember> members;  // those that have an address, by id
  bool operator==(const DescribedCluster&) const = default;
};

// `identifier`: of a cluster, or of an instance that is in none. `override_url`: in the place of AWS's own.
Outcome<DescribedCluster> describe_cluster(const Environment& environment, const std::string& identifier,
                                           const std::string& region, const std::string& override_url,
                                           const Credentials& credentials, WallTime now);

}  // namespace dbproxy::aws
