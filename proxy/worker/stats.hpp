// The cells of one DBProxy: what its connections count. Made once per DBProxy; written by its worker only.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/metrics/registry.hpp"
#include "proxy/session/login_result.hpp"

namespace dbproxy::worker {

using session::kLoginResultCount;
using session::LoginResult;

// What a client may be over: limits.statementTimeout and its like.
enum class TimeLimit { kStatement, kTransaction, kIdleInTransaction, kGiveBack };
inline constexpr std::size_t kTimeLimitCount = 4;
std::string_view to_string(TimeLimit limit);

struct Stats {
  // `pin_reasons`: what the engine's pins are called, by their bit.
  Stats(metrics::Registry& registry, const std::string& proxy, std::span<const std::string_view> pin_reasons);

  std::array<metrics::Cell*, kLoginResultCount> logins{};  // by LoginResult
  std::vector<metrics::Cell*> pins, unpins;                // by bit
  std::array<metrics::Cell*, 3> probes{};                  // released, kept, failed
  std::array<metrics::Cell*, kTimeLimitCount> time_limits{};
  metrics::Cell *clients_idle, *clients_active, *clients_waiting, *clients_login, *clients_replication;
  metrics::Cell *clients_accepted, *clients_closed, *clients_tls, *clients_pinned;
  metrics::Cell *longest_wait, *transactions, *queries, *queries_tls;
  metrics::Cell *client_received, *client_sent, *server_received, *server_sent;
  metrics::Cell *borrow_timeouts, *borrows, *cancels, *server_opened, *server_lost, *suspicions, *clients_kept,
      *clients_moved, *server_login_failures, *endpoints_refused, *clear_text_refused, *settings_replayed,
      *replay_failures;
  metrics::Histogram *borrow_seconds, *query_seconds, *server_query_seconds;
};

struct TargetStats {
  TargetStats(metrics::Registry& registry, const std::string& proxy, const std::string& target);
  metrics::Cell *idle, *active, *pinned, *connecting, *replication, *limit, *available;
};

}  // namespace dbproxy::worker
