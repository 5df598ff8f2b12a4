#include "proxy/worker/stats.hpp"

namespace dbproxy::worker {

std::string_view to_string(TimeLimit limit) {
  switch (limit) {
    case TimeLimit::kStatement:
      return "statement";
    case TimeLimit::kTransaction:
      return "transaction";
    case TimeLimit::kIdleInTransaction:
      return "idle_in_transaction";
    case TimeLimit::kGiveBack:
      return "give_back";
  }
  return "";
}

Stats::Stats(metrics::Registry& registry, const std::string& proxy, std::span<const std::string_view> pin_reasons)
    : pins(pin_reasons.size()), unpins(pin_reasons.size()) {
  metrics::Labels base = {{"proxy", proxy}};
  auto with = [&](const char* key, std::string_view value) {
    auto labels = base;
    labels.emplace_back(key, value);
    return labels;
  };
  auto counter = [&](const char* name, const char* help) { return &registry.counter(name, help, base); };
  auto clients = [&](const char* state) {
    return &registry.gauge("dbproxy_client_connections", "Client connections by state.", with("state", state));
  };
  clients_idle = clients("idle");
  clients_active = clients("active");
  clients_waiting = clients("waiting");
  clients_login = clients("login");
  clients_replication = clients("replication");
  clients_pinned =
      &registry.gauge("dbproxy_client_connections_pinned", "Clients that hold on to a server connection.", base);
  clients_tls = &registry.gauge("dbproxy_client_connections_tls", "Client connections under TLS.", base);
  clients_accepted = counter("dbproxy_client_connections_accepted_total", "Client connections accepted.");
  clients_closed = counter("dbproxy_client_connections_closed_total", "Client connections that ended.");
  static constexpr const char* kResults[] = {"abandoned",    "success",      "success_previous", "wrong_password",
                                             "unknown_user", "tls_required", "too_many_clients", "protocol_error",
                                             "certificate",  "pod_identity", "iam_token",        "deleted"};
  for (std::size_t i = 0; i < logins.size(); ++i) {
    logins[i] = &registry.counter("dbproxy_logins_total", "Log-ins of clients by result.", with("result", kResults[i]));
  }
  for (std::size_t i = 0; i < pins.size(); ++i) {
    pins[i] = &registry.counter("dbproxy_pins_total", "Sessions pinned to a server connection, by reason.",
                                with("reason", pin_reasons[i]));
    unpins[i] =
        &registry.counter("dbproxy_unpins_total", "Reasons to be pinned that were over before their client was.",
                          with("reason", pin_reasons[i]));
  }
  static constexpr const char* kProbes[] = {"released", "kept", "failed"};
  for (std::size_t i = 0; i < probes.size(); ++i) {
    probes[i] = &registry.counter("dbproxy_pin_probes_total", "Times that a server was asked whether a pin is over.",
                                  with("result", kProbes[i]));
  }
  for (std::size_t i = 0; i < time_limits.size(); ++i) {
    time_limits[i] =
        &registry.counter("dbproxy_time_limits_total", "Statements cancelled and clients ended for taking too long.",
                          with("limit", to_string(static_cast<TimeLimit>(i))));
  }
  longest_wait =
      &registry.seconds_gauge("dbproxy_longest_wait_seconds", "How long the first waiting client has waited.", base);
  transactions = counter("dbproxy_transactions_total", "Transactions that ended.");
  queries = counter("dbproxy_queries_total", "Queries and extended-query sequences that were answered.");
  queries_tls = counter("dbproxy_queries_tls_total", "Those of them that came under TLS.");
  client_received = counter("dbproxy_client_received_bytes_total", "Bytes received from clients.");
  client_sent = counter("dbproxy_client_sent_bytes_total", "Bytes sent to clients.");
  server_received = counter("dbproxy_server_received_bytes_total", "Bytes received from servers.");
  server_sent = counter("dbproxy_server_sent_bytes_total", "Bytes sent to servers.");
  borrows = counter("dbproxy_borrows_total", "Server connections given to clients.");
  borrow_timeouts = counter("dbproxy_borrow_timeouts_total", "Clients that waited in vain for a server connection.");
  cancels = counter("dbproxy_cancel_requests_total", "Cancel requests passed on to a server.");
  server_opened = counter("dbproxy_server_connections_opened_total", "Server connections opened.");
  server_lost =
      counter("dbproxy_server_connections_lost_total", "Server connections that ended without being asked to.");
  suspicions = counter("dbproxy_target_suspicions_total",
                       "Times that what happened on a connection told of a server that goes, or is not the writer.");
  clients_kept =
      counter("dbproxy_clients_kept_total", "Clients that went on when the server connection was lost under them.");
  clients_moved =
      counter("dbproxy_clients_moved_total", "Clients that were brought to a reader that had less than its share.");
  server_login_failures = counter("dbproxy_server_login_failures_total", "Log-ins that a server refused.");
  endpoints_refused = counter("dbproxy_server_endpoints_refused_total",
                              "Connections not begun because the installation refuses the target's address.");
  clear_text_refused = counter(
      "dbproxy_server_clear_text_refused_total",
      "Log-ins given up because the server would have had a password or token in clear text that it may not have.");
  settings_replayed =
      counter("dbproxy_settings_replayed_total", "Times that a client's settings were restored on a server.");
  replay_failures =
      counter("dbproxy_settings_replay_failures_total", "Clients ended because a server refused their settings.");
  borrow_seconds =
      &registry.histogram("dbproxy_borrow_seconds", "Time from asking for a server connection to having it.", base);
  query_seconds =
      &registry.histogram("dbproxy_query_seconds", "Time from a query's arrival to the end of its answer.", base);
  server_query_seconds =
      &registry.histogram("dbproxy_server_query_seconds", "The part of it with a server connection.", base);
}

TargetStats::TargetStats(metrics::Registry& registry, const std::string& proxy, const std::string& target) {
  auto connections = [&](const char* state) {
    return &registry.gauge("dbproxy_server_connections", "Server connections by state.",
                           {{"proxy", proxy}, {"target", target}, {"state", state}});
  };
  idle = connections("idle");
  active = connections("active");
  pinned = connections("pinned");
  connecting = connections("connecting");
  replication = connections("replication");
  metrics::Labels labels = {{"proxy", proxy}, {"target", target}};
  limit = &registry.gauge("dbproxy_server_connections_limit", "Most server connections that may be open.", labels);
  available =
      &registry.gauge("dbproxy_target_available", "1 when the target is in use, 0 when it is not reachable.", labels);
}

}  // namespace dbproxy::worker
