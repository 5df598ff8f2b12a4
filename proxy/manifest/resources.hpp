// The resources of dbproxy.io/v1alpha1 and the two of v1 that they refer to, as typed values with defaults applied.
//
// Plain data, made by loader.hpp. Field names follow the API; what an optional leaves open is said at the field.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::manifest {

// Where an object stands, so that rules across objects can point at lines too.
struct Origin {
  std::string file;
  int line = 0;
  std::map<std::string, int> field_lines;  // field path → line

  // The line of the field, or of the nearest enclosing field that was written.
  int line_of(std::string_view field) const;
};

struct Metadata {
  std::string name_space = "default";
  std::string name;
  Origin origin;
  // "namespace/name": how objects are named in messages and keys.
  std::string key() const { return name_space + "/" + name; }
};

enum class AuthScheme { kSecrets, kIam };
enum class ClientAuth { kPassword, kPodIdentity };
enum class TlsNegotiation { kPostgres, kDirect };

struct AuthEntry {
  std::string description;
  AuthScheme auth_scheme = AuthScheme::kSecrets;
  std::string secret_ref;  // name of a Secret in the same namespace; empty: none
  std::string secret_arn;
  std::string user_name;  // empty: the secret says it
  config::IamAuth iam_auth = config::IamAuth::kDisabled;
  config::PasswordAuthType client_password_auth_type = config::PasswordAuthType::kPostgresScramSha256;
  std::vector<std::string> iam_principals;
  bool auth_type_chosen = false;  // client_password_auth_type
};

struct Instance {
  std::string id;
  std::string endpoint;
  std::uint16_t port = 0;
};

struct CaRef {
  std::string kind = "ConfigMap";  // or "Secret"
  std::string name;
  std::string key = "ca.pem";
};

struct ClusterTls {
  config::TlsMode mode = config::TlsMode::kVerifyFull;
  std::optional<CaRef> ca_ref;
  TlsNegotiation negotiation = TlsNegotiation::kPostgres;
  std::string client_certificate;  // name of a Secret with tls.crt and tls.key; empty: none
};

// A certificate that clients over TCP have to show, besides their password.
struct ClientCertSpec {
  config::ClientCertMode mode = config::ClientCertMode::kVerifyFull;
  CaRef ca_ref;
};

struct DbCluster {
  std::string endpoint;
  std::uint16_t port = 0;
  std::string instance_endpoint_pattern;
  std::vector<Instance> instances;
  std::string identifier;
  ClusterTls tls;
  std::string topology_query;
  std::optional<std::uint32_t> max_replica_lag_seconds;  // none: any lag is taken
  std::uint32_t monitor_idle_seconds = 0;                // 0: the monitor never pauses
};

struct PoolSpec {
  std::uint32_t max_connections_percent = 100;
  std::uint32_t max_idle_connections_percent = 50;
  std::chrono::seconds connection_borrow_timeout{120};
  std::vector<std::string> session_pinning_filters;
  std::string init_query;
  std::optional<std::uint32_t> max_connections_per_pod;  // none: a quarter of the limit
  std::uint32_t connection_floor = 1;
  std::chrono::seconds give_back_timeout{60};
};

// 0 or none: no limit.
struct Limits {
  std::uint32_t max_clients = 10000;  // per sidecar
  config::ClientLimits of_clients;
};

struct AwsSpec {
  std::string region;
  std::string role_arn;
  std::string service_account_name;
  std::map<std::string, std::string> endpoint_overrides;  // service → URL
};

struct LabelRequirement {
  std::string key;
  std::string op;  // In, NotIn, Exists, DoesNotExist
  std::vector<std::string> values;
};

struct PodSelector {  // empty: every pod of the namespace
  std::map<std::string, std::string> match_labels;
  std::vector<LabelRequirement> match_expressions;
};

struct DBProxyResource {
  Metadata metadata;
  config::EngineFamily engine_family = config::EngineFamily::kPostgresql;
  std::uint16_t port = 5432;
  bool require_tls = false;
  std::chrono::seconds idle_client_timeout{1800};
  std::chrono::seconds max_client_age{86400};  // 0: never
  bool debug_logging = false;
  bool sequence_pinning = false;
  bool deferred_begin = true;
  ClientAuth client_auth = ClientAuth::kPassword;
  std::optional<ClientCertSpec> client_cert;  // none: clients need no certificate
  bool allow_loopback_tcp = false;
  std::vector<std::uint32_t> pod_identity_uids;  // empty: all of the pod
  std::chrono::seconds credential_grace{86400};
  PodSelector pod_selector;
  std::vector<AuthEntry> auth;
  DbCluster cluster;  // of the one target group, "default"
  PoolSpec pool;
  Limits limits;
  AwsSpec aws;
  std::map<std::string, std::string> tags;
};

struct DBProxyEndpointResource {
  Metadata metadata;
  std::string db_proxy_name;
  std::uint16_t port = 0;
  config::TargetRole target_role = config::TargetRole::kReadWrite;
  bool fallback_to_writer = false;
};

struct SecretResource {
  Metadata metadata;
  std::string username;                // empty: the key is missing or empty
  Secret password;                     // likewise
  std::map<std::string, Secret> data;  // all keys, decoded; a CA may come from here
};

struct ConfigMapResource {
  Metadata metadata;
  std::map<std::string, std::string> data;
};

}  // namespace dbproxy::manifest
