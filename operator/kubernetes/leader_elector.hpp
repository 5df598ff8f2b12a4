// LeaderElector: takes and keeps a Lease, so that of several replicas one leads.
//
// A lease lasts 15 s and is renewed every 2 s; who could not renew it for 10 s stops leading, before another may begin.
// Others watch it and take it as soon as it is given back, or has not changed for its duration by their own clock.
//
// Owns one thread and a reflector; `on_change` comes from the thread, `false` before the lease is given back.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "operator/kubernetes/client.hpp"
#include "operator/kubernetes/lease.hpp"
#include "operator/kubernetes/reflector.hpp"

namespace dbproxy::kubernetes {

struct ElectorOptions {
  LeaseClaim claim;
  std::chrono::milliseconds renew_deadline{10'000};
  std::chrono::milliseconds retry_period{2'000};
};

class LeaderElector {
 public:
  // `client` and `clock` outlive it.
  LeaderElector(Client& client, ElectorOptions options, std::function<void(bool leading)> on_change,
                const Clock& clock);
  ~LeaderElector();  // stops
  LeaderElector(const LeaderElector&) = delete;
  LeaderElector& operator=(const LeaderElector&) = delete;

  void start();
  // Gives the lease back if it is held. Returns within a few seconds. Idempotent.
  void stop();

  bool leading() const;
  // Of whoever holds the lease now, as last seen; "" while nobody does.
  std::string leader_address() const;
  std::string leader() const;

 private:
  void run();
  bool try_hold();  // one attempt to take or to renew
  void seen(const json::object& lease);
  void set_leading(bool leading);
  void release();

  Client& client_;
  const ElectorOptions options_;
  const std::function<void(bool)> on_change_;
  const Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  LeaseView view_;
  std::optional<json::object> lease_;  // as last seen
  bool leading_ = false;
  bool stopping_ = false;
  bool changed_ = false;  // the watch has seen something
  TimePoint renewed_{};
  Canceller canceller_;
  std::unique_ptr<Reflector> reflector_;
  std::thread thread_;
};

}  // namespace dbproxy::kubernetes
