// Sidecar: what the operator sees of one sidecar, and nothing behind it: a stream of its own, Hello, ACKs, reconnects.
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
#include <random>
#include <string>
#include <vector>

#include "proxy/control/backoff.hpp"

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

 private:
  class Attempt;
  struct Held {
    std::uint64_t version = 0;
    std::string digest;
  };
  void greeted();
  void ended(const std::string& reason, const std::string& redirect);
  void expire(std::uint32_t attempt);

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
