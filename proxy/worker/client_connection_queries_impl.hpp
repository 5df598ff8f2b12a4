// ClientConnection between log-in and end: what it asks, and the server connections that answer it.
#pragma once

#include <algorithm>

#include "proxy/base/log.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

inline constexpr std::size_t kMaxUnsent = 1024 * 1024;
inline constexpr std::size_t kKeptCapacity = 512;

template <class P>
bool changes_user(typename P::ClientVerdict verdict) {
  if constexpr (requires { P::changes_user(verdict); }) return P::changes_user(verdict);
  return false;
}

// Pins that are no news are logged for those who look closely.
template <class P>
void log_pins(std::uint32_t pins, std::string_view event, log::Fields fields) {
  bool passing = false;
  if constexpr (requires { P::kPassingPins; }) passing = (pins & ~P::kPassingPins) == 0;
  passing ? log::debug("session", event, fields) : log::info("session", event, fields);
}

template <class P>
void ClientConnection<P>::read_queries() {
  for (int turn = 0; state_ == State::kRunning; ++turn) {
    if (waiting()) {
      if (channel_.stream().peer_closed()) close();
      return;
    }
    if (server_ != nullptr && server_->has_unsent()) {
      // What it still sent before it left cannot be delivered now.
      if (channel_.stream().peer_closed()) close();
      return;
    }
    // It might hit what comes next instead of what it was meant for.
    if (server_ != nullptr && server_->cancelling() && server_->session().quiet()) {
      if (channel_.stream().peer_closed()) close();
      return;
    }
    if (channel_.unsent() > kMaxUnsent) return;
    bool go_on = true;
    if (!in_.empty()) {
      auto used = process({in_.data(), in_.size()}, go_on);
      in_.erase(0, used);
      // A short queue entry's memory is kept: under load it is needed for every query.
      if (in_.empty() && in_.capacity() > kKeptCapacity) std::string().swap(in_);
      if (!go_on || state_ != State::kRunning) return;
    }
    if (!channel_.readable()) return;
    if (turn >= kReadsPerTurn) {
      context_.loop.defer(*this);
      return;
    }
    auto io = channel_.read(context_.scratch.data(), kReadSize);
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) return close();
    active_at_ = context_.loop.now();
    proxy_.stats().client_received->add(io.bytes);
    typename P::Bytes bytes(context_.scratch.data(), io.bytes);
    if (!in_.empty()) {
      in_.append(bytes.data(), bytes.size());
      continue;
    }
    auto used = process(bytes, go_on);
    if (state_ == State::kClosed) return;
    if (used < bytes.size()) {
      in_.assign(bytes.data() + used, bytes.size() - used);
      if (go_on && session_->needed() > in_.size()) in_.reserve(std::min(session_->needed(), 4 * kReadSize));
    }
    if (!go_on) return;
    if (!in_.empty() && !channel_.readable()) return;
  }
}

template <class P>
std::size_t ClientConnection<P>::process(typename P::Bytes bytes, bool& go_on) {
  using Verdict = typename P::ClientVerdict;
  std::size_t used = 0;
  auto options = P::client_options(proxy_.snapshot(), side_);
  if (fresh_) {
    fresh_ = false;
    served_at_ = context_.loop.now();
    use(*server_);
  } else if (server_ != nullptr && server_->session().quiet()) {
    query_started_ = served_at_ = context_.loop.now();
  }
  auto verdict = Verdict::kMore;
  while (true) {
    std::size_t consumed = 0;
    auto server_session = server_ != nullptr ? &server_->session() : nullptr;
    if (server_ != nullptr) server_->side().describe(options);
    verdict = session_->feed(typename P::Bytes(bytes.data() + used, bytes.size() - used), consumed, server_session,
                             context_.to_server, context_.to_client, options);
    used += consumed;
    if (verdict != Verdict::kNeedServer) break;
    query_started_ = context_.loop.now();
    if (!acquire()) break;
    if (fresh_) {
      fresh_ = false;
      served_at_ = context_.loop.now();
      use(*server_);
    }
  }
  if (state_ != State::kRunning) {  // refused while asking for a server connection
    context_.to_client.clear();
    context_.to_server.clear();
    go_on = false;
    return used;
  }
  if (session_->pins() != pins_seen_) count_pins();
  if (auto answered = session_->take_answered_here(); answered > 0) {
    proxy_.stats().queries->add(answered);
    if (tls()) proxy_.stats().queries_tls->add(answered);
  }
  if (session_->keep_text && !session_->last_text.empty()) {
    log::info("query", session_->last_text,
              {{"proxy", proxy_.name()},
               {"client", peer_},
               {"user", key_->user},
               {"database", key_->database},
               {"server", server_ != nullptr ? server_->side().id() : 0},
               {"pinned", session_->pins() != 0}});
    session_->last_text.clear();
  }
  side_.processed(*this);
  bool alive = send(context_.to_client);
  if (server_ != nullptr) {
    proxy_.stats().server_sent->add(context_.to_server.size());
    server_->send(context_.to_server);
    work_began();
  }
  context_.to_server.clear();
  if (server_ == nullptr && (session_->begin_deferred() || idle_since_ != TimePoint{})) watch_deferred();
  go_on = verdict == Verdict::kMore;
  if (!alive || verdict == Verdict::kTerminate) {
    close(alive);
  } else if (changes_user<P>(verdict)) {
    change_user();
  } else if (P::is_not_served(verdict)) {
    finish(error(Trouble::kNotServed, P::kNotServed));
  } else if (verdict == Verdict::kRefuse) {
    log::info("client", "refused a message", {{"proxy", proxy_.name()}, {"client", peer_}, {"user", key_->user}});
    finish(std::string(session_->error()));
  } else if (server_ != nullptr && server_->session().quiet()) {
    server_ready();
  } else if (retire_between_ && server_ == nullptr && !waiting() && !session_->rejecting()) {
    finish(retire_error_);  // what it waited for has been refused
  }
  return used;
}

