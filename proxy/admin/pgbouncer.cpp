#include "proxy/admin/pgbouncer.hpp"

#include <algorithm>
#include <map>

#include "proxy/metrics/build_info.hpp"
#include "proxy/metrics/page.hpp"

namespace dbproxy::admin {
namespace {

using Families = std::vector<prometheus::MetricFamily>;

// A pool here is of one DBProxy, role and target; there it is of a user and a database.
std::map<std::pair<std::string, std::string>, worker::PoolRow> by_user(const std::vector<worker::PoolRow>& pools) {
  std::map<std::pair<std::string, std::string>, worker::PoolRow> out;
  for (const auto& row : pools) {
    auto& sum = out[{row.database, row.user}];
    sum.clients_active += row.clients_active;
    sum.clients_waiting += row.clients_waiting;
    sum.servers_idle += row.servers_idle;
    sum.servers_active += row.servers_active + row.servers_pinned;
    sum.servers_connecting += row.servers_connecting;
    sum.longest_wait_seconds = std::max(sum.longest_wait_seconds, row.longest_wait_seconds);
  }
  return out;
}

void add_pools(const std::vector<worker::PoolRow>& rows, Families& out) {
  const auto pools = by_user(rows);
  const auto add = [&](const char* name, const char* help, auto value) {
    metrics::Series series;
    for (const auto& [key, sum] : pools) {
      series.emplace_back(metrics::Labels{{"database", key.first}, {"user", key.second}}, value(sum));
    }
    out.push_back(metrics::gauge_family(std::string("pgbouncer_pools_") + name, help, series));
  };
  using Row = worker::PoolRow;
  add("client_active_connections", "Clients that have a server connection.",
      [](const Row& r) { return r.clients_active; });
  add("client_waiting_connections", "Clients that wait for one.", [](const Row& r) { return r.clients_waiting; });
  add("client_maxwait_seconds", "How long the first of them has waited.",
      [](const Row& r) { return r.longest_wait_seconds; });
  add("server_active_connections", "Server connections that a client has.",
      [](const Row& r) { return r.servers_active; });
  add("server_idle_connections", "Server connections that are free.", [](const Row& r) { return r.servers_idle; });
  add("server_login_connections", "Server connections that log in.", [](const Row& r) { return r.servers_connecting; });
  add("server_used_connections", "Always 0: none has to be checked before it is used.", [](const Row&) { return 0; });
  add("server_testing_connections", "Always 0, as above.", [](const Row&) { return 0; });
}

// Ours by DBProxy as theirs by database.
metrics::Series of_proxies(const metrics::Registry& registry, const char* ours) {
  metrics::Series out;
  for (const auto& [labels, value] : metrics::series_of(registry, ours)) {
    for (const auto& [name, text] : labels) {
      if (name == "proxy") out.emplace_back(metrics::Labels{{"database", text}}, value);
    }
  }
  return out;
}

void add_stats(const metrics::Registry& registry, Families& out) {
  const auto add = [&](const char* name, const char* ours, const char* help) {
    out.push_back(metrics::counter_family(std::string("pgbouncer_stats_") + name, help, of_proxies(registry, ours)));
  };
  add("queries_pooled_total", "dbproxy_queries_total", "Queries.");
  add("sql_transactions_pooled_total", "dbproxy_transactions_total", "Transactions.");
  add("queries_duration_seconds_total", "dbproxy_server_query_seconds", "Time of queries on servers.");
  add("client_wait_seconds_total", "dbproxy_borrow_seconds", "Time that clients waited for a server connection.");
  add("received_bytes_total", "dbproxy_client_received_bytes_total", "Bytes from clients.");
  add("sent_bytes_total", "dbproxy_client_sent_bytes_total", "Bytes to clients.");
}

void add_databases(const std::vector<worker::TargetRow>& targets, Families& out) {
  metrics::Series current, most;
  for (const auto& row : targets) {
    const metrics::Labels labels{
        {"name", row.proxy}, {"host", row.host}, {"port", std::to_string(row.port)}, {"database", row.id}};
    current.emplace_back(labels, row.servers);
    most.emplace_back(labels, row.limit);
  }
  out.push_back(metrics::gauge_family("pgbouncer_databases_current_connections", "Server connections.", current));
  out.push_back(metrics::gauge_family("pgbouncer_databases_max_connections", "Most that may be open.", most));
}

}  // namespace

std::string pgbouncer_page(const metrics::Registry& registry, const std::vector<worker::PoolRow>& pools,
                           const std::vector<worker::TargetRow>& targets) {
  Families out;
  out.push_back(metrics::gauge_family("pgbouncer_up", "Always 1.", {{{}, 1}}));
  out.push_back(metrics::info_family("pgbouncer_version_info", "Of dbproxy. Always 1.",
                                     {{{"version", std::string(metrics::build_version())}}}));
  add_pools(pools, out);
  add_stats(registry, out);
  add_databases(targets, out);
  std::erase_if(out, [](const auto& family) { return family.metric.empty(); });
  return metrics::text_of(out);
}

}  // namespace dbproxy::admin
