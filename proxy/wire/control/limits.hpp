// What a snapshot may hold at most: far above what manifests allow, far below what would hurt a sidecar.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dbproxy::wire_control {

inline constexpr std::size_t kMaxName = 63;  // a DNS label
inline constexpr int kMaxEndpoints = 21;     // the default one and 20 more
inline constexpr int kMaxUsers = 1000;
inline constexpr int kMaxTargets = 256;
inline constexpr int kMaxTags = 64;
inline constexpr std::size_t kMaxUserName = 256;
inline constexpr std::int64_t kMaxUntil =
    6'000'000'000;  // seconds since 1970: the year 2160. A time-out more still fits
inline constexpr std::size_t kMaxPassword = 4096;
inline constexpr std::size_t kMaxArn = 2048;
inline constexpr int kMaxPrincipals = 50;
inline constexpr int kMaxUids = 64;
inline constexpr std::size_t kMaxDescription = 1024;
inline constexpr std::size_t kMaxTargetId = 255;
inline constexpr std::size_t kMaxHost = 253;
inline constexpr std::size_t kMaxServerVersion = 250;
inline constexpr std::size_t kMaxPem = 1024 * 1024;
inline constexpr std::size_t kMaxInitQuery = 16 * 1024;
inline constexpr std::size_t kMaxTag = 256;
inline constexpr int kMaxPolicyEntries = 256;
inline constexpr std::size_t kMaxTopologyQuery = 4096;
inline constexpr std::uint32_t kMaxSeconds = 366 * 86400;
inline constexpr std::uint32_t kMaxBorrowSeconds = 300;
inline constexpr std::uint32_t kMaxGiveBackSeconds = 3600;
inline constexpr std::uint32_t kMaxClients = 1000000;
inline constexpr std::uint32_t kMaxConnections = 1000000;
inline constexpr std::uint32_t kMaxTimeoutMs = 2147483647;  // PostgreSQL's

// Messages as gRPC takes them. A sidecar sends little; a snapshot carries CA bundles.
inline constexpr int kMaxMessageToOperator = 4 * 1024 * 1024;
inline constexpr int kMaxMessageToSidecar = 8 * 1024 * 1024;

}  // namespace dbproxy::wire_control
