#include "proxy/config/snapshot.hpp"

#include <algorithm>
#include <array>

namespace dbproxy::config {
namespace {

constexpr std::array<std::string_view, 2> kEngines = {"POSTGRESQL", "MYSQL"};
constexpr std::array<std::string_view, 2> kRoles = {"READ_WRITE", "READ_ONLY"};
constexpr std::array<std::string_view, 3> kHealths = {"AVAILABLE", "REGISTERING", "UNAVAILABLE"};
constexpr std::array<std::string_view, 7> kReasons = {"",
                                                      "UNREACHABLE",
                                                      "CONNECTION_FAILED",
                                                      "AUTH_FAILURE",
                                                      "PENDING_PROXY_CAPACITY",
                                                      "INVALID_REPLICATION_STATE",
                                                      "ENDPOINT_REFUSED"};
constexpr std::array<std::string_view, 4> kTlsModes = {"disable", "require", "verify-ca", "verify-full"};
constexpr std::array<std::string_view, 4> kAuthTypes = {"POSTGRES_SCRAM_SHA_256", "POSTGRES_MD5",
                                                        "MYSQL_NATIVE_PASSWORD", "MYSQL_CACHING_SHA2_PASSWORD"};
constexpr std::array<std::string_view, 3> kClientCertModes = {"", "verify-ca", "verify-full"};
constexpr std::array<std::string_view, 3> kIamAuths = {"DISABLED", "ENABLED", "REQUIRED"};

template <class Enum, std::size_t N>
std::optional<Enum> find(const std::array<std::string_view, N>& names, std::string_view text) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

template <class Enum, std::size_t N>
std::string_view name(const std::array<std::string_view, N>& names, Enum value) {
  return names.at(static_cast<std::size_t>(value));
}

}  // namespace

const User* Snapshot::find_user(std::string_view user) const {
  for (const auto& candidate : users) {
    if (candidate.name == user) return &candidate;
  }
  for (const auto& candidate : users) {
    if (!candidate.previous_name.empty() && candidate.previous_name == user) return &candidate;
  }
  return nullptr;
}

void keep_previous_passwords(Snapshot& next, const Snapshot& before, WallTime now) {
  if (next.credential_grace.count() == 0) return;
  for (User& user : next.users) {
    const User* const old = before.find_user(user.name);
    if (old == nullptr || old->name != user.name || !user.previous_password.empty()) continue;
    if (user.auth_scheme != AuthScheme::kSecrets || old->auth_scheme != AuthScheme::kSecrets) continue;
    if (!(old->password == user.password)) {
      user.previous_password = old->password;
      user.previous_until = now + next.credential_grace;
    } else if (old->previous_until != WallTime{}) {
      const WallTime until = old->previous_until - before.credential_grace + next.credential_grace;
      if (until <= now) continue;
      user.previous_name = old->previous_name;
      user.previous_password = old->previous_password;
      user.previous_until = until;
    }
  }
}

bool Snapshot::same_content(const Snapshot& o) const {
  return name_space == o.name_space && name == o.name && engine == o.engine && require_tls == o.require_tls &&
         debug_logging == o.debug_logging && idle_client_timeout == o.idle_client_timeout &&
         max_client_age == o.max_client_age && max_clients == o.max_clients && limits == o.limits &&
         sequence_pinning == o.sequence_pinning && deferred_begin == o.deferred_begin && endpoints == o.endpoints &&
         users == o.users && credential_grace == o.credential_grace && targets == o.targets &&
         discovery == o.discovery && server_tls == o.server_tls && client_cert == o.client_cert &&
         endpoint_policy == o.endpoint_policy && pod_identity == o.pod_identity && aws == o.aws && pool == o.pool &&
         tags == o.tags && maintenance == o.maintenance;
}

std::string_view clear_text_refusal(TlsMode mode, CaOwner owner, ClearText what) {
  if (mode != TlsMode::kVerifyFull) return "over tls.mode: verify-full only; set tls.mode";
  if (owner == CaOwner::kNamespace) {
    return "to a database only that the installation's CA vouches for, and not the namespace's; have the CA added to "
           "rdsCA of the installation, and remove tls.caRef";
  }
  if (owner == CaOwner::kUnsaid && what == ClearText::kPassword) {
    return "to a database only that the installation's CA vouches for, and this operator does not say whose CA it is; "
           "upgrade the operator";
  }
  return {};
}

std::uint32_t connection_limit(const Target& target, const ConnectionPool& pool) {
  if (target.max_connections == 0) return 0;
  std::uint64_t by_percent = std::uint64_t{target.max_connections} * pool.max_connections_percent / 100;
  std::uint64_t kept = std::uint64_t{target.reserved_connections} + 1;
  std::uint64_t usable = target.max_connections > kept ? target.max_connections - kept : 1;
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, std::min(by_percent, usable)));
}

std::string_view to_string(EngineFamily v) {
  return name(kEngines, v);
}
std::string_view to_string(TargetRole v) {
  return name(kRoles, v);
}
std::string_view to_string(TargetHealth v) {
  return name(kHealths, v);
}
std::string_view to_string(HealthReason v) {
  return name(kReasons, v);
}
std::string_view to_string(TlsMode v) {
  return name(kTlsModes, v);
}
std::string_view to_string(PasswordAuthType v) {
  return name(kAuthTypes, v);
}
std::string_view to_string(IamAuth v) {
  return name(kIamAuths, v);
}
std::string_view to_string(ClientCertMode v) {
  return name(kClientCertModes, v);
}
std::optional<EngineFamily> parse_engine_family(std::string_view t) {
  return find<EngineFamily>(kEngines, t);
}
std::optional<TargetRole> parse_target_role(std::string_view t) {
  return find<TargetRole>(kRoles, t);
}
std::optional<TlsMode> parse_tls_mode(std::string_view t) {
  return find<TlsMode>(kTlsModes, t);
}
std::optional<PasswordAuthType> parse_password_auth_type(std::string_view t) {
  return find<PasswordAuthType>(kAuthTypes, t);
}
std::optional<IamAuth> parse_iam_auth(std::string_view t) {
  return find<IamAuth>(kIamAuths, t);
}
std::optional<ClientCertMode> parse_client_cert_mode(std::string_view t) {
  return t.empty() ? std::nullopt : find<ClientCertMode>(kClientCertModes, t);
}

}  // namespace dbproxy::config