// It logs in once more, on the same connection: what it had goes as if it had left, and its pins with it.
template <class P>
void ClientConnection<P>::change_user() {
  if constexpr (requires(std::string out, typename Login::Want want) { side_.change_user(*this, want, out); }) {
    std::string out;
    auto want = Login::Want::kMore;
    login_ = side_.change_user(*this, want, out);
    leave_server(true);
    for (int i = 0; i < P::kPinReasonCount; ++i) {
      if ((pins_seen_ >> i) & 1) proxy_.stats().unpins[static_cast<std::size_t>(i)]->add();
    }
    pins_seen_ = 0;
    forget_limits();
    session_.reset();
    go_to(nullptr);  // whoever it is now may go elsewhere
    state_ = State::kLogin;
    context_.loop.arm(timer_, kLoginTimeout);
    step_login(want, out);
  }
}

// True: go on with feed(), with a server connection or with a rejection.
template <class P>
bool ClientConnection<P>::acquire() {
  std::string error;
  go_to(proxy_.choose(*endpoint_, target_, error));
  if (target_ == nullptr) {  // there may be one for its next transaction
    session_->reject(error);
    return true;
  }
  ServerConnection<P>* server = target_->acquire(*this, key_, error);
  if (!error.empty()) {
    finish(error);
    return false;
  }
  if (server != nullptr) {
    proxy_.stats().borrows->add();
    told_waiting_ = false;
    server_ = server;
    server->attach(*this);
    fresh_ = true;
    return true;
  }
  // A time-out of 0: only a connection that is being opened for this client is waited for.
  const bool at_once = proxy_.snapshot().pool.borrow_timeout.count() == 0 && !proxy_.paused();
  if (at_once && target_->pool().limits().max_connections >= target_->own_limit() &&
      key->connecting_count < key->waiting_count) {
    target_->cancel(*this);
    proxy_.stats().borrow_timeouts->add();
    session_->reject(proxy_.borrow_timeout_error(*target_));
    return true;
  }
  return false;
}

template <class P>
void ClientConnection<P>::go_to(Target<P>* target) {
  moving_on_ = false;
  if (target == target_) return;
  if (target_ != nullptr) target_->client_left();
  target_ = target;
  if (target_ != nullptr) target_->client_came();
}

template <class P>
void ClientConnection<P>::use(ServerConnection<P>& server) {
  idle_since_ = {};
  own_idle_limit_ = {};
  session_->attached(server.session(), context_.to_server, context_.to_client);
  const bool replayed = !server.session().quiet();
  if (replayed) proxy_.stats().settings_replayed->add();
  if (!session_->keep_text) return;
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(context_.loop.now() - query_started_);
  log::info("query", "server connection taken",
            {{"proxy", proxy_.name()},
             {"client", peer_},
             {"target", target_->description().id},
             {"server", server.side().id()},
             {"waited_ms", waited.count()},
             {"settings_replayed", replayed}});
}

