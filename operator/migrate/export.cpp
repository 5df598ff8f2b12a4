#include <boost/json.hpp>

#include "operator/migrate/migrate.hpp"

namespace dbproxy::migrate {
namespace {

namespace json = boost::json;

constexpr std::string_view kClusterPart = ".cluster-";

// "orders" and the rest of "orders.cluster-abc.us-east-2.rds.amazonaws.com"; "" where it is no cluster's endpoint.
struct ClusterName {
  std::string id, rest;
};
ClusterName cluster_of(const manifest::DbCluster& cluster) {
  const std::size_t at = cluster.endpoint.find(kClusterPart);
  if (at == std::string::npos) return {cluster.identifier, {}};
  const std::string id = cluster.endpoint.substr(0, at);
  return {cluster.identifier.empty() ? id : cluster.identifier, cluster.endpoint.substr(at + kClusterPart.size())};
}

class Exporter {
 public:
  Exporter(const ExportedProxy& from, ExportResult& result) : from_(from), proxy_(from.proxy), result_(result) {}

  void write() {
    result_.proxies.emplace_back(proxy());
    result_.groups.emplace_back(group());
    targets();
    endpoints();
    say_what_is_lost();
  }

 private:
  void lost(const std::string& what) { result_.lost.push_back(proxy_.metadata.key() + ": " + what); }

  json::object proxy() {
    json::object out;
    out["DBProxyName"] = proxy_.metadata.name;
    out["Status"] = from_.ready ? "available" : "creating";
    out["EngineFamily"] = std::string(config::to_string(proxy_.engine_family));
    out["VpcSecurityGroupIds"] = json::array();
    out["VpcSubnetIds"] = json::array();
    json::array auth;
    for (const manifest::AuthEntry& each : proxy_.auth) auth.emplace_back(one_auth(each));
    out["Auth"] = std::move(auth);
    if (!proxy_.aws.role_arn.empty()) out["RoleArn"] = proxy_.aws.role_arn;
    out["Endpoint"] = "127.0.0.1";
    out["RequireTLS"] = proxy_.require_tls;
    out["IdleClientTimeout"] = proxy_.idle_client_timeout.count();
    out["DebugLogging"] = proxy_.debug_logging;
    return out;
  }

  json::object one_auth(const manifest::AuthEntry& from) {
    json::object out;
    if (!from.description.empty()) out["Description"] = from.description;
    if (!from.user_name.empty()) out["UserName"] = from.user_name;
    out["AuthScheme"] = "SECRETS";
    if (from.secret_arn.empty()) {
      lost("auth: the Secret " + from.secret_ref + " is Kubernetes' and has no SecretArn");
    } else {
      out["SecretArn"] = from.secret_arn;
    }
    out["IAMAuth"] = from.iam_auth == config::IamAuth::kDisabled  ? "DISABLED"
                     : from.iam_auth == config::IamAuth::kEnabled ? "ENABLED"
                                                                  : "REQUIRED";
    out["ClientPasswordAuthType"] = std::string(config::to_string(from.client_password_auth_type));
    return out;
  }

  json::object group() const {
    json::object pool;
    pool["MaxConnectionsPercent"] = proxy_.pool.max_connections_percent;
    pool["MaxIdleConnectionsPercent"] = proxy_.pool.max_idle_connections_percent;
    pool["ConnectionBorrowTimeout"] = proxy_.pool.connection_borrow_timeout.count();
    json::array filters;
    for (const std::string& each : proxy_.pool.session_pinning_filters) filters.emplace_back(each);
    pool["SessionPinningFilters"] = std::move(filters);
    if (!proxy_.pool.init_query.empty()) pool["InitQuery"] = proxy_.pool.init_query;
    json::object out;
    out["DBProxyName"] = proxy_.metadata.name;
    out["TargetGroupName"] = "default";
    out["IsDefault"] = true;
    out["Status"] = from_.ready ? "available" : "creating";
    out["ConnectionPoolConfig"] = std::move(pool);
    return out;
  }

