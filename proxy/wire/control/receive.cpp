// From the wire to a snapshot, with every bound checked. The first defect ends it, in a sentence.
#include <cmath>
#include <set>

#include "proxy/wire/control/convert.hpp"
#include "proxy/wire/control/enums.hpp"
#include "proxy/wire/control/limits.hpp"

namespace dbproxy::wire_control {
namespace {

// Collects the first error; later checks cost nothing and change nothing.
class Checker {
 public:
  bool ok() const { return error_.empty(); }
  std::string take() { return std::move(error_); }

  void fail(const std::string& field, const std::string& what) {
    if (error_.empty()) error_ = field + " " + what;
  }
  void length(const std::string& field, const std::string& text, std::size_t least, std::size_t most) {
    if (text.size() < least) fail(field, "is empty");
    if (text.size() > most) {
      fail(field, "has " + std::to_string(text.size()) + " bytes; at most " + std::to_string(most) + " are taken");
    }
    if (text.find('\0') != std::string::npos) fail(field, "holds a zero byte");
  }
  void range(const std::string& field, std::uint32_t value, std::uint32_t least, std::uint32_t most) {
    if (value >= least && value <= most) return;
    fail(field,
         "is " + std::to_string(value) + "; it must be " + std::to_string(least) + " to " + std::to_string(most));
  }
  void count(const std::string& field, int value, int least, int most) {
    if (value >= least && value <= most) return;
    fail(field, "has " + std::to_string(value) + " entries; it must have " + std::to_string(least) + " to " +
                    std::to_string(most));
  }
  template <class Table, class Own, class Wire>
  void enumeration(const std::string& field, const Table& table, Wire in, Own& out) {
    if (!from_wire(table, in, out)) {
      fail(field, "has the value " + std::to_string(static_cast<int>(in)) + ", which this version does not know");
    }
  }

