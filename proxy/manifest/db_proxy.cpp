// DBProxy: what stands directly under spec.
#include "proxy/manifest/parsers.hpp"

namespace dbproxy::manifest {
namespace {

using config::EngineFamily;

constexpr std::int64_t kDay = 86400;

template <class T>
void set(T& target, const std::optional<std::int64_t>& value) {
  if (value) target = T(*value);
}

std::optional<EngineFamily> parse_engine(Fields& spec) {
  constexpr std::string_view kRemedy = "write POSTGRESQL or MYSQL";
  if (!spec.require("engineFamily", std::string(kRemedy))) {
    spec.ignore("engineFamily");
    return std::nullopt;
  }
  auto text = spec.text("engineFamily", {32, nullptr, "", false, true});
  if (!text) return std::nullopt;
  if (auto engine = config::parse_engine_family(*text)) return engine;
  if (nearest(*text, {"SQLSERVER"}) == "SQLSERVER") {
    spec.error("engineFamily", in_quotes(*text), "is not supported: Aurora has no SQL Server engine",
               std::string(kRemedy));
    return std::nullopt;
  }
  std::string_view near = nearest(*text, {"POSTGRESQL", "MYSQL"});
  if (near.empty() && nearest(*text, {"postgres"}) == "postgres") near = "POSTGRESQL";
  spec.error("engineFamily", in_quotes(*text), "is not POSTGRESQL or MYSQL",
             near.empty() ? "" : "did you mean " + std::string(near) + "?");
  return std::nullopt;
}

void parse_pod_selector(Fields& spec, PodSelector& out) {
  auto selector = spec.map("podSelector");
  if (!selector) return;
  TextRule key{317, check_printable};
  TextRule value{63, check_printable, "", false, true};
  out.match_labels = selector->text_map("matchLabels", 32, key, value);
  for (auto& item : selector->maps("matchExpressions", 32)) {
    LabelRequirement requirement;
    item.require("key", "write the label's name");
    requirement.key = item.text("key", key).value_or("");
    bool has_operator = item.require("operator", "write In, NotIn, Exists or DoesNotExist");
    requirement.op = item.choice("operator", {"In", "NotIn", "Exists", "DoesNotExist"}).value_or("");
    requirement.values = item.texts("values", 64, value);
    bool wants_values = requirement.op == "In" || requirement.op == "NotIn";
    if (has_operator && wants_values && !item.has("values")) {
      item.error("values", "", "is missing: " + requirement.op + " compares with a list");
    }
    if (!requirement.op.empty() && !wants_values && !requirement.values.empty()) {
      item.error("values", "", "is not empty, and " + requirement.op + " takes no values", "remove it");
    }
    item.finish();
    out.match_expressions.push_back(std::move(requirement));
  }
  selector->finish();
}

void parse_limits(Fields& spec, Limits& out) {
  auto limits = spec.map("limits");
  if (!limits) return;
  set(out.max_clients, limits->integer("maxClients", 1, 1'000'000));
  auto& each = out.of_clients;
  set(each.max_connections_per_user, limits->integer("maxConnectionsPerUser", 0, 262'143));
  set(each.max_connections_per_database, limits->integer("maxConnectionsPerDatabase", 0, 262'143));
  each.statement_timeout = limits->duration("statementTimeout").value_or(each.statement_timeout);
  each.transaction_timeout = limits->duration("transactionTimeout").value_or(each.transaction_timeout);
  each.idle_in_transaction_session_timeout =
      limits->duration("idleInTransactionSessionTimeout").value_or(each.idle_in_transaction_session_timeout);
  limits->finish();
}

void parse_aws(Fields& spec, AwsSpec& out) {
  auto aws = spec.map("aws");
  if (!aws) return;
  out.region = aws->text("region", {32, check_dns_label, "write it as in us-east-2"}).value_or("");
  auto is_role = [](std::string_view text) -> std::string {
    bool good = text.substr(0, 4) == "arn:" && text.find(":iam::") != std::string_view::npos &&
                text.find(":role/") != std::string_view::npos;
    return good ? "" : "is not the ARN of a role";
  };
  out.role_arn = aws->text("roleArn", {2048, is_role, "write it as arn:aws:iam::ACCOUNT:role/NAME"}).value_or("");
  out.service_account_name = aws->text("serviceAccountName", {253, check_dns_subdomain}).value_or("");
  auto is_url = [](std::string_view text) -> std::string {
    return text.substr(0, 8) == "https://" || text.substr(0, 7) == "http://" ? "" : "is not a URL";
  };
  out.endpoint_overrides = aws->text_map("endpointOverrides", 16, {63, check_dns_label}, {2048, is_url});
  if (!out.role_arn.empty() && !out.service_account_name.empty()) {
    aws->error("serviceAccountName", in_quotes(out.service_account_name), "is set beside roleArn",
               "keep one of the two: the service account brings its own role");
  }
  aws->finish();
}

// Who a process is can be asked on the Unix socket only.
void parse_uids(Fields& spec, bool pod_identity, DBProxyResource& out) {
  constexpr std::int64_t kLast = 4'294'967'294;  // the next one is nobody
  for (const std::int64_t uid : spec.integers("podIdentityUids", 64, 0, kLast))
    out.pod_identity_uids.push_back(static_cast<std::uint32_t>(uid));
  if (!spec.has("podIdentityUids")) return;
  if (!pod_identity) {
    spec.error("podIdentityUids", "", "has a meaning only with clientAuth: PodIdentity", "remove it");
  } else if (out.allow_loopback_tcp) {
    spec.error("podIdentityUids", "", "cannot be told over TCP, which allowLoopbackTCP lets in", "keep one of the two");
  }
}

}  // namespace

void parse_db_proxy(Fields& object, DBProxyResource& out) {
  object.ignore("status");
  if (!object.require("spec", "a DBProxy is described under spec")) {
    object.ignore("spec");
    return;
  }
  auto fields = object.map("spec");
  if (!fields) return;
  Fields& spec = *fields;
  auto engine = parse_engine(spec);
  out.engine_family = engine.value_or(EngineFamily::kPostgresql);
  out.port = out.engine_family == EngineFamily::kMysql ? 3306 : 5432;
  if (spec.has("port")) out.port = 0;  // what is wrong is no port at all: no conflict is made out of it
  set(out.port, spec.integer("port", 1, 65535));
  out.require_tls = spec.boolean("requireTLS").value_or(false);
  set(out.idle_client_timeout, spec.integer("idleClientTimeoutSeconds", 1, 28800));
  set(out.max_client_age, spec.integer("maxClientAgeSeconds", 0, 30 * kDay, "0 means no maximum"));
  out.debug_logging = spec.boolean("debugLogging").value_or(false);
  // Quotes are needed: YAML 1.1, which kubectl speaks, takes a plain On for a boolean.
  out.sequence_pinning = spec.choice("sequencePinning", {"Off", "On"}).value_or("Off") == "On";
  out.deferred_begin = spec.choice("deferredBegin", {"Off", "On"}).value_or("On") == "On";
  parse_client_cert(spec, out.engine_family, out);
  bool pod_identity = spec.choice("clientAuth", {"Password", "PodIdentity"}).value_or("Password") == "PodIdentity";
  out.client_auth = pod_identity ? ClientAuth::kPodIdentity : ClientAuth::kPassword;
  out.allow_loopback_tcp = spec.boolean("allowLoopbackTCP").value_or(false);
  if (out.allow_loopback_tcp && !pod_identity) {
    spec.error("allowLoopbackTCP", "true", "has a meaning only with clientAuth: PodIdentity", "remove it");
  }
  parse_uids(spec, pod_identity, out);
  set(out.credential_grace, spec.integer("credentialGraceSeconds", 0, 7 * kDay));
  parse_pod_selector(spec, out.pod_selector);
  parse_auth(spec, engine, out);
  if (pod_identity && out.auth.size() > 1) {
    spec.error("clientAuth", "\"PodIdentity\"",
               "lets clients in as one user, and spec.auth has " + std::to_string(out.auth.size()),
               "keep one entry, or make a DBProxy for each");
  }
  parse_target_groups(spec, out.engine_family, out);
  const bool iam = std::any_of(out.auth.begin(), out.auth.end(),
                               [](const AuthEntry& auth) { return auth.auth_scheme == AuthScheme::kIam; });
  if (iam && out.cluster.tls.mode != config::TlsMode::kVerifyFull) {
    spec.error("auth", "", "has an entry with authScheme: IAM, whose tokens go to the database over verify-full only",
               "set targetGroups[0].dbCluster.tls.mode: verify-full");
  }
  parse_limits(spec, out.limits);
  parse_aws(spec, out.aws);
  out.tags = spec.text_map("tags", 50, {128, check_printable}, {256, check_printable, "", false, true});
  spec.finish();
  if (out.require_tls && out.cluster.tls.mode == config::TlsMode::kDisable) {
    spec.report().error(spec.report().line_of_field("spec.targetGroups[0].dbCluster.tls.mode"),
                        "spec.targetGroups[0].dbCluster.tls.mode", "\"disable\"", "contradicts requireTLS: true",
                        "use verify-full, or set spec.requireTLS to false");
  }
  if (out.client_cert && out.cluster.tls.mode == config::TlsMode::kDisable) {
    spec.report().error(spec.report().line_of_field("spec.targetGroups[0].dbCluster.tls.mode"),
                        "spec.targetGroups[0].dbCluster.tls.mode", "\"disable\"",
                        "contradicts clientCert: clients are offered no TLS then",
                        "use verify-full, or remove spec.clientCert");
  }
}

void parse_db_proxy_endpoint(Fields& object, DBProxyEndpointResource& out) {
  object.ignore("status");
  if (out.metadata.name == "default") {
    object.report().error(object.report().line_of_field("metadata.name"), "metadata.name", "\"default\"",
                          "is the name of the endpoint that every DBProxy has", "choose another name");
  }
  if (!object.require("spec", "a DBProxyEndpoint is described under spec")) {
    object.ignore("spec");
    return;
  }
  auto spec = object.map("spec");
  if (!spec) return;
  spec->require("dbProxyName", "write the name of a DBProxy in the same namespace");
  out.db_proxy_name = spec->text("dbProxyName", {63, check_dns_label}).value_or("");
  spec->require("port", "each endpoint listens on a port of its own");
  set(out.port, spec->integer("port", 1, 65535));
  auto role = spec->choice("targetRole", {"READ_WRITE", "READ_ONLY"});
  if (role) out.target_role = *config::parse_target_role(*role);
  out.fallback_to_writer = spec->boolean("fallbackToWriter").value_or(false);
  if (out.fallback_to_writer && out.target_role == config::TargetRole::kReadWrite) {
    spec->error("fallbackToWriter", "true", "has a meaning only with targetRole: READ_ONLY",
                "remove it, or set targetRole to READ_ONLY");
  }
  spec->finish();
}

}  // namespace dbproxy::manifest
