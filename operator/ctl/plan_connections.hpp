// plan connections: pods and their load → how many server connections that takes, and what will happen. Pure.
#pragma once

#include <cstdint>
#include <string>

namespace dbproxy::ctl {

struct Load {
  std::uint32_t pods = 0;
  std::uint32_t clients_per_pod = 0;
  double transactions_per_second = 0;    // of each pod
  double transaction_milliseconds = 10;  // that one holds a server connection
  std::uint32_t pinned_per_pod = 0;      // clients that keep theirs
  std::uint32_t max_connections = 0;     // of the database
  std::uint32_t percent = 100;           // maxConnectionsPercent
  std::uint32_t reserved = 3;            // superuser_reserved_connections and reserved_connections
  std::uint32_t borrow_timeout_seconds = 120;
};

// The chance that a transaction finds every one of `servers` connections busy (Erlang's C formula); 1 from full load
// on.
double chance_to_wait(double busy, std::uint32_t servers);

// The text to print; where `error` is set, what of the input makes no sense.
std::string plan_connections(const Load& load, std::string& error);

}  // namespace dbproxy::ctl
