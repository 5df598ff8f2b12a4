// Whether a database lets a user in: a connection that logs in and leaves again. Blocks for at most the time-out, apart
// from looking up the name; any thread. The process must ignore SIGPIPE.
#pragma once

#include <chrono>

#include "proxy/backend/probe.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::backend {

// `database` of the address may be empty for MySQL. Of the outcome ok, reason, detail and sqlstate are set.
ProbeOutcome check_login(config::EngineFamily engine, const ProbeAddress& address, std::chrono::milliseconds timeout);

}  // namespace dbproxy::backend
