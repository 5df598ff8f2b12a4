// ServerConnection once it is logged in; server_connection_login_impl.hpp has the way there.
#pragma once

#include "proxy/base/log.hpp"
#include "proxy/net/tls_peer.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

inline constexpr Duration kCleanTimeout = std::chrono::seconds(15);

template <class P>
ServerConnection<P>::ServerConnection(ProxyRuntime<P>& proxy, Target<P>& target, Context& context,
                                      std::shared_ptr<const Key> whose, pool::KeyPool& pool)
    : proxy_(proxy),
      target_(target),
      context_(context),
      key_(std::move(whose)),
      key_pool_(pool),
      deadline_([this] {
        if (state_ == State::kCleaning) {
          lose("it could not be cleaned in time");
        } else {
          target_.close_idle();  // connections that were opened before are no better
          fail(config::HealthReason::kUnreachable, "no answer within 15 s");
        }
      }),
      side_(proxy, *key_) {}

template <class P>
ServerConnection<P>::~ServerConnection() = default;

template <class P>
void ServerConnection<P>::on_event(std::uint32_t events) {
  if (state_ == State::kClosed) return;
  channel_.stream().note(events);
  pump();
}

template <class P>
void ServerConnection<P>::pump() {
  switch (state_) {
    case State::kResolving:
      if (!addresses_.empty()) start_on(std::move(addresses_));
      return;
    case State::kConnecting:
      if (channel_.stream().writable()) connected();
      return;
    case State::kTls: {
      auto io = channel_.stream().handshake();
      if (io.status == net::IoStatus::kBlocked) return;
      if (io.status != net::IoStatus::kOk) {
        fail(config::HealthReason::kConnectionFailed,
             net::tls_failure(channel_.stream().ssl(), proxy_.snapshot().server_tls.direct));
        return;
      }
      std::string out;
      state_ = State::kLogin;
      if (auto error = P::check_server_tls(proxy_.snapshot(), channel_.stream().ssl()); !error.empty()) {
        fail(config::HealthReason::kConnectionFailed, std::string(error));
        return;
      }
      auto want = P::tls_established(*login_, channel_.stream().ssl(), out);
      step_login(want, out);
      return;
    }
    case State::kLogin:
      read_login();
      return;
    case State::kLoginPaused:
    case State::kClosed:
      return;
    default:
      if (channel_.has_unsent()) {
        if (!channel_.flush()) {
          state_ == State::kTunnel ? read_tunnel() : read_ready();  // its last words
          return lose("cannot send", last_words_.empty());
        }
        // The client was paused while this server was slow.
        if (client_ != nullptr && !channel_.has_unsent()) client_->resume();
      }
      state_ == State::kTunnel ? read_tunnel() : read_ready();
  }
}

template <class P>
void ServerConnection<P>::attach(ClientConnection<P>& client) {
  client_ = &client;
}

template <class P>
void ServerConnection<P>::detach() {
  client_ = nullptr;
  if constexpr (requires { side_.stays(); }) {
    if (side_.stays()) return;  // it has work of its own for as long as that takes
  }
  if (side_.has_work(*this)) {
    context_.loop.arm(deadline_, kCleanTimeout);
    clean();
    return;
  }
  target_.release(*this);
}

template <class P>
void ServerConnection<P>::orphan(std::uint32_t pins, Leaving leaving) {
  client_ = nullptr;
  if (state_ == State::kTunnel) return end_tunnel();
  session_->forget_client();
  if (leaving == Leaving::kInMidMessage || !last_words_.empty()) {
    lose("its client left in the middle of a message");
    return;
  }
  side_.discard(pins);
  bool busy = !session_->quiet();
  cancel_again_ = busy && leaving == Leaving::kVanished;
  if (cancel_again_) cancel();
  // What a client said good-bye behind may take its time.
  if (!busy || leaving == Leaving::kVanished) context_.loop.arm(deadline_, kCleanTimeout);
  clean();
}

template <class P>
void ServerConnection<P>::check_cancel() {
  constexpr Duration kCancelAgainAfter = std::chrono::milliseconds(500);
  if (!cancel_again_ || cancelling() || session_->quiet()) return;
  if (context_.loop.now() - cancelled_at_ >= kCancelAgainAfter) cancel();
}

