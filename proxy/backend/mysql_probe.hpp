// probe: logs in to one MySQL or MariaDB server as a client would, asks who it is, and leaves.
//
// On Aurora it asks information_schema.replica_host_status too, so that every member tells of all. A `topology_query`
// is asked instead where it is given, on any server; its columns are those of probe.hpp's, the writer's being 1 or 0.
//
// Blocks for at most `timeout`, apart from looking up the name; any thread, several at once. The process must ignore
// SIGPIPE.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "proxy/backend/probe.hpp"
#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/wire/mysql/handshake.hpp"

namespace dbproxy::backend::mysql {

struct Outcome {
  // strangers: only where all of these users are the one that asks, since it need not see those of others. found: of
  // the one that asks; those that are found, and came from that port, are ended with KILL. others: of those known some
  // may have ended, and what was opened lately is not known yet.
  // in_recovery: read_only or innodb_read_only is on, so that writes are refused. reserved is 0: the place that MySQL
  // keeps for administrators is beyond max_connections. lag_seconds: 0 where this user may not ask.
  ProbeOutcome base;
  // What a client should be greeted with; known when base.ok.
  wire::mysql::Greeting greeting;
};

// `token`: the password is one of AWS, and may be sent as it is over TLS.
Outcome probe(const std::string& host, std::uint16_t port, const config::ServerTls& tls, const std::string& user,
              const Secret& password, std::chrono::milliseconds timeout = std::chrono::milliseconds(2000),
              const config::EndpointPolicy& policy = {}, bool token = false, const SessionQuestion& sessions = {},
              const std::string& topology_query = {});

// What a server says of read_only and its like: 0 and 1, and where it has more than two values OFF and others.
bool is_on(const std::optional<std::string>& value);

}  // namespace dbproxy::backend::mysql
