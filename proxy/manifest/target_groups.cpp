// DBProxy: spec.targetGroups, of which there is one: the cluster and the pool towards it.
#include <algorithm>
#include <set>

#include "proxy/manifest/parsers.hpp"

namespace dbproxy::manifest {
namespace {

using config::EngineFamily;

constexpr std::size_t kMaxInstances = 16;  // an Aurora cluster's writer and 15 readers

template <class T>
void set(T& target, const std::optional<std::int64_t>& value) {
  if (value) target = T(*value);
}

std::string check_pattern(std::string_view text) {
  if (std::count(text.begin(), text.end(), '?') != 1)
    return "does not hold exactly one '?', which stands for the instance's name";
  std::string host(text);
  std::replace(host.begin(), host.end(), '?', 'x');
  return check_host(host);
}

std::string check_identifier(std::string_view text) {
  bool good = std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; });
  return good ? "" : "is not a cluster identifier (letters, digits and '-')";
}

void parse_instances(Fields& cluster, DbCluster& out) {
  std::set<std::string> ids;
  for (Fields& item : cluster.maps("instances", kMaxInstances)) {
    Instance instance;
    item.require("id", "give each instance a name of its own");
    instance.id = item.text("id", {63, check_dns_label}).value_or("");
    item.require("endpoint", "write the instance's host name");
    instance.endpoint = item.text("endpoint", {253, check_host}).value_or("");
    instance.port = out.port;
    set(instance.port, item.integer("port", 1, 65535));
    item.finish();
    if (!instance.id.empty() && !ids.insert(instance.id).second) {
      item.error("id", in_quotes(instance.id), "is the id of an instance above too",
                 "give each instance a name of its own");
    }
    out.instances.push_back(std::move(instance));
  }
}

void parse_cluster(Fields& group, EngineFamily engine, DbCluster& out) {
  out.port = engine == EngineFamily::kMysql ? 3306 : 5432;
  if (!group.require("dbCluster", "name the cluster's endpoint")) {
    group.ignore("dbCluster");
    return;
  }
  auto fields = group.map("dbCluster");
  if (!fields) return;
  Fields& cluster = *fields;
  const bool elsewhere = cluster.has("instances") || cluster.has("identifier");
  if (!elsewhere) cluster.require("endpoint", "write the cluster's endpoint, or list its instances");
  out.endpoint = cluster.text("endpoint", {253, check_host}).value_or("");
  set(out.port, cluster.integer("port", 1, 65535));
  TextRule pattern{253, check_pattern, "write it as in ?.abc.us-east-2.rds.amazonaws.com"};
  out.instance_endpoint_pattern = cluster.text("instanceEndpointPattern", pattern).value_or("");
  parse_instances(cluster, out);
  if (cluster.is_empty_list("instances") && !cluster.has("endpoint") && !cluster.has("identifier")) {
    cluster.error("endpoint", "", "is missing", "write the cluster's endpoint, or list its instances");
  }
  out.identifier = cluster.text("identifier", {63, check_identifier}).value_or("");
  parse_cluster_tls(cluster, engine, out.tls);
  out.topology_query = cluster.text("topologyQuery", {4096}).value_or("");
  if (auto lag = cluster.integer("maxReplicaLagSeconds", 0, 86400))
    out.max_replica_lag_seconds = static_cast<std::uint32_t>(*lag);
  set(out.monitor_idle_seconds, cluster.integer("monitorIdleSeconds", 0, 86400));
  cluster.finish();
}

void parse_pool(Fields& group, EngineFamily engine, PoolSpec& out) {
  auto fields = group.map("connectionPool");
  if (!fields) return;
  Fields& pool = *fields;
  std::string remedy = "it is the share of the database's max_connections";
  auto most = pool.integer("maxConnectionsPercent", 1, 100, remedy);
  set(out.max_connections_percent, most);
  out.max_idle_connections_percent = out.max_connections_percent / 2;
  auto idle = pool.integer("maxIdleConnectionsPercent", 0, 100, remedy);
  set(out.max_idle_connections_percent, idle);
  bool most_known = most || !pool.has("maxConnectionsPercent");
  if (idle && most_known && out.max_idle_connections_percent > out.max_connections_percent) {
    pool.error("maxIdleConnectionsPercent", std::to_string(*idle),
               "is more than maxConnectionsPercent, which is " + std::to_string(out.max_connections_percent),
               "lower it to at most " + std::to_string(out.max_connections_percent));
  }
  set(out.connection_borrow_timeout, pool.integer("connectionBorrowTimeoutSeconds", 0, 300));
  for (auto& filter :
       pool.texts("sessionPinningFilters", 1, {64, [](std::string_view text) -> std::string {
                                                 return text == "EXCLUDE_VARIABLE_SETS"
                                                            ? ""
                                                            : "is not EXCLUDE_VARIABLE_SETS, which is the only filter";
                                               }})) {
    out.session_pinning_filters.push_back(std::move(filter));
  }
  if (!out.session_pinning_filters.empty() && engine == EngineFamily::kPostgresql) {
    pool.warning("sessionPinningFilters", "\"EXCLUDE_VARIABLE_SETS\"", "has an effect on MYSQL only", "remove it");
  }
  out.init_query =
      pool.text("initQuery", {4096,
                              [](std::string_view text) -> std::string {
                                return text.find('\0') == std::string_view::npos ? "" : "holds a zero byte";
                              }})
          .value_or("");
  if (auto count = pool.integer("maxConnectionsPerPod", 1, 262'143)) {
    out.max_connections_per_pod = static_cast<std::uint32_t>(*count);
  }
  set(out.connection_floor, pool.integer("connectionFloor", 0, 1000));
  set(out.give_back_timeout, pool.integer("giveBackTimeoutSeconds", 1, 3600));
  pool.finish();
}

}  // namespace

void parse_target_groups(Fields& spec, EngineFamily engine, DBProxyResource& out) {
  spec.require("targetGroups", "list one, named default, with its dbCluster");
  std::vector<Fields> groups = spec.maps("targetGroups", 100);
  if (spec.is_empty_list("targetGroups") || groups.size() > 1) {
    spec.error("targetGroups", "", "has " + std::to_string(groups.size()) + " items, and exactly one is allowed",
               "keep one, named default; a second cluster needs a DBProxy of its own");
  }
  if (groups.empty()) return;
  Fields& group = groups.front();
  if (auto name = group.text("name", {63}); name && *name != "default") {
    group.error("name", in_quotes(*name), "is not \"default\", which is the only target group", "write default");
  }
  parse_cluster(group, engine, out.cluster);
  parse_pool(group, engine, out.pool);
  group.finish();
}

}  // namespace dbproxy::manifest
