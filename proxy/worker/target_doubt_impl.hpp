// Target, when something tells that its server goes, or is not the writer any more.
#pragma once

#include <algorithm>
#include <vector>

#include "proxy/base/log.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/target.hpp"

namespace dbproxy::worker {

inline constexpr Duration kSuspectedAgain = std::chrono::seconds(1);  // not more often
inline constexpr std::chrono::milliseconds kDoubtfulSilence{3'000};

template <class P>
void Target<P>::suspect(config::HealthReason reason) {
  const auto now = context_.loop.now();
  const bool again = observed_ == reason && suspected_ != TimePoint{} && now - suspected_ < kSuspectedAgain;
  if (!again) {
    suspected_ = now;
    proxy_.stats().suspicions->add();
    log::info("pool", "target is in doubt: its idle connections are closed",
              {{"proxy", proxy_.name()}, {"target", description_.id}, {"reason", config::to_string(reason)}});
    observe(reason, {});
    if (reason == config::HealthReason::kInvalidReplicationState) retire_active();
  }
  // A connection that a client has just been given may have come back since.
  if (!again || reason != config::HealthReason::kInvalidReplicationState) close_idle();
  proxy_.in_doubt(*this);
}

template <class P>
void Target<P>::end_active(std::string_view why) {
  std::vector<ServerConnection<P>*> active;
  for (const auto& [server, owner] : servers_) {
    if (server->pool::Server::state == pool::Server::State::kActive) active.push_back(server);
  }
  for (auto server : active) server->lose(why);
}

template <class P>
void Target<P>::retire_active() {
  for (const auto& each : servers_) {
    ServerConnection<P>& server = *each.first;
    server.spend();
    if constexpr (requires { server.side().let_go(server); }) server.side().let_go(server);
  }
}

template <class P>
std::chrono::milliseconds Target<P>::silence() const {
  const auto most = context_.options.server_silence;
  return usable() && reachable() ? most : std::min(most, kDoubtfulSilence);
}

}  // namespace dbproxy::worker