 private:
  std::string error_;
};

std::string at(const char* list, int index, const char* field) {
  return std::string(list) + "[" + std::to_string(index) + "]." + field;
}

void read_endpoints(const v1::Snapshot& in, config::Snapshot& out, Checker& check) {
  check.count("endpoints", in.endpoints_size(), 1, kMaxEndpoints);
  if (!check.ok()) return;
  std::set<std::uint32_t> ports;
  std::set<std::string> names;
  for (int i = 0; i < in.endpoints_size(); ++i) {
    const v1::Endpoint& from = in.endpoints(i);
    config::Endpoint to{from.name(), static_cast<std::uint16_t>(from.port()), {}, from.fallback_to_writer()};
    check.length(at("endpoints", i, "name"), from.name(), 1, kMaxName);
    check.range(at("endpoints", i, "port"), from.port(), 1, 65535);
    check.enumeration(at("endpoints", i, "role"), kRoles, from.role(), to.role);
    if (!ports.insert(from.port()).second) {
      check.fail(at("endpoints", i, "port"), "is " + std::to_string(from.port()) + " for a second time");
    }
    if (!names.insert(from.name()).second) check.fail(at("endpoints", i, "name"), "is there for a second time");
    out.endpoints.push_back(std::move(to));
  }
}

void read_users(const v1::Snapshot& in, config::Snapshot& out, Checker& check) {
  check.count("users", in.users_size(), 0, kMaxUsers);
  if (!check.ok()) return;
  std::set<std::string> names;
  for (int i = 0; i < in.users_size(); ++i) {
    const v1::User& from = in.users(i);
    config::User to{from.name(), Secret(from.password()), {}, {}, from.description()};
    check.length(at("users", i, "name"), from.name(), 1, kMaxUserName);
    check.length(at("users", i, "password"), from.password(), 0, kMaxPassword);
    check.length(at("users", i, "description"), from.description(), 0, kMaxDescription);
    check.enumeration(at("users", i, "client_password_auth_type"), kPasswordAuthTypes, from.client_password_auth_type(),
                      to.client_password_auth_type);
    to.auth_type_chosen = !from.auth_type_defaulted();
    check.enumeration(at("users", i, "iam_auth"), kIamAuths, from.iam_auth(), to.iam_auth);
    check.length(at("users", i, "previous_password"), from.previous_password(), 0, kMaxPassword);
    check.count(at("users", i, "iam_principals"), from.iam_principals_size(), 0, kMaxPrincipals);
    for (const std::string& each : from.iam_principals()) {
      check.length(at("users", i, "iam_principals"), each, 1, kMaxArn);
      if (check.ok()) to.iam_principals.push_back(each);
    }
    if (from.auth_scheme() != v1::AUTH_SCHEME_SECRETS && from.auth_scheme() != v1::AUTH_SCHEME_IAM)
      check.fail(at("users", i, "auth_scheme"), "is one that this version does not know");
    to.auth_scheme =
        from.auth_scheme() == v1::AUTH_SCHEME_IAM ? config::AuthScheme::kIam : config::AuthScheme::kSecrets;
    to.previous_password = Secret(from.previous_password());
    check.length(at("users", i, "previous_name"), from.previous_name(), 0, kMaxUserName);
    to.previous_name = from.previous_name();
    if (from.previous_until_seconds() < 0 || from.previous_until_seconds() > kMaxUntil)
      check.fail(at("users", i, "previous_until_seconds"), "is no time of these centuries");
    else
      to.previous_until = WallTime(std::chrono::seconds(from.previous_until_seconds()));
    if (!names.insert(from.name()).second) check.fail(at("users", i, "name"), "is there for a second time");
    out.users.push_back(std::move(to));
  }
}

void read_targets(const v1::Snapshot& in, config::Snapshot& out, Checker& check) {
  check.count("targets", in.targets_size(), 0, kMaxTargets);
  if (!check.ok()) return;
  std::set<std::string> ids;
  for (int i = 0; i < in.targets_size(); ++i) {
    const v1::Target& from = in.targets(i);
    config::Target to;
    to.id = from.id();
    to.host = from.host();
    to.port = static_cast<std::uint16_t>(from.port());
    to.max_connections = from.max_connections();
    to.reserved_connections = from.reserved_connections();
    to.lag_seconds = from.lag_seconds();
    to.server_version = from.server_version();
    to.server_capabilities = from.server_capabilities();
    check.length(at("targets", i, "id"), from.id(), 1, kMaxTargetId);
    check.length(at("targets", i, "host"), from.host(), 1, kMaxHost);
    check.length(at("targets", i, "server_version"), from.server_version(), 0, kMaxServerVersion);
    check.range(at("targets", i, "port"), from.port(), 1, 65535);
    check.enumeration(at("targets", i, "role"), kRoles, from.role(), to.role);
    check.enumeration(at("targets", i, "health"), kHealths, from.health(), to.health);
    check.enumeration(at("targets", i, "reason"), kReasons, from.reason(), to.reason);
    check.range(at("targets", i, "max_connections"), from.max_connections(), 0, kMaxConnections);
    check.range(at("targets", i, "reserved_connections"), from.reserved_connections(), 0, kMaxConnections);
    if (!std::isfinite(from.lag_seconds()) || from.lag_seconds() < 0) {
      check.fail(at("targets", i, "lag_seconds"), "is not a duration");
    }
    if (!ids.insert(from.id()).second) check.fail(at("targets", i, "id"), "is there for a second time");
    out.targets.push_back(std::move(to));
  }
}

void read_pool(const v1::ConnectionPool& in, config::ConnectionPool& out, Checker& check) {
  check.range("pool.max_connections_percent", in.max_connections_percent(), 1, 100);
  check.range("pool.max_idle_connections_percent", in.max_idle_connections_percent(), 0, 100);
  check.range("pool.borrow_timeout_seconds", in.borrow_timeout_seconds(), 0, kMaxBorrowSeconds);
  check.length("pool.init_query", in.init_query(), 0, kMaxInitQuery);
  out.max_connections_percent = in.max_connections_percent();
  out.max_idle_connections_percent = in.max_idle_connections_percent();
  out.borrow_timeout = std::chrono::seconds(in.borrow_timeout_seconds());
  out.exclude_variable_sets = in.exclude_variable_sets();
  out.init_query = in.init_query();
  check.range("pool.max_per_pod", in.max_per_pod(), 0, kMaxConnections);
  check.range("pool.floor", in.floor(), 0, kMaxConnections);
  check.range("pool.give_back_timeout_seconds", in.give_back_timeout_seconds(), 0, kMaxGiveBackSeconds);
  out.max_per_pod = in.max_per_pod();
  if (in.has_floor()) out.floor = in.floor();
  if (in.give_back_timeout_seconds() > 0) out.give_back_timeout = std::chrono::seconds(in.give_back_timeout_seconds());
}

void read_limits(const v1::ClientLimits& in, config::ClientLimits& out, Checker& check) {
  check.range("limits.max_connections_per_user", in.max_connections_per_user(), 0, kMaxConnections);
  check.range("limits.max_connections_per_database", in.max_connections_per_database(), 0, kMaxConnections);
  check.range("limits.statement_timeout_ms", in.statement_timeout_ms(), 0, kMaxTimeoutMs);
  check.range("limits.transaction_timeout_ms", in.transaction_timeout_ms(), 0, kMaxTimeoutMs);
  check.range("limits.idle_in_transaction_session_timeout_ms", in.idle_in_transaction_session_timeout_ms(), 0,
              kMaxTimeoutMs);
  out.max_connections_per_user = in.max_connections_per_user();
  out.max_connections_per_database = in.max_connections_per_database();
  out.statement_timeout = std::chrono::milliseconds(in.statement_timeout_ms());
  out.transaction_timeout = std::chrono::milliseconds(in.transaction_timeout_ms());
  out.idle_in_transaction_session_timeout = std::chrono::milliseconds(in.idle_in_transaction_session_timeout_ms());
}

void read_policy(const v1::EndpointPolicy& in, config::EndpointPolicy& out, Checker& check) {
  out.restricted = true;
  check.count("endpoint_policy.refused_ranges", in.refused_ranges_size(), 0, kMaxPolicyEntries);
  check.count("endpoint_policy.allowed", in.allowed_size(), 0, kMaxPolicyEntries);
  for (const std::string& range : in.refused_ranges()) {
    check.length("endpoint_policy.refused_ranges", range, 1, kMaxHost);
    out.refused_ranges.push_back(range);
  }
  for (const std::string& each : in.allowed()) {
    check.length("endpoint_policy.allowed", each, 1, kMaxHost);
    out.allowed.push_back(each);
  }
}

void read_discovery(const v1::Discovery& in, config::Discovery& out, Checker& check) {
  check.length("discovery.pattern", in.pattern(), 0, kMaxHost);
  check.range("discovery.port", in.port(), 0, 65535);
  check.length("discovery.query", in.query(), 0, kMaxTopologyQuery);
  out.pattern = in.pattern();
  out.port = static_cast<std::uint16_t>(in.port());
  out.query = in.query();
  // Not a number is none either.
  if (in.max_lag_seconds() > 0) out.max_lag_seconds = std::min<double>(in.max_lag_seconds(), kMaxSeconds);
}

}  // namespace

std::string from_proto(const v1::Snapshot& in, config::Snapshot& out) {
  Checker check;
  out = {};
  check.length("name_space", in.name_space(), 1, kMaxName);
  check.length("name", in.name(), 1, kMaxName);
  check.enumeration("engine", kEngines, in.engine(), out.engine);
  check.range("idle_client_timeout_seconds", in.idle_client_timeout_seconds(), 0, kMaxSeconds);
  check.range("max_client_age_seconds", in.max_client_age_seconds(), 0, kMaxSeconds);
  check.range("credential_grace_seconds", in.credential_grace_seconds(), 0, kMaxSeconds);
  check.range("max_clients", in.max_clients(), 1, kMaxClients);
  check.enumeration("server_tls_mode", kTlsModes, in.server_tls_mode(), out.server_tls.mode);
  check.enumeration("server_ca_owner", kCaOwners, in.server_ca_owner(), out.server_tls.ca_owner);
  check.length("server_ca_pem", in.server_ca_pem(), 0, kMaxPem);
  check.length("server_client_certificate_pem", in.server_client_certificate_pem(), 0, kMaxPem);
  check.length("server_client_key_pem", in.server_client_key_pem(), 0, kMaxPem);
  check.enumeration("client_cert_mode", kClientCertModes, in.client_cert_mode(), out.client_cert.mode);
  check.length("client_cert_ca_pem", in.client_cert_ca_pem(), 0, kMaxPem);
  check.length("listener_certificate_pem", in.listener_certificate_pem(), 0, kMaxPem);
  check.length("listener_key_pem", in.listener_key_pem(), 0, kMaxPem);
  check.length("aws.region", in.aws().region(), 0, kMaxName);
  check.length("aws.role_arn", in.aws().role_arn(), 0, kMaxArn);
  check.length("aws.sts_url", in.aws().sts_url(), 0, kMaxArn);
  check.count("pod_identity_uids", in.pod_identity_uids_size(), 0, kMaxUids);
  check.count("tags", static_cast<int>(in.tags().size()), 0, kMaxTags);
  for (const auto& [key, value] : in.tags()) {
    check.length("tags", key, 1, kMaxTag);
    check.length("tags", value, 0, kMaxTag);
  }
  read_endpoints(in, out, check);
  read_users(in, out, check);
  read_targets(in, out, check);
  read_pool(in.pool(), out.pool, check);
  read_limits(in.limits(), out.limits, check);
  read_discovery(in.discovery(), out.discovery, check);
  if (in.has_endpoint_policy()) read_policy(in.endpoint_policy(), out.endpoint_policy, check);
  if (!check.ok()) return check.take();

  out.name_space = in.name_space();
  out.name = in.name();
  out.version = in.version();
  out.require_tls = in.require_tls();
  out.debug_logging = in.debug_logging();
  out.idle_client_timeout = std::chrono::seconds(in.idle_client_timeout_seconds());
  out.max_client_age = std::chrono::seconds(in.max_client_age_seconds());
  out.credential_grace = std::chrono::seconds(in.credential_grace_seconds());
  out.max_clients = in.max_clients();
  out.sequence_pinning = in.sequence_pinning();
  out.deferred_begin = !in.deferred_begin_off();
  out.maintenance.pause = in.maintenance().pause();
  out.maintenance.pause_for = std::chrono::seconds(in.maintenance().pause_seconds());
  out.maintenance.reconnect = in.maintenance().reconnect();
  out.server_tls.ca_pem = in.server_ca_pem();
  out.server_tls.direct = in.server_tls_direct();
  out.server_tls.client_certificate_pem = in.server_client_certificate_pem();
  out.server_tls.client_key_pem = Secret(in.server_client_key_pem());
  out.client_cert.ca_pem = in.client_cert_ca_pem();
  out.pod_identity = {in.pod_identity(),
                      in.pod_identity_loopback_tcp(),
                      {in.pod_identity_uids().begin(), in.pod_identity_uids().end()}};
  out.aws = {in.aws().region(), in.aws().role_arn(), in.aws().sts_url()};
  out.tags = {in.tags().begin(), in.tags().end()};
  return {};
}

}  // namespace dbproxy::wire_control
