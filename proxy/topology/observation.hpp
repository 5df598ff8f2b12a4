// What is asked of a cluster's members, and what is known about them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::topology {

struct Observation {
  std::string target;  // id
  config::TargetRole role = config::TargetRole::kReadWrite;
  config::TargetHealth health = config::TargetHealth::kRegistering;
  config::HealthReason reason = config::HealthReason::kNone;
  std::uint32_t max_connections = 0;  // 0: never seen
  std::uint32_t reserved = 0;
  double lag_seconds = 0;
  std::string system_identifier;
  std::string detail;  // for logs and people; may hold a peer's words: never into a status
  // Where it is, of one that the cluster itself told of; empty and 0 for those of the manifest.
  std::string host;
  std::uint16_t port = 0;
  std::string server_version;  // where clients are to be shown it: of MYSQL
  std::uint32_t server_capabilities = 0;
  bool operator==(const Observation&) const = default;
};

// Questions to one member, with the log-in before them where that is needed. Blocking; whoever implements it honours
// the time-out for the whole.
struct ProbeRequest {
  std::string host;
  std::uint16_t port = 0;
  config::ServerTls tls;
  std::string user;
  Secret password;
  std::chrono::milliseconds timeout{2000};
  std::string topology_query;
  config::EngineFamily engine = config::EngineFamily::kPostgresql;
  config::EndpointPolicy policy = {};
  bool iam = false;  // by a token, which whoever implements it makes as `aws` says
  config::Aws aws = {};
  // How many sessions of these users are there besides those with the ids in `known`? Not asked without users.
  std::vector<std::string> users = {};
  std::vector<std::uint32_t> known = {};
  std::string account = {};  // with `iam`: the service account whose role makes the token; empty: none
  bool keep = true;          // another question follows within seconds; false: nothing stays open after this one
};

// What a member says of another, or of itself.
struct MemberNews {
  std::string id;
  bool writer = false;
  double age_seconds = 0;  // since the member it is about said so
  double lag_seconds = 0;
};

struct ProbeResult {
  bool ok = false;
  config::HealthReason reason = config::HealthReason::kNone;  // why not ok
  std::string detail;
  bool in_recovery = false;
  std::uint32_t max_connections = 0;
  std::uint32_t reserved = 0;
  double lag_seconds = 0;
  std::string system_identifier;
  std::string server;               // which one it is, by whatever name; empty: not told
  std::uint32_t timeline = 0;       // grows with each promotion; 0: not told
  std::vector<MemberNews> members;  // empty: it knows of no others
  std::string server_version;
  std::uint32_t server_capabilities = 0;
  // The answer about sessions, where there is one. `others`: of any user, but for those known and this one.
  std::optional<std::uint32_t> strangers = {}, others = {};
};

using Prober = std::function<ProbeResult(const ProbeRequest&)>;

struct Member {
  std::string id;
  std::string host;
  std::uint16_t port = 0;
  bool operator==(const Member&) const = default;
};

struct Credential {
  std::string user;
  Secret password;
  bool iam = false;  // by a token that is made for each log-in
  bool operator==(const Credential&) const = default;
};

using Discovery = config::Discovery;  // beyond the members of the manifest

// Who makes use of what is known of a cluster.
enum class Use { kNone, kSidecars, kClients };

// All that the monitor needs to know of one DBProxy.
struct Cluster {
  std::string proxy;  // "namespace/name"
  std::vector<Member> members;
  std::vector<Credential> credentials;  // tried in this order
  config::ServerTls tls;
  Discovery discovery = {};
  config::EngineFamily engine = config::EngineFamily::kPostgresql;
  config::EndpointPolicy policy = {};
  config::Aws aws = {};
  // Who was what when somebody else saw them last, by id: as if it had been seen here. May be empty.
  std::string writer = {};
  std::vector<std::string> readers = {};
  std::string account = {};            // as in ProbeRequest
  std::chrono::seconds idle_after{0};  // without clients for so long nobody is asked; 0: always
  bool operator==(const Cluster&) const = default;
};

}  // namespace dbproxy::topology
