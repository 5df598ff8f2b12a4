#include "proxy/source/database_prober.hpp"

#include "proxy/backend/probe.hpp"

namespace dbproxy::source {

topology::ProbeResult probe_database(const topology::ProbeRequest& request) {
  backend::ProbeOutcome outcome = backend::probe(request.host, request.port, request.tls, request.user,
                                                 request.password, "postgres", request.timeout);
  topology::ProbeResult result;
  result.ok = outcome.ok;
  result.reason = outcome.reason;
  result.detail = std::move(outcome.detail);
  result.in_recovery = outcome.in_recovery;
  result.max_connections = outcome.max_connections;
  result.reserved = outcome.reserved;
  result.lag_seconds = outcome.lag_seconds;
  result.system_identifier = std::move(outcome.system_identifier);
  return result;
}

}  // namespace dbproxy::source
