// Tokens by which RDS and Aurora take an IAM principal for a database user: a presigned request for rds-db:connect,
// sent in the place of the password. Pure, safe from any thread. (Amazon RDS User Guide, "IAM database authentication
// for MariaDB, MySQL, and PostgreSQL".)
#pragma once

#include <cstdint>
#include <string>

#include "proxy/aws/credentials.hpp"
#include "proxy/base/clock.hpp"

namespace dbproxy::aws {

inline constexpr unsigned kDatabaseTokenSeconds = 900;  // how long the database takes it

// Byte for byte what `aws rds generate-db-auth-token` prints. `host` is the name that the database knows itself by:
// that of the instance or cluster endpoint, never an alias.
Secret make_database_token(const std::string& host, std::uint16_t port, const std::string& user,
                           const std::string& region, const Credentials& credentials, WallTime now);

// REGION of "NAME.HASH.REGION.rds.amazonaws.com" (and of .cn); "" for another host.
std::string region_of_host(const std::string& host);

}  // namespace dbproxy::aws
