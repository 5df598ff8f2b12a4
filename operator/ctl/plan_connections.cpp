#include "operator/ctl/plan_connections.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "proxy/config/snapshot.hpp"

namespace dbproxy::ctl {
namespace {

std::string number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string line(const std::string& what, const std::string& value, const std::string& why) {
  std::string out = what;
  out.resize(std::max<std::size_t>(out.size(), 34), ' ');
  return out + value + (why.empty() ? "" : "  (" + why + ")") + "\n";
}

}  // namespace

double chance_to_wait(double busy, std::uint32_t servers) {
  if (busy <= 0) return 0;
  if (servers == 0 || busy >= servers) return 1;
  // Erlang B by its recursion, which neither overflows nor loses digits; C follows from B.
  double blocked = 1;
  for (std::uint32_t n = 1; n <= servers; ++n) blocked = busy * blocked / (n + busy * blocked);
  const double used = busy / servers;
  return blocked / (1 - used + used * blocked);
}

std::string plan_connections(const Load& load, std::string& error) {
  if (load.pods == 0 || load.max_connections == 0) {
    error = "--pods and --max-connections are at least 1";
    return {};
  }
  if (load.percent < 1 || load.percent > 100) {
    error = "--percent is between 1 and 100: it is maxConnectionsPercent";
    return {};
  }
  if (load.transactions_per_second < 0 || load.transaction_milliseconds <= 0) {
    error = "--tps and --transaction-ms are more than 0";
    return {};
  }
  config::Target target;
  target.max_connections = load.max_connections;
  target.reserved_connections = load.reserved;
  config::ConnectionPool pool;
  pool.max_connections_percent = load.percent;
  const std::uint32_t limit = config::connection_limit(target, pool);
  const bool by_percent = limit == std::uint64_t{load.max_connections} * load.percent / 100;
  const std::uint64_t pinned = std::uint64_t{load.pods} * load.pinned_per_pod;
  const double rate = load.pods * load.transactions_per_second;
  const double busy = rate * load.transaction_milliseconds / 1000;
  const std::uint64_t direct = std::uint64_t{load.pods} * load.clients_per_pod;
  const std::uint32_t free = limit > pinned ? limit - static_cast<std::uint32_t>(pinned) : 0;

  std::string out;
  out += line("limit", std::to_string(limit),
              std::to_string(load.percent) + " % of max_connections " + std::to_string(load.max_connections) +
                  (by_percent ? "" : ", without those reserved and the operator's own"));
  if (direct > 0) {
    out += line("without a proxy", std::to_string(direct),
                std::to_string(load.pods) + " pods × " + std::to_string(load.clients_per_pod) + " clients" +
                    (direct > load.max_connections ? ", more than the database takes" : ""));
  }
  if (pinned > 0) out += line("pinned", std::to_string(pinned), "never given to another client");
  out += line("busy on average", number(busy, 1),
              number(rate, 1) + " transactions a second × " + number(load.transaction_milliseconds, 1) + " ms");
  if (pinned > limit) {
    return out + "\nPins alone take more than the limit: clients beyond it wait for " +
           std::to_string(load.borrow_timeout_seconds) +
           " s and are refused. `dbproxyctl pins` says why sessions are pinned.\n";
  }
  if (busy >= free) {
    const double most = load.transaction_milliseconds > 0 ? free * 1000 / load.transaction_milliseconds : 0;
    return out + "\nMore work than connections: the queue grows until clients have waited for " +
           std::to_string(load.borrow_timeout_seconds) + " s and are refused. " + std::to_string(free) +
           " connections carry at most " + number(most, 0) + " transactions a second of this length; " +
           std::to_string(static_cast<std::uint64_t>(std::floor(busy)) + 1 + pinned) +
           " connections would carry these.\n";
  }
  const double chance = chance_to_wait(busy, free);
  const double wait = chance * load.transaction_milliseconds / (free - busy);
  out += line("used", number(100 * busy / std::max<double>(free, 1), 0) + " %", "of what pins leave");
  out += line("transactions that wait", number(100 * chance, chance < 0.001 ? 3 : 1) + " %",
              number(wait, 2) + " ms on average over all");
  if (limit < load.pods) {
    return out + "\nThere are more pods than connections: not every pod can keep one, and they take turns.\n";
  }
  if (busy > 0.8 * free)
    return out + "\nIt fits, with little left: a slow query or a fifth more load makes clients wait.\n";
  return out + "\nIt fits.\n";
}

}  // namespace dbproxy::ctl
