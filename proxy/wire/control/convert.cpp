#include "proxy/wire/control/convert.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "proxy/wire/control/enums.hpp"

namespace dbproxy::wire_control {
namespace {

std::uint32_t seconds(std::chrono::seconds value) {
  return static_cast<std::uint32_t>(value.count());
}

void cleanse(std::string* text) {
  OPENSSL_cleanse(text->data(), text->size());
  text->clear();
}

}  // namespace

v1::TargetRole to_proto(config::TargetRole role) {
  return to_wire(kRoles, role);
}
v1::TargetHealth to_proto(config::TargetHealth health) {
  return to_wire(kHealths, health);
}
v1::HealthReason to_proto(config::HealthReason reason) {
  // Not on the wire: older sidecars refuse a snapshot with a reason that they do not know.
  if (reason == config::HealthReason::kEndpointRefused) return v1::CONNECTION_FAILED;
  return to_wire(kReasons, reason);
}
bool from_proto(v1::TargetHealth in, config::TargetHealth& out) {
  return from_wire(kHealths, in, out);
}
bool from_proto(v1::HealthReason in, config::HealthReason& out) {
  return from_wire(kReasons, in, out);
}

namespace {

std::uint32_t milliseconds(std::chrono::milliseconds time) {
  return static_cast<std::uint32_t>(time.count());
}

// Absent where there is none, so that what is sent is as before.
void set_limits(const config::ClientLimits& in, v1::Snapshot& out) {
  if (in == config::ClientLimits{}) return;
  auto to = out.mutable_limits();
  to->set_max_connections_per_user(in.max_connections_per_user);
  to->set_max_connections_per_database(in.max_connections_per_database);
  to->set_statement_timeout_ms(milliseconds(in.statement_timeout));
  to->set_transaction_timeout_ms(milliseconds(in.transaction_timeout));
  to->set_idle_in_transaction_session_timeout_ms(milliseconds(in.idle_in_transaction_session_timeout));
}

}  // namespace

v1::Snapshot to_proto(const config::Snapshot& in) {
  v1::Snapshot out;
  out.set_name_space(in.name_space);
  out.set_name(in.name);
  out.set_version(in.version);
  out.set_engine(to_wire(kEngines, in.engine));
  out.set_require_tls(in.require_tls);
  out.set_debug_logging(in.debug_logging);
  out.set_idle_client_timeout_seconds(seconds(in.idle_client_timeout));
  out.set_max_client_age_seconds(seconds(in.max_client_age));
  out.set_max_clients(in.max_clients);
  out.set_sequence_pinning(in.sequence_pinning);
  out.set_deferred_begin_off(!in.deferred_begin);
  if (in.maintenance != config::Maintenance()) {
    v1::Maintenance* const maintenance = out.mutable_maintenance();
    maintenance->set_pause(in.maintenance.pause);
    maintenance->set_pause_seconds(seconds(in.maintenance.pause_for));
    maintenance->set_reconnect(in.maintenance.reconnect);
  }
  if (in.discovery != config::Discovery()) {
    v1::Discovery* const discovery = out.mutable_discovery();
    discovery->set_pattern(in.discovery.pattern);
    discovery->set_port(in.discovery.port);
    discovery->set_query(in.discovery.query);
    discovery->set_max_lag_seconds(in.discovery.max_lag_seconds);
  }
  set_limits(in.limits, out);
  for (const config::Endpoint& endpoint : in.endpoints) {
    v1::Endpoint* to = out.add_endpoints();
    to->set_name(endpoint.name);
    to->set_port(endpoint.port);
    to->set_role(to_wire(kRoles, endpoint.role));
    to->set_fallback_to_writer(endpoint.fallback_to_writer);
  }
  for (const config::User& user : in.users) {
    v1::User* to = out.add_users();
    to->set_name(user.name);
    to->set_password(std::string(user.password.reveal()));
    to->set_client_password_auth_type(to_wire(kPasswordAuthTypes, user.client_password_auth_type));
    to->set_auth_type_defaulted(!user.auth_type_chosen);
    to->set_iam_auth(to_wire(kIamAuths, user.iam_auth));
    to->set_description(user.description);
    const bool iam = user.auth_scheme == config::AuthScheme::kIam;
    to->set_auth_scheme(iam ? v1::AUTH_SCHEME_IAM : v1::AUTH_SCHEME_SECRETS);
    to->set_previous_password(std::string(user.previous_password.reveal()));
    to->set_previous_name(user.previous_name);
    to->set_previous_until_seconds(
        std::chrono::floor<std::chrono::seconds>(user.previous_until.time_since_epoch()).count());
    for (const std::string& principal : user.iam_principals) to->add_iam_principals(principal);
  }
  out.set_credential_grace_seconds(seconds(in.credential_grace));
  for (const config::Target& target : in.targets) {
    v1::Target* to = out.add_targets();
    to->set_id(target.id);
    to->set_host(target.host);
    to->set_port(target.port);
    to->set_role(to_wire(kRoles, target.role));
    to->set_health(to_wire(kHealths, target.health));
    to->set_reason(to_proto(target.reason));
    to->set_max_connections(target.max_connections);
    to->set_reserved_connections(target.reserved_connections);
    to->set_lag_seconds(target.lag_seconds);
    to->set_server_version(target.server_version);
    to->set_server_capabilities(target.server_capabilities);
  }
  out.set_server_tls_mode(to_wire(kTlsModes, in.server_tls.mode));
  out.set_server_ca_pem(in.server_tls.ca_pem);
  out.set_server_ca_owner(to_wire(kCaOwners, in.server_tls.ca_owner));
  out.set_server_tls_direct(in.server_tls.direct);
  out.set_server_client_certificate_pem(in.server_tls.client_certificate_pem);
  out.set_server_client_key_pem(std::string(in.server_tls.client_key_pem.reveal()));
  out.set_client_cert_mode(to_wire(kClientCertModes, in.client_cert.mode));
  out.set_client_cert_ca_pem(in.client_cert.ca_pem);
  if (in.endpoint_policy.restricted) {
    v1::EndpointPolicy* policy = out.mutable_endpoint_policy();
    for (const std::string& range : in.endpoint_policy.refused_ranges) policy->add_refused_ranges(range);
    for (const std::string& each : in.endpoint_policy.allowed) policy->add_allowed(each);
  }
  out.set_pod_identity(in.pod_identity.enabled);
  out.set_pod_identity_loopback_tcp(in.pod_identity.loopback_tcp);
  for (const std::uint32_t uid : in.pod_identity.uids) out.add_pod_identity_uids(uid);
  if (!(in.aws == config::Aws{})) {
    v1::Aws* const aws = out.mutable_aws();
    aws->set_region(in.aws.region);
    aws->set_role_arn(in.aws.role_arn);
    aws->set_sts_url(in.aws.sts_url);
  }
  v1::ConnectionPool* pool = out.mutable_pool();
  pool->set_max_connections_percent(in.pool.max_connections_percent);
  pool->set_max_idle_connections_percent(in.pool.max_idle_connections_percent);
  pool->set_borrow_timeout_seconds(seconds(in.pool.borrow_timeout));
  pool->set_exclude_variable_sets(in.pool.exclude_variable_sets);
  pool->set_init_query(in.pool.init_query);
  pool->set_max_per_pod(in.pool.max_per_pod);
  pool->set_floor(in.pool.floor);
  pool->set_give_back_timeout_seconds(seconds(in.pool.give_back_timeout));
  out.mutable_tags()->insert(in.tags.begin(), in.tags.end());
  return out;
}

std::string digest(const v1::Snapshot& message) {
  v1::Snapshot content = message;
  content.set_version(0);
  content.clear_listener_certificate_pem();
  cleanse(content.mutable_listener_key_pem());
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);  // maps have no order of their own
    content.SerializeToCodedStream(&coded);
  }
  std::string out(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), &size, EVP_sha256(), nullptr);
  out.resize(size);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  wipe(content);
  return out;
}

std::string proxy_name(const config::Snapshot& snapshot) {
  return snapshot.name_space + "/" + snapshot.name;
}

void wipe(v1::Snapshot& message) {
  for (v1::User& user : *message.mutable_users()) {
    cleanse(user.mutable_password());
    cleanse(user.mutable_previous_password());
  }
  cleanse(message.mutable_listener_key_pem());
  cleanse(message.mutable_server_client_key_pem());
}

}  // namespace dbproxy::wire_control
