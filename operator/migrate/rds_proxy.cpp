#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "operator/migrate/migrate.hpp"
#include "operator/migrate/writer.hpp"
#include "proxy/aws/secrets_manager.hpp"

namespace dbproxy::migrate {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostBytes = std::size_t{16} << 20;
constexpr const char* kPlaceholderArn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:REPLACE-ME";
constexpr const char* kPlaceholderHost = "replace-me.example.com";
constexpr int kMostIdleSeconds = 28800;

const json::value* find(const json::object& object, const char* name) {
  const auto* found = object.if_contains(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::string text(const json::object& object, const char* name) {
  const auto* found = find(object, name);
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : std::string();
}

const json::array& list(const json::object& object, const char* name) {
  static const json::array none;
  const auto* found = find(object, name);
  return found != nullptr && found->is_array() ? found->as_array() : none;
}

bool flag(const json::object& object, const char* name) {
  const auto* found = find(object, name);
  return found != nullptr && found->is_bool() && found->as_bool();
}

// What all documents say together, by the proxy's name.
struct Told {
  std::vector<json::object> proxies, groups, targets, endpoints;
  json::array auth;
  bool auth_only = false;
};

bool take(const json::value& document, Told& told) {
  if (document.is_array()) {
    for (const auto& entry : document.as_array()) {
      if (!entry.is_object() ||
          (find(entry.as_object(), "SecretArn") == nullptr && find(entry.as_object(), "AuthScheme") == nullptr)) {
        return false;
      }
      told.auth.push_back(entry);
    }
    told.auth_only = true;
    return true;
  }
  if (!document.is_object()) return false;
  const auto& object = document.as_object();
  bool known = false;
  const auto each = [&](const char* name, std::vector<json::object>& into) {
    if (object.if_contains(name) == nullptr) return;
    known = true;
    for (const auto& entry : list(object, name)) {
      if (entry.is_object()) into.push_back(entry.as_object());
    }
  };
  each("DBProxies", told.proxies);
  each("TargetGroups", told.groups);
  each("Targets", told.targets);
  each("DBProxyEndpoints", told.endpoints);
  return known;
}

class Proxy {
 public:
  Proxy(const json::object& from, const Options& options, Result& result)
      : from_(from), options_(options), result_(result), name_(object_name(text(from, "DBProxyName"))) {}

  const std::string& name() const { return name_; }
  bool is_mysql() const { return text(from_, "EngineFamily") == "MYSQL"; }
  int default_port() const { return is_mysql() ? 3306 : 5432; }

  std::string write(const json::object& group, const std::vector<json::object>& targets, int port) {
    writer_.remark("From the RDS Proxy " + text(from_, "DBProxyName") + ".");
    for (const char* unused : {"VpcSecurityGroupIds", "VpcSubnetIds"}) {
      if (!list(from_, unused).empty()) {
        writer_.remark(std::string(unused) +
                       " have no equal: a sidecar is in its pod's own network, and takes no address.");
      }
    }
    writer_.begin("DBProxy", name_, options_.name_space);
    writer_.key("spec");
    auto& out = writer_.out();
    out << YAML::BeginMap;
    writer_.field("engineFamily", is_mysql() ? "MYSQL" : "POSTGRESQL");
    if (port != default_port()) writer_.field("port", port);
    writer_.field("requireTLS", flag(from_, "RequireTLS"));
    if (const auto* idle = find(from_, "IdleClientTimeout"); idle != nullptr && idle->is_int64()) {
      writer_.field("idleClientTimeoutSeconds", std::clamp<std::int64_t>(idle->as_int64(), 1, kMostIdleSeconds));
    }
    writer_.field("debugLogging", flag(from_, "DebugLogging"));
    auth();
    writer_.key("targetGroups");
    out << YAML::BeginSeq << YAML::BeginMap;
    writer_.field("name", "default");
    cluster(targets);
    pool(group);
    out << YAML::EndMap << YAML::EndSeq;
    if (const auto role = text(from_, "RoleArn"); !role.empty()) {
      writer_.key("aws");
      out << YAML::BeginMap;
      writer_.field("roleArn", role);
      out << YAML::EndMap;
      to_do("the operator has to be allowed to assume " + role + ": dbproxyctl iam-policy prints the policies");
    }
    out << YAML::EndMap;
    return writer_.finish();
  }

 private:
  void to_do(const std::string& what) { result_.to_do.push_back(name_ + ": " + what); }

  void auth() {
    auto& out = writer_.out();
    const auto& entries = list(from_, "Auth");
    if (entries.empty()) {
      writer_.remark("It has no secret of its own; without one, a user and a password have to be given here.");
      to_do("auth: name a secret");
    }
    writer_.key("auth");
    out << YAML::BeginSeq;
    for (const auto& entry : entries) {
      if (entry.is_object()) one_auth(entry.as_object());
    }
    if (entries.empty()) {
      out << YAML::BeginMap;
      writer_.field("secretArn", kPlaceholderArn);
      out << YAML::EndMap;
    }
    out << YAML::EndSeq;
  }

  void one_auth(const json::object& entry) {
    auto& out = writer_.out();
    out << YAML::BeginMap;
    if (const auto described = text(entry, "Description"); !described.empty()) {
      writer_.field("description", described.substr(0, 256));
    }
    writer_.field("secretArn", secret(text(entry, "SecretArn")));
    if (const auto user = text(entry, "UserName"); !user.empty()) writer_.field("userName", user);
    const auto iam = text(entry, "IAMAuth");
    if (iam == "REQUIRED" || iam == "ENABLED") {
      writer_.field("iamAuth", iam);
      to_do(
          "auth: tokens of clients are made for another endpoint, and iamPrincipals says whose are taken: "
          "docs/operations.md, IAM from clients");
    }
    if (const auto type = text(entry, "ClientPasswordAuthType"); type == "SQL_SERVER_AUTHENTICATION") {
      writer_.remark("ClientPasswordAuthType: SQL_SERVER_AUTHENTICATION has no equal.");
    } else if (!type.empty()) {
      writer_.field("clientPasswordAuthType", type);
    }
    out << YAML::EndMap;
  }

  std::string secret(const std::string& arn) {
    const auto parsed = aws::parse_arn(arn);
    if (parsed.service == "secretsmanager" && parsed.resource.starts_with("secret:") && !parsed.region.empty() &&
        parsed.account.size() == 12) {
      return arn;
    }
    writer_.remark("SecretArn \"" + arn.substr(0, 200) +
                   "\" is no ARN of a secret, which is arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME.");
    to_do("auth: put the secret's ARN in the place of " + std::string(kPlaceholderArn));
    return kPlaceholderArn;
  }

  void cluster(const std::vector<json::object>& targets) {
    auto& out = writer_.out();
    const int port = port_of(targets);
    writer_.key("dbCluster");
    out << YAML::BeginMap;
    std::string cluster, pattern_rest;
    std::vector<std::pair<std::string, std::string>> instances;  // id, endpoint
    for (const auto& target : targets) {
      const auto id = text(target, "RdsResourceId");
      const auto endpoint = text(target, "Endpoint");
      if (text(target, "Type") == "TRACKED_CLUSTER") cluster = id;
      if (text(target, "Type") != "RDS_INSTANCE" || endpoint.empty()) continue;
      if (const auto tracked = text(target, "TrackedClusterId"); !tracked.empty()) cluster = tracked;
      if (endpoint.starts_with(id + ".")) pattern_rest = endpoint.substr(id.size() + 1);
      instances.emplace_back(id, endpoint);
    }
    if (!cluster.empty() && !pattern_rest.empty()) {
      // CLUSTER.cluster-ID.REGION.rds.amazonaws.com beside INSTANCE.ID.REGION.rds.amazonaws.com.
      writer_.field("endpoint", cluster + ".cluster-" + pattern_rest);
      writer_.remark("The cluster's endpoint was derived from its instances'. They join and leave by themselves.");
    } else if (!instances.empty()) {
      writer_.key("instances");
      out << YAML::BeginSeq;
      for (const auto& [id, endpoint] : instances) {
        out << YAML::BeginMap;
        writer_.field("id", object_name(id));
        writer_.field("endpoint", endpoint);
        out << YAML::EndMap;
      }
      out << YAML::EndSeq;
    } else {
      writer_.field("endpoint", kPlaceholderHost);
      writer_.remark("The JSON of aws rds describe-db-proxy-targets would have told the database's endpoint.");
      to_do(std::string("dbCluster.endpoint: put the cluster's endpoint in the place of ") + kPlaceholderHost);
    }
    writer_.field("port", port);
    writer_.key("tls");
    out << YAML::BeginMap;
    writer_.field("mode", "verify-full");
    writer_.key("caRef");
    out << YAML::BeginMap;
    writer_.field("name", "rds-ca");
    out << YAML::EndMap << YAML::EndMap << YAML::EndMap;
    to_do("tls: make the ConfigMap rds-ca with AWS's certificate bundle of the region under the key ca.pem");
  }

  int port_of(const std::vector<json::object>& targets) const {
    for (const auto& target : targets) {
      const auto* port = find(target, "Port");
      if (port != nullptr && port->is_int64() && port->as_int64() > 0 && port->as_int64() < 65536) {
        return static_cast<int>(port->as_int64());
      }
    }
    return default_port();
  }

  void pool(const json::object& group) {
    const auto* found = find(group, "ConnectionPoolConfig");
    if (found == nullptr || !found->is_object()) return;
    const auto& from = found->as_object();
    auto& out = writer_.out();
    writer_.key("connectionPool");
    out << YAML::BeginMap;
    const auto number = [&](const char* theirs, const char* ours) {
      const auto* value = find(from, theirs);
      if (value != nullptr && value->is_int64()) writer_.field(ours, value->as_int64());
    };
    number("MaxConnectionsPercent", "maxConnectionsPercent");
    number("MaxIdleConnectionsPercent", "maxIdleConnectionsPercent");
    number("ConnectionBorrowTimeout", "connectionBorrowTimeoutSeconds");
    if (const auto& filters = list(from, "SessionPinningFilters"); !filters.empty()) {
      if (is_mysql()) {
        writer_.key("sessionPinningFilters");
        out << YAML::BeginSeq;
        for (const auto& filter : filters) {
          if (filter.is_string()) out << std::string(filter.as_string());
        }
        out << YAML::EndSeq;
      } else {
        writer_.remark("SessionPinningFilters mean nothing for PostgreSQL, there as here.");
      }
    }
    if (const auto query = text(from, "InitQuery"); !query.empty()) writer_.field("initQuery", query);
    out << YAML::EndMap;
  }

  const json::object& from_;
  const Options& options_;
  Result& result_;
  std::string name_;
  Writer writer_;
};

std::vector<json::object> of_proxy(const std::vector<json::object>& all, const std::string& name, bool alone) {
  std::vector<json::object> out;
  for (const auto& each : all) {
    const auto told = text(each, "DBProxyName");
    // The answer of describe-db-proxy-targets does not name its proxy: with one proxy there is no doubt.
    if (told == name || (told.empty() && alone)) out.push_back(each);
  }
  return out;
}

std::string endpoint_manifest(const json::object& from, const std::string& proxy, int port, const Options& options) {
  Writer writer;
  writer.remark("From the endpoint " + text(from, "DBProxyEndpointName") +
                ". RDS Proxy gives each a host name; here each has a port of its own.");
  writer.begin("DBProxyEndpoint", object_name(text(from, "DBProxyEndpointName")), options.name_space);
  writer.key("spec");
  writer.out() << YAML::BeginMap;
  writer.field("dbProxyName", proxy);
  writer.field("port", port);
  writer.field("targetRole", text(from, "TargetRole") == "READ_ONLY" ? "READ_ONLY" : "READ_WRITE");
  writer.out() << YAML::EndMap;
  return writer.finish();
}

}  // namespace

Result from_rds_proxy(const std::vector<Document>& documents, const Options& options) {
  Result result;
  Told told;
  for (const auto& document : documents) {
    boost::system::error_code failed;
    json::value value;
    if (document.text.size() <= kMostBytes) value = json::parse(document.text, failed);
    if (document.text.size() > kMostBytes || failed) {
      result.error = document.name + " is no JSON" + (failed ? ": " + failed.message() : " of at most 16 MiB");
      return result;
    }
    if (!take(value, told)) {
      result.error = document.name +
                     " has none of DBProxies, TargetGroups, Targets and DBProxyEndpoints, and is no list as "
                     "create-db-proxy --auth takes; give what aws rds describe-db-proxies and its like print";
      return result;
    }
  }
  if (told.proxies.empty() && told.auth_only) {
    told.proxies.push_back({{"DBProxyName", "imported"}, {"EngineFamily", "POSTGRESQL"}});
    result.to_do.emplace_back("imported: the list of --auth tells neither the name nor the engine: see to both");
  }
  if (told.proxies.empty()) {
    result.error = "there is no proxy in it: give the JSON of aws rds describe-db-proxies, too";
    return result;
  }
  std::set<int> ports;  // one pod may use them all
  const auto free_port = [&](int from) {
    while (!ports.insert(from).second) ++from;
    return from;
  };
  for (auto& from : told.proxies) {
    if (told.auth_only && list(from, "Auth").empty()) from["Auth"] = told.auth;
    const auto their_name = text(from, "DBProxyName");
    if (const auto family = text(from, "EngineFamily"); family != "POSTGRESQL" && family != "MYSQL") {
      result.error = "the RDS Proxy " + their_name + " is of the engine family " + (family.empty() ? "?" : family) +
                     "; only POSTGRESQL and MYSQL are known here";
      return result;
    }
    const bool alone = told.proxies.size() == 1;
    const auto groups = of_proxy(told.groups, their_name, alone);
    Proxy proxy(from, options, result);
    const auto targets = of_proxy(told.targets, their_name, alone);
    if (!alone && targets.empty() && !told.targets.empty()) {
      result.to_do.push_back(proxy.name() + ": targets do not tell their proxy: give the files of one proxy at a time");
    }
    result.manifests +=
        proxy.write(groups.empty() ? json::object() : groups.front(), targets, free_port(proxy.default_port()));
    for (const auto& endpoint : of_proxy(told.endpoints, their_name, alone)) {
      if (!flag(endpoint, "IsDefault")) {
        result.manifests += endpoint_manifest(endpoint, proxy.name(), free_port(proxy.default_port() + 1), options);
      }
    }
  }
  return result;
}

}  // namespace dbproxy::migrate
