#include "proxy/plan/plan.hpp"

#include <algorithm>

namespace dbproxy::plan {
namespace {

std::string resolve_ca(const manifest::Manifests& manifests, const std::string& name_space,
                       const manifest::CaRef& ref) {
  if (ref.kind == "Secret") {
    const auto* secret = manifests.find_secret(name_space, ref.name);
    if (secret == nullptr) return {};
    auto it = secret->data.find(ref.key);
    return it == secret->data.end() ? std::string() : std::string(it->second.reveal());  // certificates are public
  }
  const auto* map = manifests.find_config_map(name_space, ref.name);
  if (map == nullptr) return {};
  auto it = map->data.find(ref.key);
  return it == map->data.end() ? std::string() : it->second;
}

void resolve_tls(const manifest::Manifests& manifests, const manifest::DBProxyResource& proxy, config::Snapshot& out) {
  const std::string& name_space = proxy.metadata.name_space;
  const manifest::ClusterTls& tls = proxy.cluster.tls;
  out.server_tls.mode = tls.mode;
  out.server_tls.direct = tls.negotiation == manifest::TlsNegotiation::kDirect;
  if (tls.ca_ref) out.server_tls.ca_pem = resolve_ca(manifests, name_space, *tls.ca_ref);
  if (const auto* secret = manifests.find_secret(name_space, tls.client_certificate); secret != nullptr) {
    const auto certificate = secret->data.find("tls.crt");
    const auto key = secret->data.find("tls.key");
    if (certificate != secret->data.end() && key != secret->data.end()) {
      out.server_tls.client_certificate_pem = certificate->second.reveal();  // certificates are public
      out.server_tls.client_key_pem = key->second;
    }
  }
  if (!proxy.client_cert) return;
  out.client_cert.mode = proxy.client_cert->mode;
  out.client_cert.ca_pem = resolve_ca(manifests, name_space, proxy.client_cert->ca_ref);
}

std::optional<LoginSecret> secret_of(const manifest::Manifests& manifests, const manifest::DBProxyResource& proxy,
                                     const manifest::AuthEntry& auth, const SecretLookup& lookup) {
  if (auth.auth_scheme == manifest::AuthScheme::kIam) return LoginSecret{auth.user_name, {}};
  if (!auth.secret_arn.empty()) return lookup ? lookup(proxy, auth) : std::nullopt;
  const auto* secret = manifests.find_secret(proxy.metadata.name_space, auth.secret_ref);
  if (secret == nullptr) return std::nullopt;
  return LoginSecret{secret->username, secret->password};
}

void resolve_users(const manifest::Manifests& manifests, const manifest::DBProxyResource& proxy,
                   const SecretLookup& lookup, DesiredProxy& desired) {
  std::vector<config::User>& out = desired.snapshot.users;
  for (const auto& auth : proxy.auth) {
    std::optional<LoginSecret> secret = secret_of(manifests, proxy, auth, lookup);
    if (!secret) continue;
    // Two secrets of one user show only when they are read: the first one holds.
    const bool taken =
        std::any_of(out.begin(), out.end(), [&](const auto& each) { return each.name == secret->username; });
    if (taken) continue;
    config::User user;
    user.name = std::move(secret->username);
    if (!(secret->previous == secret->password)) user.previous_password = std::move(secret->previous);
    user.password = std::move(secret->password);
    user.client_password_auth_type = auth.client_password_auth_type;
    user.auth_type_chosen = auth.auth_type_chosen;
    user.iam_auth = auth.iam_auth;
    user.iam_principals = auth.iam_principals;
    if (auth.auth_scheme == manifest::AuthScheme::kIam) user.auth_scheme = config::AuthScheme::kIam;
    user.description = auth.description;
    out.push_back(std::move(user));
    desired.secrets.push_back(auth.secret_arn.empty() ? auth.secret_ref : auth.secret_arn);
  }
}

std::vector<config::Endpoint> endpoints_of(const manifest::Manifests& manifests,
                                           const manifest::DBProxyResource& proxy) {
  std::vector<config::Endpoint> out{{"default", proxy.port, config::TargetRole::kReadWrite, false}};
  for (const auto& endpoint : manifests.endpoints) {
    bool ours =
        endpoint.metadata.name_space == proxy.metadata.name_space && endpoint.db_proxy_name == proxy.metadata.name;
    if (!ours) continue;
    out.push_back({endpoint.metadata.name, endpoint.port, endpoint.target_role, endpoint.fallback_to_writer});
  }
  std::sort(out.begin() + 1, out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

std::vector<config::Target> targets_of(const manifest::DbCluster& cluster) {
  std::vector<config::Target> out;
  for (const auto& instance : cluster.instances) {
    config::Target target;
    target.id = instance.id;
    target.host = instance.endpoint;
    target.port = instance.port;
    out.push_back(std::move(target));
  }
  if (out.empty() && !cluster.endpoint.empty()) {  // none: AWS has not told yet
    config::Target target;
    target.id = target_id(cluster.endpoint);
    target.host = cluster.endpoint;
    target.port = cluster.port;
    out.push_back(std::move(target));
  }
  return out;
}

topology::Discovery discovery_of(const manifest::DbCluster& cluster) {
  topology::Discovery out;
  out.query = cluster.topology_query;
  out.max_lag_seconds = cluster.max_replica_lag_seconds.value_or(0);
  if (!cluster.instances.empty()) return out;
  out.pattern = cluster.instance_endpoint_pattern.empty() ? instance_pattern(cluster.endpoint)
                                                          : cluster.instance_endpoint_pattern;
  out.port = cluster.port;
  return out;
}

DesiredProxy desire(const manifest::Manifests& manifests, const manifest::DBProxyResource& proxy,
                    const SecretLookup& lookup) {
  DesiredProxy out;
  out.key = proxy.metadata.key();
  config::Snapshot& snapshot = out.snapshot;
  snapshot.name_space = proxy.metadata.name_space;
  snapshot.name = proxy.metadata.name;
  snapshot.engine = proxy.engine_family;
  snapshot.require_tls = proxy.require_tls;
  snapshot.debug_logging = proxy.debug_logging;
  snapshot.idle_client_timeout = proxy.idle_client_timeout;
  snapshot.max_client_age = proxy.max_client_age;
  snapshot.max_clients = proxy.limits.max_clients;
  snapshot.limits = proxy.limits.of_clients;
  snapshot.sequence_pinning = proxy.sequence_pinning;
  snapshot.deferred_begin = proxy.deferred_begin;
  out.monitor_idle = std::chrono::seconds(proxy.cluster.monitor_idle_seconds);
  snapshot.endpoints = endpoints_of(manifests, proxy);
  snapshot.pod_identity = {proxy.client_auth == manifest::ClientAuth::kPodIdentity, proxy.allow_loopback_tcp,
                           proxy.pod_identity_uids};
  snapshot.aws = {proxy.aws.region, proxy.aws.role_arn, {}};
  const auto sts = proxy.aws.endpoint_overrides.find("sts");
  if (sts != proxy.aws.endpoint_overrides.end()) snapshot.aws.sts_url = sts->second;
  resolve_users(manifests, proxy, lookup, out);
  snapshot.credential_grace = proxy.credential_grace;
  snapshot.targets = targets_of(proxy.cluster);
  resolve_tls(manifests, proxy, snapshot);
  snapshot.discovery = discovery_of(proxy.cluster);
  snapshot.pool.max_connections_percent = proxy.pool.max_connections_percent;
  snapshot.pool.max_idle_connections_percent = proxy.pool.max_idle_connections_percent;
  snapshot.pool.borrow_timeout = proxy.pool.connection_borrow_timeout;
  const auto& filters = proxy.pool.session_pinning_filters;
  snapshot.pool.exclude_variable_sets =
      std::find(filters.begin(), filters.end(), "EXCLUDE_VARIABLE_SETS") != filters.end();
  snapshot.pool.init_query = proxy.pool.init_query;
  snapshot.pool.max_per_pod = proxy.pool.max_connections_per_pod.value_or(0);
  snapshot.pool.floor = proxy.pool.connection_floor;
  snapshot.pool.give_back_timeout = proxy.pool.give_back_timeout;
  snapshot.tags = proxy.tags;
  return out;
}

}  // namespace

std::string target_id(const std::string& host) {
  if (!host.empty() && host.front() == '/') {
    std::size_t end = host.find_last_not_of('/');
    if (end == std::string::npos) return "local";
    std::size_t slash = host.find_last_of('/', end);
    return host.substr(slash + 1, end - slash);
  }
  bool address = host.find(':') != std::string::npos || host.find_first_not_of("0123456789.") == std::string::npos;
  return address ? host : host.substr(0, host.find('.'));
}

std::string instance_pattern(const std::string& cluster_endpoint) {
  const auto dot = cluster_endpoint.find('.');
  if (dot == std::string::npos || cluster_endpoint.find(".rds.amazonaws.com") == std::string::npos) return {};
  const std::string rest = cluster_endpoint.substr(dot + 1);
  for (const std::string_view kind : {"cluster-ro-", "cluster-custom-", "cluster-"}) {
    if (rest.starts_with(kind)) return "?." + rest.substr(kind.size());
  }
  return {};
}

Desired make_desired(const manifest::Manifests& manifests, const SecretLookup& lookup) {
  Desired out;
  for (const auto& proxy : manifests.proxies) out.proxies.push_back(desire(manifests, proxy, lookup));
  std::sort(out.proxies.begin(), out.proxies.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  return out;
}

topology::Cluster cluster(const DesiredProxy& proxy) {
  topology::Cluster out;
  out.proxy = proxy.key;
  out.tls = proxy.snapshot.server_tls;
  out.discovery = proxy.snapshot.discovery;
  out.engine = proxy.snapshot.engine;
  out.policy = proxy.snapshot.endpoint_policy;
  for (const auto& target : proxy.snapshot.targets) out.members.push_back({target.id, target.host, target.port});
  out.aws = proxy.snapshot.aws;
  out.idle_after = proxy.monitor_idle;
  out.account = proxy.account;
  for (const auto& user : proxy.snapshot.users) {
    const bool iam = user.auth_scheme == config::AuthScheme::kIam;
    if (!iam || proxy.may_sign) out.credentials.push_back({user.name, user.password, iam});
    // Where a rotation is under way the database may have the older of the two.
    const std::string& previous = user.previous_name.empty() ? user.name : user.previous_name;
    if (!user.previous_password.empty()) out.credentials.push_back({previous, user.previous_password});
  }
  return out;
}

config::Snapshot make_snapshot(const DesiredProxy& desired, const std::vector<topology::Observation>& observed) {
  config::Snapshot out = desired.snapshot;
  const bool told = std::any_of(observed.begin(), observed.end(), [](const auto& o) { return !o.host.empty(); });
  if (told) out.targets.clear();
  for (const auto& seen : observed) {
    if (seen.host.empty()) continue;
    config::Target target;
    target.id = seen.target;
    target.host = seen.host;
    target.port = seen.port;
    out.targets.push_back(std::move(target));
  }
  for (auto& target : out.targets) {
    auto it = std::find_if(observed.begin(), observed.end(), [&](const auto& o) { return o.target == target.id; });
    if (it == observed.end()) continue;
    target.role = it->role;
    target.health = it->health;
    target.reason = it->reason;
    target.max_connections = it->max_connections;
    target.reserved_connections = it->reserved;
    target.lag_seconds = it->lag_seconds;
    target.server_version = it->server_version;
    target.server_capabilities = it->server_capabilities;
  }
  return out;
}

std::vector<config::Snapshot> make_snapshots(const Desired& desired, const Observations& observed) {
  static const std::vector<topology::Observation> kNothing;
  std::vector<config::Snapshot> out;
  for (const auto& proxy : desired.proxies) {
    auto it = observed.find(proxy.key);
    out.push_back(make_snapshot(proxy, it == observed.end() ? kNothing : it->second));
  }
  return out;
}

}  // namespace dbproxy::plan