// One step towards a connection that the next client can have; called again whenever the server has answered.
template <class P>
void ServerConnection<P>::clean() {
  state_ = State::kCleaning;
  if (session_->hidden_query_failed()) return lose("it could not be cleaned");
  if (!session_->quiet()) {
    if (session_->finish_sequence(context_.to_server) && !channel_.send(context_.to_server)) lose("cannot send");
    return;
  }
  cancel_again_ = false;  // what follows is our own
  if (cancels_in_flight_ > 0) return;
  if (!deadline_.armed()) context_.loop.arm(deadline_, kCleanTimeout);
  switch (side_.clean(*this)) {
    case Step::kSent:
      if (!channel_.send(context_.to_server)) lose("cannot send");
      return;
    case Step::kDone:
      deadline_.disarm();
      state_ = State::kReady;
      target_.release(*this);
      return;
    default:
      return;
  }
}

template <class P>
bool ServerConnection<P>::send(session::Output& output) {
  if (channel_.send(output)) return true;
  // Its last words, if any, are still to be read.
  context_.loop.defer(*this);
  return true;
}

template <class P>
void ServerConnection<P>::check_peer() {
  if (!channel_.stream().open()) return;
  auto look = net::Silence::look(channel_.stream().fd());
  if (look && silence_.exceeds(target_.silence(), context_.loop.now(), *look)) lose("the server does not answer", true);
}

template <class P>
void ServerConnection<P>::read_ready() {
  using Verdict = typename P::ServerVerdict;
  for (int turn = 0; channel_.stream().readable(); ++turn) {
    if (client_ != nullptr && client_->has_unsent()) return;  // its client is slow: so is the server
    if (turn == kReadsPerTurn) {
      context_.loop.defer(*this);
      return;
    }
    auto io = channel_.stream().read(context_.scratch.data(), kReadSize);
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) return lose("the server closed the connection", last_words_.empty());
    proxy_.stats().server_received->add(io.bytes);
    typename P::Bytes bytes(context_.scratch.data(), io.bytes);
    if (!in_.empty()) {
      in_.append(bytes.data(), bytes.size());
      bytes = typename P::Bytes(in_.data(), in_.size());
    }
    std::size_t consumed = 0;
    auto client_session = client_ != nullptr ? client_->session() : nullptr;
    auto verdict = session_->feed(bytes, consumed, client_session, context_.to_client);
    if (client_ != nullptr) {
      client_->send(context_.to_client);  // when that client breaks, its own event says so
    }
    context_.to_client.clear();
    if (bytes.data() == in_.data()) {
      in_.erase(0, consumed);
      if (in_.empty()) std::string().swap(in_);
    } else if (consumed < bytes.size()) {
      in_.assign(bytes.data() + consumed, bytes.size() - consumed);
    }
    if (verdict == Verdict::kReplayFailed) return replay_failed();
    if (verdict == Verdict::kProtocolError) return lose("the server broke the protocol");
    after_read();
    if (state_ == State::kClosed) return;
  }
}

template <class P>
void ServerConnection<P>::after_read() {
  auto events = session_->take_events();
  if (events.queries_done > 0) {
    proxy_.stats().queries->add(events.queries_done);
    proxy_.stats().transactions->add(events.transactions_done);
    if (client_ != nullptr) {
      proxy_.stats().query_seconds->observe(context_.loop.now() - client_->since_query());
      proxy_.stats().server_query_seconds->observe(context_.loop.now() - client_->since_served());
      if (client_->tls()) proxy_.stats().queries_tls->add(events.queries_done);
    }
  }
  if (client_ != nullptr && events.statements_done + events.queries_done > 0) {
    client_->work_went_on(events.transactions_done > 0);
    cancel_again_ = false;
  }
  if (events.fatal) {
    last_words_ = std::move(events.fatal_error);
    side_.fatal(*this, events);
    log::warn("pool", "server ended a connection",
              {{"proxy", proxy_.name()}, {"target", target_.description().id}, {"sqlstate", events.fatal_sqlstate}});
    bool going = false;
    if constexpr (requires { P::is_going(events.fatal_sqlstate); }) going = P::is_going(events.fatal_sqlstate);
    if (state_ == State::kReady) return lose(events.fatal_message, going);
    if (going) target_.suspect(config::HealthReason::kConnectionFailed);
  }
  if constexpr (requires { events.refused_write; }) {
    if (events.refused_write && target_.description().role == config::TargetRole::kReadWrite) {
      spend();
      target_.suspect(config::HealthReason::kInvalidReplicationState);
      // Its client need not keep it for what the refusal has left to ask for.
      if constexpr (requires { side_.let_go(*this); }) side_.let_go(*this);
    }
  }
  if (cancel_after_replay_ && !session_->replaying()) {
    cancel_after_replay_ = false;
    cancel_again_ = !session_->quiet();
    if (cancel_again_) cancel();
  }
  if (client_ != nullptr && client_->session() != nullptr && client_->session()->held()) client_->resume();
  side_.answered(*this, events);
  if (state_ == State::kClosed) return;
  if (state_ == State::kCleaning) return clean();
  if (!session_->quiet()) return;
  if (state_ == State::kInit) return initialise();
  if (state_ == State::kReady && client_ != nullptr) client_->server_ready();
}

