// ClientConnection from its first byte to its greeting.
#pragma once

#include "proxy/base/log_fields.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/database_word.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

inline constexpr std::size_t kMaxLoginBytes = 32 * 1024;
inline constexpr char kTlsHandshake = 22;  // the type of a TLS record; the length of no start-up packet begins with it

// A client of PostgreSQL 17 and later may begin TLS without asking. One byte, not yet taken, tells. True: the first
// bytes are not for read_login(), or not there yet.
template <class P>
bool ClientConnection<P>::begin_direct_tls() {
  char first = 0;
  auto io = channel_.stream().peek(first);
  if (io.status == net::IoStatus::kBlocked) return true;
  first_byte_seen_ = true;
  if (io.status != net::IoStatus::kOk || first != kTlsHandshake) return false;
  std::string nothing;
  if constexpr (P::kDirectTls) step_login(login_->direct_tls(), nothing);
  return true;
}

template <class P>
void ClientConnection<P>::read_login() {
  if (P::kDirectTls && !first_byte_seen_ && begin_direct_tls()) return;
  while (state_ == State::kLogin && channel_.readable()) {
    auto io = channel_.read(context_.scratch.data(), P::login_read_size(*login_, in_.size(), kReadSize));
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk || in_.size() + io.bytes > kMaxLoginBytes + kReadSize) {
      count_login(LoginResult::kNone);
      return close();
    }
    in_.append(context_.scratch.data(), io.bytes);
    while (state_ == State::kLogin) {
      std::string out;
      std::size_t consumed = 0;
      auto want = login_->feed(in_, consumed, out);
      in_.erase(0, consumed);
      step_login(want, out);
      if (want == Login::Want::kMore && consumed == 0) break;
    }
  }
}

template <class P>
void ClientConnection<P>::step_login(typename Login::Want want, std::string& out) {
  using Want = typename Login::Want;
  switch (want) {
    case Want::kMore:
      if (!out.empty() && !channel_.send(std::string_view(out))) close();
      return;
    case Want::kStartTls:
      // The certificate may have gone since the client came.
      if (!proxy_.listener_tls() || (!out.empty() && !channel_.send(std::string_view(out)))) return close();
      channel_.stream().start_tls(net::new_server_side(proxy_.listener_tls(), channel_.stream().fd()));
      state_ = State::kTls;
      context_.loop.defer(*this);
      return;
    case Want::kRefuse:
      count_login(login_->result());
      if (proxy_.may_log_refusal()) log_login(log::Level::kInfo, "log-in refused", {{"reason", login_->refusal()}});
      return finish(out);
    case Want::kVerify:
      return verify_token();
    case Want::kAuthenticated:
      count_login(login_->result());
      if (login_->result() == LoginResult::kSuccessPrevious && proxy_.may_log_refusal())
        log_login(log::Level::kInfo, "let in with the previous password of a rotation");
      if (!channel_.send(std::string_view(out))) return close();
      return authenticated();
    default:
      return side_.wants(*this, *login_, want);
  }
}

// For an engine whose server speaks first.
template <class P>
void ClientConnection<P>::refuse_deleted(std::string_view words) {
  count_login(LoginResult::kDeleted);
  finish(error(Trouble::kGoingAway, words, kDeletedHint));
}

// Who it is in the database's eyes, and who in the cluster's.
template <class P>
void ClientConnection<P>::log_login(log::Level level, std::string_view event, log::Fields more) const {
  if (!log::enabled(level)) return;
  std::vector<log::Field> fields{{"proxy", proxy_.name()}, {"client", peer_}, {"user", login_->user()}};
  if (const auto method = login_->method(); !method.empty()) fields.emplace_back("method", method);
  const ServiceOptions& options = context_.options;
  if (!options.server_label.empty()) fields.emplace_back("pod", options.server_label);
  if (!options.service_account.empty()) fields.emplace_back("service_account", options.service_account);
  fields.insert(fields.end(), more.begin(), more.end());
  log::write_all(level, "client", event, fields);
}

// AWS may have to be asked: on another thread, and for so many at a time.
template <class P>
void ClientConnection<P>::verify_token() {
  constexpr int kMost = 256;
  const auto& snapshot = proxy_.snapshot();
  const auto* user = snapshot.find_user(login_->user());
  std::string out;
  if (user == nullptr || context_.verifications >= kMost) {
    auto want = login_->verified(user == nullptr ? "the user is no longer configured" : "too many log in at once", out);
    return step_login(want, out);
  }
  std::string database;
  if constexpr (requires { login_->database(); }) database = login_->database();
  aws::ClientTokenSubject subject =
      token_subject(proxy_.snapshot_ptr(), endpoint_->endpoint, *user, std::move(database));
  verifying_ = std::make_shared<int>(0);
  ++context_.verifications;
  context_.verifying().run([this, &context = context_, alive = std::weak_ptr<int>(verifying_), token = login_->token(),
                            subject = std::move(subject)]() -> net::Offload::Done {
    auto who = context.client_tokens.verify(token, subject);
    return [this, &context, alive, who = std::move(who)] {
      --context.verifications;
      if (alive.expired() || state_ != State::kLogin) return;
      verifying_.reset();
      if (who.ok()) log_login(log::Level::kInfo, "let in by a token", {{"who", who.value}});
      std::string reply;
      auto want = login_->verified(who.ok() ? std::string() : aws::to_text(who.failure), reply);
      step_login(want, reply);
    };
  });
}

template <class P>
void ClientConnection<P>::authenticated() {
  key_ = side_.authenticated(proxy_, *login_);
  state_ = State::kGreeting;
  want_greeting();
}

// Nobody has logged in like this before: a server connection shows the greeting, and whether it works at all.
template <class P>
void ClientConnection<P>::want_greeting() {
  if (!key_->replication) {
    if (auto known = proxy_.side().greeting(side_, *key_, endpoint_->endpoint.role)) return greet(std::move(*known));
  }
  std::string error;
  go_to(proxy_.choose(*endpoint_, target_, error));
  if (target_ == nullptr) return finish(error);
  auto server = target_->acquire(*this, key_, error);
  if (!error.empty()) return finish(error);
  if (server != nullptr) attached(*server);
}

template <class P>
void ClientConnection<P>::greet_with(std::shared_ptr<const Key> other) {
  auto server = std::exchange(server_, nullptr);
  fresh_ = false;
  server->detach();
  key_ = std::move(other);
  want_greeting();
}

template <class P>
void ClientConnection<P>::greet(typename P::Greeting greeting) {
  std::string out;
  side_.greet(*this, *login_, std::move(greeting), session_, out);
  log_login(log::Level::kDebug, "logged in", {{"database", key_->database}, {"tls", tls()}});
  login_.reset();
  session_->keep_text = proxy_.debug_logging();
  state_ = State::kRunning;
  active_at_ = context_.loop.now();
  arm_running();
  if (!channel_.send(std::string_view(out))) return close();
  if constexpr (requires { side_.greeted(*this); }) side_.greeted(*this);
  context_.loop.defer(*this);
}

}  // namespace dbproxy::worker
