// Sidecar: what the operator sees of one sidecar, and nothing behind it: a stream of its own, Hello, ACKs, reconnects;
// its part of the connection budget, with the ledger and the sense of what is idle that real ones have. Its connections
// open and close in no time.
//
// As `proxy/control` does it (its channel, its back-off, its time-out for the Hello), on gRPC's own threads instead of
// two per sidecar, so that one process is thousands of them. Each has a connection of its own: one file descriptor.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "proxy/base/clock.hpp"
#include "proxy/budget/ledger.hpp"
#include "proxy/control/backoff.hpp"
#include "proxy/worker/idle_count.hpp"

namespace dbproxy::bench {

using SteadyClock = std::chrono::steady_clock;

struct FleetOptions {
  std::string address, ca_pem;
  std::chrono::milliseconds hello_timeout{5000}, stable_after{5000}, backoff_base{100}, backoff_cap{2000};
};

// Runs functions later, all on one thread. Thread-safe.
class Timer;

class Sidecar {
 public:
  // All three outlive it.
  Sidecar(const FleetOptions& options, Timer& timer, std::string identity, std::string token,
          std::vector<std::string> proxies, std::uint64_t seed);
  ~Sidecar();
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;

  void connect();

  struct View {
    bool greeted = false;
    SteadyClock::time_point greeted_at;
    std::uint32_t attempts = 0, redirects = 0;
    std::string last_end;                 // why the stream before ended
    std::uint32_t mark = 0;               // maxConnectionsPercent of what is in force, by which a measurement knows it
    SteadyClock::time_point in_force_at;  // and since when
  };
  View view() const;

  // Connections that its clients want from now on.
  void want(budget::Slots slots);
  struct Slots {
    budget::Slots wanted = 0, open = 0;
    std::vector<SteadyClock::duration> waits;  // from when more was wanted until all of it was there
  };
  Slots slots() const;
  void forget_waits();

 private:
  class Attempt;
  struct Held {
    std::uint64_t version = 0;
    std::string digest;
  };
  void greeted();
  void ended(const std::string& reason, const std::string& redirect);
  void expire(std::uint32_t attempt);
  void settle();  // with the lock: opens what may be opened
  void tell();    // likewise: what the operator does not know yet
  void tick();

  const FleetOptions& options_;
  Timer& timer_;
  const std::string identity_, token_;
  const std::vector<std::string> proxies_;

  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  control::Backoff backoff_;
  std::map<std::string, Held> held_;
  std::string redirect_;
  Attempt* attempt_ = nullptr;  // deletes itself when gRPC is done with it
  View view_;
  SystemClock clock_;
  budget::Ledger ledger_;
  std::string writer_;  // id of the target
  budget::Slots wanted_ = 0, open_ = 0;
  worker::IdleCount idle_;
  int idle_ticks_ = 0;
  std::optional<SteadyClock::time_point> wanted_since_;
  std::vector<SteadyClock::duration> waits_;
};

class Timer {
 public:
  Timer();
  ~Timer();  // what has not run yet never does
  void after(std::chrono::milliseconds delay, std::function<void()> what);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::bench
