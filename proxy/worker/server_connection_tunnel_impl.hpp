// ServerConnection as one end of a tunnel: see client_connection_tunnel_impl.hpp.
#pragma once

#include <utility>

#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

template <class P>
void ServerConnection<P>::begin_tunnel() {
  state_ = State::kTunnel;
  context_.loop.defer(*this);
}

template <class P>
void ServerConnection<P>::read_tunnel() {
  if (!in_.empty()) client_->tunnelled(std::exchange(in_, {}));  // what came behind the greeting
  for (int turn = 0; state_ == State::kTunnel && channel_.stream().readable(); ++turn) {
    if (client_->has_unsent()) return;  // its client is slow: so is the server
    if (turn == kReadsPerTurn) {
      context_.loop.defer(*this);
      return;
    }
    auto io = channel_.stream().read(context_.scratch.data(), kReadSize);
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) {
      if (client_->said_goodbye()) return client_->close();
      return lose("the server closed the connection");
    }
    proxy_.stats().server_received->add(io.bytes);
    client_->tunnelled({context_.scratch.data(), io.bytes});
  }
}

// Nobody else may have it, and the pool has its place back at once.
template <class P>
void ServerConnection<P>::end_tunnel() {
  spent_ = true;
  target_.release(*this);
}

}  // namespace dbproxy::worker
