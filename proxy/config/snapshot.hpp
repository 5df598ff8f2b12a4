// Snapshot: all that a sidecar has to know about one DBProxy, validated and immutable.
//
// Made by `plan` out of manifests and observed topology, sent over the control stream, and handed to workers as
// shared_ptr<const Snapshot>. Field names and meanings are those of the DBProxy resource. Plain data: copyable,
// comparable, no behaviour but look-ups. Safe to read from any thread once it is const.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::config {

enum class EngineFamily { kPostgresql, kMysql };
enum class TargetRole { kReadWrite, kReadOnly };
enum class TargetHealth { kAvailable, kRegistering, kUnavailable };
// AWS's reasons for a target that is not available.
enum class HealthReason {
  kNone,
  kUnreachable,
  kConnectionFailed,
  kAuthFailure,
  kPendingProxyCapacity,
  kInvalidReplicationState,
  kEndpointRefused,  // not AWS's: its address is one that the installation refuses; see EndpointPolicy
};
enum class TlsMode { kDisable, kRequire, kVerifyCa, kVerifyFull };  // libpq's words
enum class PasswordAuthType { kPostgresScramSha256, kPostgresMd5, kMysqlNativePassword, kMysqlCachingSha2Password };
enum class IamAuth { kDisabled, kEnabled, kRequired };
enum class AuthScheme {
  kSecrets,
  kIam
};  // towards the database: a password, or tokens that are made when they are needed

// One listener in the pod. The default endpoint is named "default".
struct Endpoint {
  std::string name;
  std::uint16_t port = 0;
  TargetRole role = TargetRole::kReadWrite;
  bool fallback_to_writer = false;
  bool operator==(const Endpoint&) const = default;
};

// A database user with the credential that both clients and server connections use.
struct User {
  std::string name;
  Secret password;
  PasswordAuthType client_password_auth_type = PasswordAuthType::kPostgresScramSha256;
  IamAuth iam_auth = IamAuth::kDisabled;
  std::string description;
  AuthScheme auth_scheme = AuthScheme::kSecrets;
  Secret previous_password = {};                 // what it was before; empty: not known, or none
  std::vector<std::string> iam_principals = {};  // who may log in by a token of AWS: ARNs, * and ? as in IAM
  bool auth_type_chosen = true;                  // client_password_auth_type: else it is the default
  // Whose password the previous one is, where a rotation has changed the name as well; empty: this user's.
  std::string previous_name = {};
  // Clients may log in with the previous password until then; 1970: they may not. Server connections always use the
  // current one, unless the database itself still has the other.
  WallTime previous_until{};
  bool operator==(const User&) const = default;
};

// A cluster member as the topology monitor last saw it.
struct Target {
  std::string id;
  std::string host;  // DNS name or address; an absolute path is the directory of a Unix socket
  std::uint16_t port = 0;
  TargetRole role = TargetRole::kReadWrite;
  TargetHealth health = TargetHealth::kRegistering;
  HealthReason reason = HealthReason::kNone;
  std::uint32_t max_connections = 0;       // 0: not known yet
  std::uint32_t reserved_connections = 0;  // superuser_reserved_connections and reserved_connections
  double lag_seconds = 0;
  // Of MYSQL only: what clients are greeted with; empty and 0: not known yet.
  std::string server_version;
  std::uint32_t server_capabilities = 0;
  bool operator==(const Target&) const = default;
};

// Whose word the CA is: whoever writes a DBProxy of a namespace could vouch for a server of its own. Manifests in files
// are the operator's, and so is their CA. kUnsaid: an operator of an older version does not say.
enum class CaOwner { kInstallation, kNamespace, kUnsaid };

struct ServerTls {
  TlsMode mode = TlsMode::kVerifyFull;
  std::string ca_pem;
  CaOwner ca_owner = CaOwner::kInstallation;
  bool direct = false;                 // tls.negotiation: direct, to servers from 17
  std::string client_certificate_pem;  // shown to the server; empty: none. Its issuers may follow
  Secret client_key_pem = {};
  bool operator==(const ServerTls&) const = default;
};

enum class ClearText { kPassword, kToken };
// Why a server that is known by such TLS is not given that as it is, and what to do, as the rest of a sentence: "over
// …"; empty: it is. Only who is known by name, on the installation's word, gets either. An operator of an older version
// has seen to tokens itself.
std::string_view clear_text_refusal(TlsMode mode, CaOwner owner, ClearText what);

// What clients over TCP have to show besides their password; the words are those of pg_hba.conf's clientcert.
// verify-full: the certificate's common name is the user's name.
enum class ClientCertMode { kNone, kVerifyCa, kVerifyFull };
struct ClientCert {
  ClientCertMode mode = ClientCertMode::kNone;
  std::string ca_pem;
  bool operator==(const ClientCert&) const = default;
};

// clientAuth: PodIdentity. Clients are let in without a password as the one user there is, because of where they stand.
struct PodIdentity {
  bool enabled = false;
  bool loopback_tcp = false;             // over TCP on loopback too, and not by the Unix socket alone
  std::vector<std::uint32_t> uids = {};  // who may, of the processes on the socket; none: all of the pod
  bool operator==(const PodIdentity&) const = default;
};

// As whom, and where, AWS is asked: for tokens of users with AuthScheme::kIam.
struct Aws {
  std::string region;    // empty: that of the database's host name, or of the environment
  std::string role_arn;  // assumed first; empty: as who we are
  std::string sts_url;   // empty: AWS's own
  bool operator==(const Aws&) const = default;
};

