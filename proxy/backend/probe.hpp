// probe: logs in to one PostgreSQL server as a client would, asks who it is, and leaves.
//
// Blocks for at most `timeout`, apart from looking up the name; any thread, several at once. SCRAM keys (milliseconds
// of CPU) are derived when `keys` does not have them yet. Every name in its questions is qualified, so that no
// search_path of the database can answer them. The process must ignore SIGPIPE.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "proxy/backend/scram_key_cache.hpp"
#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::backend {

struct ProbeOutcome {
  bool ok = false;
  // kUnreachable: nobody answers; kAuthFailure: the user is refused; kConnectionFailed: everything else.
  config::HealthReason reason = config::HealthReason::kNone;
  std::string detail;    // for people, may hold the server's words
  std::string sqlstate;  // when the server gave an error
  // Known when ok.
  bool in_recovery = false;
  std::uint32_t max_connections = 0;
  std::uint32_t reserved = 0;     // superuser_reserved_connections and, from PostgreSQL 16, reserved_connections
  double lag_seconds = 0;         // of replay; 0 on a writer, when all is replayed, and where the server does not tell
  std::string system_identifier;  // empty where this user may not ask
  std::string server_version;
};

ProbeOutcome probe(const std::string& host, std::uint16_t port, const config::ServerTls& tls, const std::string& user,
                   const Secret& password, ScramKeyCache& keys, const std::string& database = "postgres",
                   std::chrono::milliseconds timeout = std::chrono::milliseconds(2000));

}  // namespace dbproxy::backend