template <class P>
void ClientConnection<P>::attached(ServerConnection<P>& server) {
  proxy_.stats().borrows->add();
  told_waiting_ = false;
  server_ = &server;
  server.attach(*this);
  fresh_ = true;
  context_.loop.defer(*this);
}

template <class P>
void ClientConnection<P>::refused(std::string error) {
  finish(error);
}

template <class P>
void ClientConnection<P>::borrow_timed_out(const std::string& error) {
  proxy_.stats().borrow_timeouts->add();
  target_->cancel(*this);
  told_waiting_ = false;
  if (state_ == State::kGreeting) return finish(error);
  session_->reject(error);
  context_.loop.defer(*this);
}

template <class P>
void ClientConnection<P>::forget_target() {
  bool was_waiting = waiting();
  if (was_waiting) target_->cancel(*this);
  go_to(nullptr);
  if (!was_waiting) return;
  if (state_ == State::kGreeting) return want_greeting();
  context_.loop.defer(*this);
}

template <class P>
void ClientConnection<P>::server_ready() {
  if (state_ == State::kGreeting) return context_.loop.defer(*this);
  if (fresh_ || state_ != State::kRunning) return;
  if (session_->pins() != pins_seen_) count_pins();
  active_at_ = context_.loop.now();
  if (!server_->cancelling()) {
    if (session_->can_release(server_->session())) {
      release_server();
    } else {
      server_->side().kept(*server_);
    }
  }
  if (state_ != State::kClosed && (!in_.empty() || channel_.readable())) context_.loop.defer(*this);
}

template <class P>
void ClientConnection<P>::release_server() {
  auto server = server_;
  if (session_->keep_text) {
    log::info("query", "server connection given back",
              {{"proxy", proxy_.name()}, {"client", peer_}, {"server", server->side().id()}});
  }
  session_->detaching(server->session());
  side_.releasing(*this, *server);
  server_ = nullptr;
  forget_limits();
  if (moving_on_) go_to(nullptr);
  server->detach();
  if (retire_between_) finish(retire_error_);
}

template <class P>
void ClientConnection<P>::server_lost(typename P::ServerSession& server, std::string_view why,
                                      std::string_view last_words) {
  server_ = nullptr;
  forget_limits();
  if (state_ == State::kTunnel) {
    // Words in the middle of a message would be taken for a part of it; and the server may have said its own.
    if (!answers_.between() || P::is_error(answers_)) return finish({});
  } else if (fresh_) {  // nothing of this client was on it: another will do
    fresh_ = false;
    if (state_ == State::kGreeting) return want_greeting();
    context_.loop.defer(*this);
    return;
  } else if (state_ == State::kRunning && session_->server_lost(server, why, last_words, context_.to_client)) {
    proxy_.stats().clients_kept->add();
    const bool alive = send(context_.to_client);
    context_.to_client.clear();
    if (!alive) return close();
    if (retire_between_ && !session_->rejecting() && !session_->begin_deferred()) return finish(retire_error_);
    context_.loop.defer(*this);
    return;
  }
  context_.to_client.clear();
  if (!last_words.empty()) return finish(std::string(last_words));
  finish(error(Trouble::kServerLost, "the connection to the database was lost: " + std::string(why)));
}

template <class P>
void ClientConnection<P>::settings_refused(const std::string& error) {
  server_ = nullptr;
  finish(error);
}

template <class P>
void ClientConnection<P>::count_pins() {
  auto pins = session_->pins();
  auto added = pins & ~pins_seen_;
  auto ended = pins_seen_ & ~pins;
  for (int i = 0; i < P::kPinReasonCount; ++i) {
    if ((added >> i) & 1) proxy_.stats().pins[static_cast<std::size_t>(i)]->add();
    if ((ended >> i) & 1) proxy_.stats().unpins[static_cast<std::size_t>(i)]->add();
  }
  auto now = context_.loop.now();
  if (pins_seen_ == 0) {
    pinned_since_ = now;
    log_pins<P>(pins, "pinned",
                {{"proxy", proxy_.name()},
                 {"client", peer_},
                 {"user", key_->user},
                 {"reasons", P::pin_names(pins)},
                 {"statement", session_->pin_statement()}});
  } else if (pins == 0) {
    log_pins<P>(ended, "unpinned",
                {{"proxy", proxy_.name()},
                 {"client", peer_},
                 {"user", key_->user},
                 {"reasons", P::pin_names(ended)},
                 {"pinned_ms", std::chrono::duration_cast<std::chrono::milliseconds>(now - pinned_since_).count()}});
  }
  pins_seen_ = pins;
}

}  // namespace dbproxy::worker