struct ConnectionPool {
  std::uint32_t max_connections_percent = 100;
  std::uint32_t max_idle_connections_percent = 50;
  std::chrono::seconds borrow_timeout{120};
  bool exclude_variable_sets = false;  // sessionPinningFilters: EXCLUDE_VARIABLE_SETS
  std::string init_query;
  std::uint32_t max_per_pod = 0;               // connections of one sidecar; 0: a quarter of the limit
  std::uint32_t floor = 1;                     // that each sidecar may have, where it suffices for all
  std::chrono::seconds give_back_timeout{60};  // for which an idle transaction keeps what others wait for
  bool operator==(const ConnectionPool&) const = default;
};

// What no client of a DBProxy may go beyond. 0: no limit. The times have PostgreSQL's names and meanings.
struct ClientLimits {
  std::uint32_t max_connections_per_user = 0;      // server connections, in one sidecar and to one member
  std::uint32_t max_connections_per_database = 0;  // likewise
  std::chrono::milliseconds statement_timeout{0};
  std::chrono::milliseconds transaction_timeout{0};
  std::chrono::milliseconds idle_in_transaction_session_timeout{0};
  bool operator==(const ClientLimits&) const = default;
};

// Which addresses a target may have. On Kubernetes whoever writes a DBProxy is not whoever owns the network that the
// operator and the sidecars stand in; with manifests of one's own machine both are the same. See net::AddressPolicy.
struct EndpointPolicy {
  bool restricted = false;                  // false: any
  std::vector<std::string> refused_ranges;  // besides those that always are: "10.96.0.0/16"
  std::vector<std::string> allowed;  // names, whose subdomains are meant too, and ranges; empty: what is not refused
  bool operator==(const EndpointPolicy&) const = default;
};

// How members are found beyond those that are listed.
struct Discovery {
  // With the id of a member in the place of '?', its host; empty: only the members that are listed are used.
  std::string pattern;
  std::uint16_t port = 0;
  std::string query;           // in the place of what Aurora has
  double max_lag_seconds = 0;  // a reader that lags more is not used; 0: any lag is taken
  bool operator==(const Discovery&) const = default;
};

// What people ask for by dbproxyctl; no manifest says it. Each order has a number that is larger than those before.
struct Maintenance {
  std::uint64_t pause = 0;            // 0: not paused
  std::chrono::seconds pause_for{0};  // after which it ends by itself, whether or not the operator is there
  std::uint64_t reconnect = 0;        // server connections from before the newest one are replaced between transactions
  bool operator==(const Maintenance&) const = default;
};

struct Snapshot {
  std::string name_space;
  std::string name;
  std::uint64_t version = 0;  // set by the source; only grows while that source lives
  EngineFamily engine = EngineFamily::kPostgresql;
  bool require_tls = false;
  bool debug_logging = false;
  std::chrono::seconds idle_client_timeout{1800};
  std::chrono::seconds max_client_age{86400};  // clients are retired between transactions; 0: never
  std::uint32_t max_clients = 10000;           // per sidecar
  ClientLimits limits;
  bool sequence_pinning = false;
  bool deferred_begin = true;  // BEGIN goes to the server with the first statement of its transaction
  std::vector<Endpoint> endpoints;
  std::vector<User> users;
  std::chrono::seconds credential_grace{0};  // how long after a rotation clients may use what was before it
  std::vector<Target> targets;
  Discovery discovery;
  ServerTls server_tls;
  ClientCert client_cert;
  EndpointPolicy endpoint_policy;
  PodIdentity pod_identity;
  Aws aws;
  ConnectionPool pool;
  std::map<std::string, std::string> tags;
  Maintenance maintenance;

  // By its name, or by the one that it had before a rotation, however long ago.
  const User* find_user(std::string_view user) const;
  // Equal but for the version: what decides whether there is anything to push.
  bool same_content(const Snapshot& other) const;
};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

// `next` comes after `before`: what of the users' previous passwords `next` does not know, and whoever has both does.
// An operator that was started anew during a rotation does not know what was before it; a sidecar does.
void keep_previous_passwords(Snapshot& next, const Snapshot& before, WallTime now);

// floor(max_connections × percent / 100), never below 1, never above max_connections − reserved − 1 (the monitor's
// own connection). 0 where max_connections is not known.
std::uint32_t connection_limit(const Target& target, const ConnectionPool& pool);

// Names as the API spells them ("READ_WRITE", "AVAILABLE", …), and back; nullopt for anything else.
std::string_view to_string(EngineFamily);
std::string_view to_string(TargetRole);
std::string_view to_string(TargetHealth);
std::string_view to_string(HealthReason);  // "" for kNone
std::string_view to_string(TlsMode);
std::string_view to_string(PasswordAuthType);
std::string_view to_string(IamAuth);
std::string_view to_string(ClientCertMode);
std::optional<EngineFamily> parse_engine_family(std::string_view);
std::optional<TargetRole> parse_target_role(std::string_view);
std::optional<TlsMode> parse_tls_mode(std::string_view);
std::optional<PasswordAuthType> parse_password_auth_type(std::string_view);
std::optional<IamAuth> parse_iam_auth(std::string_view);
std::optional<ClientCertMode> parse_client_cert_mode(std::string_view);

}  // namespace dbproxy::config
