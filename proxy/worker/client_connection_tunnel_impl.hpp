// ClientConnection as one end of a tunnel: replication (Protocol: "Streaming Replication Protocol").
//
// What follows the log-in is passed on as it comes, both ways, by one client and one server connection that count in
// the pool like any other and are never used again. Only the frames of what the server says are followed, so that last
// words do not fall into the middle of a message, and a connection at rest is told from one that streams.
#pragma once

#include <algorithm>

#include "proxy/base/log.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

template <class P>
std::uint32_t ClientConnection<P>::pins() const {
  if (state_ == State::kTunnel) return 1u << P::kReplicationPin;
  return session_ ? session_->pins() : 0;
}

template <class P>
void ClientConnection<P>::begin_tunnel() {
  fresh_ = false;
  std::string out;
  side_.greet_tunnel(*this, *server_, out);
  login_.reset();
  state_ = State::kTunnel;
  active_at_ = pinned_since_ = context_.loop.now();
  proxy_.stats().pins[static_cast<std::size_t>(P::kReplicationPin)]->add();
  log::info("session", "replication connection",
            {{"proxy", proxy_.name()},
             {"client", peer_},
             {"user", key_->user},
             {"database", key_->database},
             {"server", server_->side().id()},
             {"tls", tls()}});
  server_->begin_tunnel();
  arm_tunnel();
  if (!channel_.send(std::string_view(out))) return close();
  context_.loop.defer(*this);
}

template <class P>
void ClientConnection<P>::read_tunnel() {
  if (channel_.has_unsent()) {
    if (!channel_.flush()) return close();
    // The server was paused while this client was slow.
    if (!channel_.has_unsent()) server_->resume();
  }
  for (int turn = 0; state_ == State::kTunnel; ++turn) {
    if (server_->has_unsent()) {
      if (channel_.stream().peer_closed()) close();
      return;
    }
    std::string_view bytes = in_;  // what came behind the password
    if (bytes.empty()) {
      if (!channel_.stream().readable()) return;
      if (turn >= kReadsPerTurn) {
        context_.loop.defer(*this);
        return;
      }
      auto io = channel_.stream().read(context_.scratch.data(), kReadSize);
      if (io.status == net::IoStatus::kBlocked) return;
      if (io.status != net::IoStatus::kOk) return close();
      bytes = {context_.scratch.data(), io.bytes};
    }
    asked_ = true;
    said_goodbye_ = P::ends_with_good_bye(bytes);  // taken for one by chance, it costs a log line
    active_at_ = context_.loop.now();
    proxy_.stats().client_received->add(bytes.size());
    proxy_.stats().server_sent->add(bytes.size());
    context_.to_server.ref(bytes);
    server_->send(context_.to_server);
    in_.clear();
  }
}

template <class P>
void ClientConnection<P>::tunnelled(std::string_view bytes) {
  active_at_ = context_.loop.now();
  std::size_t whole = 0;  // up to where it may end
  while (whole < bytes.size() && !answers_.broken()) {
    if (retire_between_ && answers_.between()) break;
    whole += answers_.step(bytes.substr(whole));
    if (P::is_ready(answers_)) asked_ = false;
  }
  if (answers_.broken()) whole = bytes.size();  // the client will see for itself
  proxy_.stats().client_sent->add(whole);
  context_.to_client.ref(bytes.substr(0, whole));
  if (!channel_.send(context_.to_client)) return close();
  if (retire_between_ && answers_.between()) finish(retire_error_);
}

// Not what idleClientTimeoutSeconds and maxClientAgeSeconds are for: a connection that streams is at work.
template <class P>
void ClientConnection<P>::on_tunnel_timer() {
  const auto& snapshot = proxy_.snapshot();
  const auto now = context_.loop.now();
  const bool rests = answers_.between() && !asked_;
  if (rests && now - active_at_ >= snapshot.idle_client_timeout) {
    return finish(error(Trouble::kIdleClient, "terminating connection due to idle-session timeout"));
  }
  if (!rests) active_at_ = now;
  arm_tunnel();
}

template <class P>
void ClientConnection<P>::arm_tunnel() {
  const Duration wait = active_at_ + Duration(proxy_.snapshot().idle_client_timeout) - context_.loop.now();
  context_.loop.arm(timer_, std::max<Duration>(wait, std::chrono::milliseconds(10)));
}

// At once, or when the message that is under way has come to its end.
template <class P>
void ClientConnection<P>::end_tunnel(std::string error) {
  if (answers_.between()) return finish(error);
  retire_between_ = true;
  retire_error_ = std::move(error);
}

}  // namespace dbproxy::worker
