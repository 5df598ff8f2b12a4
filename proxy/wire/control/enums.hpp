// Each enumeration of the snapshot and its twin on the wire, in one table per pair. Internal to wire_control.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "dbproxy/v1/control.pb.h"

#include "proxy/config/snapshot.hpp"

namespace dbproxy::wire_control {

template <class Own, class Wire, std::size_t kSize>
using EnumTable = std::array<std::pair<Own, Wire>, kSize>;

inline constexpr EnumTable<config::EngineFamily, v1::EngineFamily, 2> kEngines{
    {{config::EngineFamily::kPostgresql, v1::POSTGRESQL}, {config::EngineFamily::kMysql, v1::MYSQL}}};
inline constexpr EnumTable<config::TargetRole, v1::TargetRole, 2> kRoles{
    {{config::TargetRole::kReadWrite, v1::READ_WRITE}, {config::TargetRole::kReadOnly, v1::READ_ONLY}}};
inline constexpr EnumTable<config::TargetHealth, v1::TargetHealth, 3> kHealths{
    {{config::TargetHealth::kAvailable, v1::AVAILABLE},
     {config::TargetHealth::kRegistering, v1::REGISTERING},
     {config::TargetHealth::kUnavailable, v1::UNAVAILABLE}}};
inline constexpr EnumTable<config::HealthReason, v1::HealthReason, 6> kReasons{
    {{config::HealthReason::kNone, v1::HEALTH_REASON_NONE},
     {config::HealthReason::kUnreachable, v1::UNREACHABLE},
     {config::HealthReason::kConnectionFailed, v1::CONNECTION_FAILED},
     {config::HealthReason::kAuthFailure, v1::AUTH_FAILURE},
     {config::HealthReason::kPendingProxyCapacity, v1::PENDING_PROXY_CAPACITY},
     {config::HealthReason::kInvalidReplicationState, v1::INVALID_REPLICATION_STATE}}};
inline constexpr EnumTable<config::TlsMode, v1::TlsMode, 4> kTlsModes{
    {{config::TlsMode::kDisable, v1::DISABLE},
     {config::TlsMode::kRequire, v1::REQUIRE},
     {config::TlsMode::kVerifyCa, v1::VERIFY_CA},
     {config::TlsMode::kVerifyFull, v1::VERIFY_FULL}}};
inline constexpr EnumTable<config::PasswordAuthType, v1::PasswordAuthType, 4> kPasswordAuthTypes{
    {{config::PasswordAuthType::kPostgresScramSha256, v1::POSTGRES_SCRAM_SHA_256},
     {config::PasswordAuthType::kPostgresMd5, v1::POSTGRES_MD5},
     {config::PasswordAuthType::kMysqlNativePassword, v1::MYSQL_NATIVE_PASSWORD},
     {config::PasswordAuthType::kMysqlCachingSha2Password, v1::MYSQL_CACHING_SHA2_PASSWORD}}};
inline constexpr EnumTable<config::IamAuth, v1::IamAuth, 3> kIamAuths{{{config::IamAuth::kDisabled, v1::IAM_DISABLED},
                                                                       {config::IamAuth::kEnabled, v1::IAM_ENABLED},
                                                                       {config::IamAuth::kRequired, v1::IAM_REQUIRED}}};

inline constexpr EnumTable<config::ClientCertMode, v1::ClientCertMode, 3> kClientCertModes{
    {{config::ClientCertMode::kNone, v1::CLIENT_CERT_NONE},
     {config::ClientCertMode::kVerifyCa, v1::CLIENT_CERT_VERIFY_CA},
     {config::ClientCertMode::kVerifyFull, v1::CLIENT_CERT_VERIFY_FULL}}};

inline constexpr EnumTable<config::CaOwner, v1::ServerCaOwner, 3> kCaOwners{
    {{config::CaOwner::kUnsaid, v1::SERVER_CA_OWNER_UNSPECIFIED},
     {config::CaOwner::kInstallation, v1::SERVER_CA_INSTALLATION},
     {config::CaOwner::kNamespace, v1::SERVER_CA_NAMESPACE}}};

template <class Own, class Wire, std::size_t kSize>
constexpr Wire to_wire(const EnumTable<Own, Wire, kSize>& table, Own own) {
  for (const auto& [mine, theirs] : table) {
    if (mine == own) return theirs;
  }
  return Wire{};
}

// False for the unspecified value and for one that a newer peer knows.
template <class Own, class Wire, std::size_t kSize>
constexpr bool from_wire(const EnumTable<Own, Wire, kSize>& table, Wire wire, Own& out) {
  for (const auto& [mine, theirs] : table) {
    if (theirs == wire) {
      out = mine;
      return true;
    }
  }
  return false;
}

}  // namespace dbproxy::wire_control
