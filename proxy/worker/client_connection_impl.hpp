// ClientConnection from accept to close; client_connection_*_impl.hpp have its log-in, its queries and its limits.
#pragma once

#include <algorithm>

#include "proxy/base/log.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/net/tls_peer.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

inline constexpr Duration kLingerTimeout = std::chrono::seconds(1);

template <class P>
ClientConnection<P>::ClientConnection(ProxyRuntime<P>& proxy, std::shared_ptr<EndpointRuntime> endpoint,
                                      Context& context, int fd, bool unix_socket)
    : proxy_(proxy),
      endpoint_(std::move(endpoint)),
      context_(context),
      unix_socket_(unix_socket),
      channel_(fd),
      peer_(net::peer_name(fd)),
      login_(proxy.side().new_login(proxy, unix_socket, fd)),
      accepted_at_(context.loop.now()),
      active_at_(accepted_at_),
      timer_([this] { on_timer(); }),
      limit_timer_([this] { on_limit(); }) {}

template <class P>
ClientConnection<P>::~ClientConnection() = default;

template <class P>
void ClientConnection<P>::start() {
  context_.loop.arm(timer_, kLoginTimeout);
  context_.loop.watch(channel_.stream().fd(), *this);
  side_.started(*this, *login_);
}

template <class P>
void ClientConnection<P>::on_event(std::uint32_t events) {
  if (state_ == State::kClosed) return;
  channel_.stream().note(events);
  pump();
}

template <class P>
void ClientConnection<P>::pump() {
  switch (state_) {
    case State::kTls: {
      auto io = channel_.stream().handshake();
      if (io.status == net::IoStatus::kBlocked) return;
      if (io.status != net::IoStatus::kOk) {
        count_login(LoginResult::kProtocol);
        log::info("client", "TLS handshake failed",
                  {{"proxy", proxy_.name()}, {"client", peer_}, {"error", net::tls_failure(channel_.stream().ssl())}});
        return close();
      }
      state_ = State::kLogin;
      std::string out;
      auto want = P::tls_established(*login_, channel_.stream().ssl(), out);
      step_login(want, out);
      return read_login();
    }
    case State::kLogin:
      return read_login();
    case State::kGreeting:
      if (server_ != nullptr) {
        if (key_->replication) return begin_tunnel();
        auto step = side_.before_greeting(*this, *login_);
        if (step == Step::kSent) server_->send_hidden();
        if (step == Step::kWait && channel_.stream().peer_closed()) close();
        if (step != Step::kDone) return;
        auto server = server_;
        server_ = nullptr;
        fresh_ = false;
        auto greeting = server->side().greeting();
        server->detach();
        return greet(std::move(greeting));
      }
      if (channel_.stream().peer_closed()) close();
      return;
    case State::kRunning:
      if (channel_.has_unsent()) {
        if (!channel_.flush()) return close();
        // The server was paused while this client was slow.
        if (server_ != nullptr && !channel_.has_unsent()) server_->resume();
      }
      return read_queries();
    case State::kTunnel:
      return read_tunnel();
    case State::kClosing: {
      if (!channel_.flush()) return close();
      if (!channel_.has_unsent() && !said_all_) {
        said_all_ = true;
        channel_.stream().end_writing();
      }
      while (channel_.stream().readable()) {
        auto io = channel_.stream().read(context_.scratch.data(), kReadSize);
        if (io.status == net::IoStatus::kBlocked) return;
        if (io.status != net::IoStatus::kOk) return close();
      }
      return;
    }
    case State::kClosed:
      return;
  }
}

template <class P>
bool ClientConnection<P>::send(session::Output& output) {
  if (output.empty()) return true;
  proxy_.stats().client_sent->add(output.size());
  return channel_.send(output);
}

template <class P>
void ClientConnection<P>::cancel() {
  if (waiting()) {
    target_->cancel(*this);
    if (state_ != State::kRunning) return close();
    session_->reject(error(Trouble::kCancelled, "canceling statement due to user request"));
    context_.loop.defer(*this);
  } else if (server_ != nullptr && (state_ == State::kTunnel || !server_->session().quiet())) {
    server_->cancel();
  }
}