// Its client's settings are not in force, so nothing that it asks may run here; the server has refused what it had
// already. Neither is the connection worth keeping: nobody knows what it refuses next.
template <class P>
void ServerConnection<P>::replay_failed() {
  if (client_ == nullptr) return lose("it could not be cleaned");
  proxy_.stats().replay_failures->add();
  log::warn("session", "settings refused by the server",
            {{"proxy", proxy_.name()}, {"target", target_.description().id}, {"user", key_->user}});
  auto client = std::exchange(client_, nullptr);
  close();
  client->settings_refused(P::as_error(session_->replay_error()));
  target_.lost(*this);
}

template <class P>
void ServerConnection<P>::cancel() {
  if (session_->replaying()) {  // not the settings: what is asked behind them
    cancel_after_replay_ = true;
    return;
  }
  ++cancels_in_flight_;
  cancelled_at_ = context_.loop.now();
  proxy_.passed_on_cancel();
  side_.cancel(*this, [this, alive = alive()](CancelOutcome outcome) {
    if (alive.expired() || state_ == State::kClosed) return;
    --cancels_in_flight_;
    // It may still come, and would hit the next client.
    if (outcome == CancelOutcome::kUnknown) spent_ = true;
    if (state_ == State::kCleaning) {
      clean();
    } else if (client_ != nullptr && session_->quiet()) {
      client_->server_ready();
    }
  });
}

template <class P>
void ServerConnection<P>::cancel_over_limit() {
  session_->expect_timeout();
  cancel();
}

template <class P>
void ServerConnection<P>::close() {
  if (state_ == State::kClosed) return;
  // From there on the server has a process for it.
  const bool known = state_ >= State::kTls;
  bool polite = state_ == State::kReady || state_ == State::kCleaning || state_ == State::kTunnel;
  state_ = State::kClosed;
  deadline_.disarm();
  alive_.reset();
  if constexpr (requires { side_.closed(*this); }) side_.closed(*this);
  if (!channel_.stream().open()) return note_gone();
  if (polite) {
    std::string out;
    P::good_bye(out);
    channel_.send(std::string_view(out));
  }
  context_.loop.unwatch(channel_.stream().fd());
  if (known && proxy_.leased()) {
    target_.part(std::move(channel_.stream()), std::exchange(place_, ConnectionRecord::kNowhere));
  } else {
    channel_.stream().close();
    note_gone();
  }
}

template <class P>
void ServerConnection<P>::lose(std::string_view why, bool suspicious) {
  if (state_ == State::kClosed) return;
  if (state_ != State::kReady && state_ != State::kCleaning && state_ != State::kTunnel) {
    fail(config::HealthReason::kConnectionFailed, std::string(why));
    return;
  }
  log::info("pool", "server connection lost",
            {{"proxy", proxy_.name()}, {"target", target_.description().id}, {"user", key_->user}, {"why", why}});
  auto client = client_;
  client_ = nullptr;
  close();
  if (suspicious) target_.suspect(config::HealthReason::kConnectionFailed);
  if (client != nullptr) client->server_lost(*session_, why, last_words_);
  target_.lost(*this);
}

}  // namespace dbproxy::worker
