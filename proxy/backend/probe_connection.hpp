// ProbeConnection: what probes of all engines do alike: a connection, what its failures mean, and the log-in on it.
//
// For the probes to derive from. One thread. Every method that returns false has left the reason in outcome_.
#pragma once

#include <chrono>
#include <string>

#include "proxy/backend/blocking_connection.hpp"
#include "proxy/backend/probe.hpp"

namespace dbproxy::backend {

class ProbeConnection {
 protected:
  ProbeConnection(std::string host, config::ServerTls tls, std::chrono::milliseconds timeout,
                  const config::EndpointPolicy& policy = {})
      : host_(std::move(host)), tls_(std::move(tls)), connection_(timeout, policy) {}
  ~ProbeConnection() = default;
  ProbeConnection(const ProbeConnection&) = delete;
  ProbeConnection& operator=(const ProbeConnection&) = delete;

  bool connection_failed() {
    outcome_.reason =
        connection_.unreachable() ? config::HealthReason::kUnreachable : config::HealthReason::kConnectionFailed;
    if (connection_.refused()) outcome_.reason = config::HealthReason::kEndpointRefused;
    outcome_.detail = connection_.error();
    return false;
  }
  bool failed(std::string detail) {
    outcome_.reason = config::HealthReason::kConnectionFailed;
    outcome_.detail = std::move(detail);
    return false;
  }

  // Login is an engine's machine of that name. `step(want, out)` goes on where TLS is up, and with whatever only this
  // engine wants.
  template <class Login, class Step>
  bool log_in(Login& login, Step&& step) {
    std::string out;
    auto want = login.start(out);
    using Want = decltype(want);
    for (;;) {
      if (!out.empty() && !connection_.send(out)) return connection_failed();
      out.clear();
      if (want == Want::kDone) return true;
      if (want == Want::kFailed) {
        failed(login.failure().message);
        outcome_.sqlstate = login.failure().sqlstate;
        if (login.failure().is_auth_failure()) outcome_.reason = config::HealthReason::kAuthFailure;
        return false;
      }
      if (want == Want::kRead) {
        std::size_t consumed = 0;
        want = login.feed(input_, consumed, out);
        input_.erase(0, consumed);
        if (want == Want::kRead && out.empty() && !connection_.receive(input_)) return connection_failed();
        continue;
      }
      if (want == Want::kStartTls && !connection_.start_tls(tls_, host_)) return connection_failed();
      want = step(want, out);
    }
  }

  const std::string host_;
  const config::ServerTls tls_;
  BlockingConnection connection_;
  ProbeOutcome outcome_;
  std::string input_;
  std::string refusal_;  // the server's last error, in its words
};

}  // namespace dbproxy::backend
