#include "proxy/source/database_prober.hpp"

#include "proxy/backend/probe.hpp"

namespace dbproxy::source {

namespace {

topology::ProbeResult ask(const topology::ProbeRequest& request, backend::ScramKeyCache& keys) {
  backend::ProbeOutcome outcome = backend::probe(request.host, request.port, request.tls, request.user,
                                                 request.password, keys, "postgres", request.timeout);
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

}  // namespace

topology::Prober database_prober() {
  auto keys = std::make_shared<backend::ScramKeyCache>();
  return [keys](const topology::ProbeRequest& request) { return ask(request, *keys); };
}

}  // namespace dbproxy::source