template <class P>
void ClientConnection<P>::retire(Trouble trouble, std::string_view message) {
  if (state_ == State::kClosed || state_ == State::kClosing) return;
  auto words = error(trouble, message);
  if (state_ == State::kTunnel) return end_tunnel(std::move(words));
  bool busy = server_ != nullptr || waiting();
  if (state_ == State::kRunning && busy) {
    retire_between_ = true;
    retire_error_ = std::move(words);
    return;
  }
  finish(words);
}

template <class P>
void ClientConnection<P>::arm_running() {
  const auto& snapshot = proxy_.snapshot();
  auto now = context_.loop.now();
  Duration wait = active_at_ + Duration(snapshot.idle_client_timeout) - now;
  if (snapshot.max_client_age.count() > 0 && !retire_between_) {
    wait = std::min<Duration>(wait, accepted_at_ + Duration(snapshot.max_client_age) - now);
  }
  context_.loop.arm(timer_, std::max<Duration>(wait, std::chrono::milliseconds(10)));
}

template <class P>
void ClientConnection<P>::on_timer() {
  if (state_ == State::kClosing) return close();
  if (state_ == State::kTls || state_ == State::kLogin) {
    count_login(LoginResult::kNone);
    return finish(error(Trouble::kLoginTimeout, "canceling authentication due to timeout"));
  }
  if (state_ == State::kTunnel) return on_tunnel_timer();
  if (state_ != State::kRunning) return;
  const auto& snapshot = proxy_.snapshot();
  auto now = context_.loop.now();
  bool working = waiting() || (server_ != nullptr && !server_->session().quiet());
  if (!working && now - active_at_ >= snapshot.idle_client_timeout) {
    return finish(error(Trouble::kIdleClient, "terminating connection due to idle-session timeout"));
  }
  if (working) active_at_ = now;
  if (snapshot.max_client_age.count() > 0 && now - accepted_at_ >= snapshot.max_client_age) {
    retire(Trouble::kGoingAway, "terminating connection: it has reached its maximum age");
    if (state_ != State::kRunning) return;
  }
  arm_running();
}

template <class P>
std::string ClientConnection<P>::error(Trouble trouble, std::string_view message, std::string_view hint) const {
  return P::error(trouble, message, hint);
}

template <class P>
void ClientConnection<P>::count_login(LoginResult result) {
  proxy_.stats().logins[static_cast<std::size_t>(result)]->add();
}

// Sends the last words, lets the client read them, then closes.
template <class P>
void ClientConnection<P>::finish(std::string_view error) {
  if (state_ == State::kClosed || state_ == State::kClosing) return;
  if (waiting()) target_->cancel(*this);
  std::string words(error);
  if (!words.empty()) P::address(words, login_.get(), session());
  bool sent = words.empty() || channel_.send(std::string_view(words));
  state_ = State::kClosing;
  leave_server(false);
  if (!sent) return close();
  context_.loop.arm(timer_, kLingerTimeout);
  context_.loop.defer(*this);
}

template <class P>
void ClientConnection<P>::leave_server(bool said_goodbye) {
  if (server_ == nullptr) return;
  auto server = server_;
  server_ = nullptr;
  fresh_ = false;
  // What it asked for through a tunnel is for nobody.
  if (asked_ && !said_goodbye_) server->cancel();
  auto leaving = said_goodbye ? Leaving::kSaidGoodbye : Leaving::kVanished;
  if (session_ && session_->in_mid_message()) leaving = Leaving::kInMidMessage;
  server->orphan(session_ ? session_->pins() : 0, leaving);
}

template <class P>
void ClientConnection<P>::close(bool said_goodbye) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  timer_.disarm();
  limit_timer_.disarm();
  if (waiting()) target_->cancel(*this);
  leave_server(said_goodbye);
  go_to(nullptr);
  side_.closed(*this);
  context_.loop.unwatch(channel_.stream().fd());
  channel_.stream().close();
  proxy_.client_gone(*this);
}

}  // namespace dbproxy::worker
