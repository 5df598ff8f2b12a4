// Client: the sidecar's end of the control stream, kept up for as long as it lives.
//
// Connects over TLS (the operator is verified against the CA file), shows the token, says what it holds, puts what
// comes in force through `apply` and answers ACK or NACK. While the operator is away what is in force stays in force;
// reconnects follow each other with full jitter and at most `backoff_cap` apart. CA and token files are read again for
// every connection. With a state directory the last good configuration survives a restart (last_good.hpp).
//
// Threads: one of its own that reads, one more that writes while a stream is up. Callbacks come from these, one at a
// time for apply and remove; `observe` may be called from anywhere and does not block.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dbproxy/v1/control.pb.h"

#include "proxy/base/clock.hpp"
#include "proxy/budget/messages.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/worker/service.hpp"

namespace dbproxy::control {

struct ClientOptions {
  std::string operator_address;      // HOST:PORT
  std::string ca_file;               // PEM, one or several roots
  std::string token_file;            // the first line is the token
  std::string identity;              // must be the one that the token was made for
  std::vector<std::string> proxies;  // namespace/name, or a name alone in "default"; empty: all that the token allows
  std::string state_dir;             // for the last good configuration; empty: it is not kept
  std::string software_version;
  std::uint64_t incarnation = 0;  // of this process, drawn at random

  std::chrono::milliseconds last_good_wait{2000};   // for the operator, before the file is used
  std::chrono::milliseconds connect_timeout{5000};  // until the operator has taken the Hello
  std::chrono::milliseconds backoff_base{100};
  std::chrono::milliseconds backoff_cap{2000};
  std::chrono::milliseconds status_interval{1000};
  std::chrono::milliseconds activity_interval{5000};
};

struct ClientCallbacks {
  // Returns "" or a sentence that says why not: worker::Service::apply.
  std::function<std::string(config::SnapshotPtr, worker::ListenerTls)> apply;
  std::function<void(const std::string& proxy)> remove;
  // True: the operator has taken the Hello. False: it is away, again after each attempt, some seconds apart. May be
  // empty.
  std::function<void(bool)> connected;
  // What is in force of this DBProxy is not what the operator said last: it is to say it again. May be empty.
  std::function<bool(const std::string& proxy)> overridden;
  // Asked once per interval while a stream is up; what changed is reported. May be empty.
  std::function<std::vector<worker::ProxyRow>()> status;
  // Likewise, at most every `activity_interval`. May be empty.
  std::function<std::vector<v1::ActivityReport>()> activity = {};
  // The fleet's connection budget: as worker::Service. May be empty; must not block.
  std::function<void(const std::string& proxy, const budget::Open&)> open = {};
  std::function<void(const std::string& proxy, const budget::Allowance&)> allow = {};
  std::function<void()> count_alone = {};
};

class Client {
 public:
  Client(ClientOptions options, ClientCallbacks callbacks, metrics::Registry& registry, const Clock& clock);
  ~Client();  // stops
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void start();
  // Ends the stream and the threads; within a second, plus the time of a callback that is running. Idempotent.
  void stop();

  // The operator has taken the Hello on the stream that is up now.
  bool connected() const;

  // What using a target has shown: reported to the operator, the newest per target and user.
  void observe(const worker::TargetObservation& observation);
  // What is held and wanted of a DBProxy's connection budget: the newest is told, at once or as soon as the operator
  // may be expected to take it.
  void report(const std::string& proxy, const budget::Report& report);
  // The last thing before `stop`: until the operator has read what was reported of connection budgets and has ended the
  // stream, or there is no stream, or the time is over. A stream that `stop` cuts off takes with it what the operator
  // has not read yet.
  void part(std::chrono::milliseconds timeout);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::control