  void targets() {
    const manifest::DbCluster& cluster = proxy_.cluster;
    const ClusterName name = cluster_of(cluster);
    if (!name.id.empty()) {
      json::object tracked;
      tracked["RdsResourceId"] = name.id;
      tracked["Port"] = cluster.port;
      tracked["Type"] = "TRACKED_CLUSTER";
      result_.targets.emplace_back(std::move(tracked));
    }
    if (!cluster.instances.empty()) {
      for (const manifest::Instance& each : cluster.instances) instance(each.id, each.endpoint, each.port, name.id);
    } else if (!from_.targets.empty()) {
      for (const ExportedTarget& each : from_.targets) {
        const bool member = !name.rest.empty();
        instance(each.id, member ? each.id + "." + name.rest : cluster.endpoint, cluster.port, name.id);
      }
    } else if (name.rest.empty()) {
      instance(cluster.endpoint, cluster.endpoint, cluster.port, name.id);
    }
  }

  void instance(const std::string& id, const std::string& endpoint, int port, const std::string& cluster) {
    json::object out;
    if (!cluster.empty()) out["TrackedClusterId"] = cluster;
    out["RdsResourceId"] = id;
    out["Endpoint"] = endpoint;
    out["Port"] = port;
    out["Type"] = "RDS_INSTANCE";
    for (const ExportedTarget& each : from_.targets) {
      if (each.id != id) continue;
      out["Role"] = each.role.empty() ? "UNKNOWN" : each.role;
      json::object health;
      health["State"] = each.health;
      if (!each.reason.empty()) health["Reason"] = each.reason;
      out["TargetHealth"] = std::move(health);
    }
    result_.targets.emplace_back(std::move(out));
  }

  void endpoints() {
    one_endpoint("default", proxy_.port, config::TargetRole::kReadWrite, true);
    for (const auto& each : from_.endpoints) {
      one_endpoint(each.metadata.name, each.port, each.target_role, false);
      if (each.fallback_to_writer) lost("endpoint " + each.metadata.name + ": fallbackToWriter");
    }
  }

  void one_endpoint(const std::string& name, int port, config::TargetRole role, bool is_default) {
    json::object out;
    out["DBProxyEndpointName"] = name;
    out["DBProxyName"] = proxy_.metadata.name;
    out["Status"] = from_.ready ? "available" : "creating";
    out["VpcSecurityGroupIds"] = json::array();
    out["VpcSubnetIds"] = json::array();
    out["Endpoint"] = "127.0.0.1";
    out["Port"] = port;  // which RDS Proxy does not tell: there it is that of the engine
    out["TargetRole"] = std::string(config::to_string(role));
    out["IsDefault"] = is_default;
    result_.endpoints.emplace_back(std::move(out));
  }

  // What is set and RDS Proxy has no word for.
  void say_what_is_lost() {
    const manifest::DBProxyResource none;
    const auto unless = [&](bool as_default, const char* field) {
      if (!as_default) lost(std::string(field) + " has no equal there");
    };
    unless(proxy_.max_client_age == none.max_client_age, "maxClientAgeSeconds");
    unless(!proxy_.sequence_pinning, "sequencePinning");
    unless(proxy_.deferred_begin, "deferredBegin");
    unless(!proxy_.client_cert, "clientCert");
    unless(proxy_.client_auth == none.client_auth, "clientAuth");
    unless(proxy_.pod_selector.match_labels.empty() && proxy_.pod_selector.match_expressions.empty(), "podSelector");
    unless(proxy_.limits.max_clients == none.limits.max_clients && proxy_.limits.of_clients == none.limits.of_clients,
           "limits");
    unless(proxy_.cluster.topology_query.empty(), "topologyQuery");
    unless(!proxy_.cluster.max_replica_lag_seconds, "maxReplicaLagSeconds");
    unless(proxy_.cluster.tls.mode == none.cluster.tls.mode, "dbCluster.tls.mode");
    unless(proxy_.cluster.tls.client_certificate.empty(), "dbCluster.tls.clientCertificateRef");
    unless(!proxy_.pool.max_connections_per_pod, "maxConnectionsPerPod");
  }

  const ExportedProxy& from_;
  const manifest::DBProxyResource& proxy_;
  ExportResult& result_;
};

}  // namespace

ExportResult to_rds_proxy(const std::vector<ExportedProxy>& proxies) {
  ExportResult result;
  for (const ExportedProxy& each : proxies) Exporter(each, result).write();
  return result;
}

}  // namespace dbproxy::migrate
