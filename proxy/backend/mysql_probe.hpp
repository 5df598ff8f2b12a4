// probe: logs in to one MySQL or MariaDB server as a client would, asks who it is, and leaves.
//
// Blocks for at most `timeout`, apart from looking up the name; any thread, several at once. The process must ignore
// SIGPIPE.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "proxy/backend/probe.hpp"
#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/wire/mysql/handshake.hpp"

namespace dbproxy::backend::mysql {

struct Outcome {
  // strangers: only where all of these users are the one that asks, since it need not see those of others.
  // in_recovery: read_only or innodb_read_only is on, so that writes are refused. reserved is 0: the place that MySQL
  // keeps for administrators is beyond max_connections. lag_seconds: 0 where this user may not ask.
  ProbeOutcome base;
  // What a client should be greeted with; known when base.ok.
  wire::mysql::Greeting greeting;
};

// `token`: the password is one of AWS, and may be sent as it is over TLS.
Outcome probe(const std::string& host, std::uint16_t port, const config::ServerTls& tls, const std::string& user,
              const Secret& password, std::chrono::milliseconds timeout = std::chrono::milliseconds(2000),
              const config::EndpointPolicy& policy = {}, bool token = false, const SessionQuestion& sessions = {});

}  // namespace dbproxy::backend::mysql
