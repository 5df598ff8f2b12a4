// ServerConnection until its pool may have it: connect, TLS, log-in, and what its engine prepares.
#pragma once

#include <cstring>

#include "proxy/base/log.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

inline constexpr Duration kConnectTimeout = std::chrono::seconds(15);

template <class P>
void ServerConnection<P>::connect() {
  context_.loop.arm(deadline_, kConnectTimeout);
  if (!uses_token()) return look_up();
  sign_token([this](aws::Outcome<Secret> token) {
    if (state_ != State::kResolving) return;
    if (token.ok()) {
      token_ = std::move(token.value);
      return look_up();
    }
    using Kind = aws::Failure::Kind;
    const auto kind = token.failure.kind;
    const bool passing = kind == Kind::kUnreachable || kind == Kind::kThrottled;
    fail(config::HealthReason::kAuthFailure, "no token can be made for the database: " + aws::to_text(token.failure),
         passing ? std::string()
                 : P::error(Trouble::kNoCredentials, "there are no credentials to log in to the database with",
                            "The sidecar signs a token of AWS IAM for each connection, and cannot: its log says why."));
  });
}

template <class P>
bool ServerConnection<P>::uses_token() const {
  const auto* user = proxy_.snapshot().find_user(key_->user);
  return user != nullptr && user->auth_scheme == config::AuthScheme::kIam;
}

template <class P>
aws::TokenSubject ServerConnection<P>::token_subject() const {
  const auto& aws = proxy_.snapshot().aws;
  const auto& to = target_.description();
  return {to.host, to.port, key_->user, aws.region, aws.role_arn, aws.sts_url};
}

template <class P>
void ServerConnection<P>::sign_token(std::function<void(aws::Outcome<Secret>)> then) {
  // Whoever has such a token is the user, for a quarter of an hour.
  const auto& tls = proxy_.snapshot().server_tls;
  const auto why_not = config::clear_text_refusal(tls.mode, tls.ca_owner, config::ClearText::kToken);
  if (!why_not.empty()) proxy_.stats().clear_text_refused->add();
  context_.signing().run([&tokens = context_.tokens, subject = token_subject(), why_not, alive = alive(),
                          then = std::move(then)]() -> net::Offload::Done {
    auto made = why_not.empty() ? tokens.make(subject)
                                : aws::Outcome<Secret>(aws::Failure{aws::Failure::Kind::kRefused,
                                                                    "a token is sent " + std::string(why_not), ""});
    return [alive, then, made = std::move(made)]() mutable {
      if (!alive.expired()) then(std::move(made));
    };
  });
}

template <class P>
void ServerConnection<P>::look_up() {
  const auto& to = target_.description();
  if (!to.host.empty() && to.host[0] == '/') {
    auto address = net::unix_address(to.host + P::unix_socket_name(to.port));
    if (address) addresses_.push_back(*address);
  } else if (auto address = net::numeric_address(to.host, to.port)) {
    addresses_.push_back(*address);
  }
  if (!addresses_.empty()) {
    // Not from here: whoever asks for a connection must not be called back before it is done asking.
    context_.loop.defer(*this);
    return;
  }
  context_.resolver.look_up(
      to.host, to.port, [this, alive = alive()](const std::vector<net::Address>& found, const std::string& error) {
        if (alive.expired() || state_ != State::kResolving) return;
        if (found.empty()) {
          fail(config::HealthReason::kUnreachable, "cannot resolve " + target_.description().host + ": " + error);
        } else {
          start_on(found);
        }
      });
}

template <class P>
void ServerConnection<P>::start_on(std::vector<net::Address> addresses) {
  if (next_address_ == 0) {
    std::string why;
    addresses = proxy_.address_policy().admit(target_.description().host, std::move(addresses), why);
    if (addresses.empty() && !why.empty()) {
      proxy_.stats().endpoints_refused->add();
      fail(config::HealthReason::kEndpointRefused, why,
           P::error(Trouble::kEndpointRefused, "cannot connect to the database: " + why));
      return;
    }
  }
  addresses_ = std::move(addresses);
  int error = EADDRNOTAVAIL;
  while (next_address_ < addresses_.size()) {
    address_ = addresses_[next_address_++];
    if (!note_opening()) {
      fail(config::HealthReason::kConnectionFailed, "it cannot be put into the list of connections for a successor");
      return;
    }
    int fd = net::begin_connect(address_);
    if (fd < 0) {
      error = errno;
      note_gone();
      continue;
    }
    channel_.stream() = net::Stream(fd);
    state_ = State::kConnecting;
    context_.loop.watch(fd, *this);
    return;
  }
  fail(config::HealthReason::kUnreachable, std::string("cannot connect: ") + std::strerror(error));
}

// Before there is a connection: a successor is to know of it, whenever this process ends.
template <class P>
bool ServerConnection<P>::note_opening() {
  auto* record = proxy_.record();
  if (record == nullptr) return true;
  place_ = record->add({.target = target_.description().id, .user = key_->user, .address = address_});
  return place_ != ConnectionRecord::kNowhere;
}

template <class P>
void ServerConnection<P>::note_logged_in() {
  auto* record = proxy_.record();
  if (record == nullptr) return;
  RecordedConnection now{.target = target_.description().id,
                         .user = key_->user,
                         .id = side_.id(),
                         .port = net::local_port(channel_.stream().fd()),
                         .address = address_};
  if constexpr (requires { side_.cancel_key(); }) now.cancel_key = side_.cancel_key();
  record->update(place_, now);
}

template <class P>
void ServerConnection<P>::note_gone() {
  if (auto* record = proxy_.record()) record->gone(std::exchange(place_, ConnectionRecord::kNowhere));
}

template <class P>
void ServerConnection<P>::connected() {
  if (int error = net::connect_result(channel_.stream().fd()); error != 0) {
    context_.loop.unwatch(channel_.stream().fd());
    channel_.stream().close();
    note_gone();
    if (next_address_ < addresses_.size()) {
      start_on(std::move(addresses_));
      return;
    }
    fail(config::HealthReason::kUnreachable, std::string("cannot connect: ") + std::strerror(error));
    return;
  }
  auto user = proxy_.snapshot().find_user(key_->user);
  if (user == nullptr) return side_.user_removed(*this);
  previous_ = !user->previous_password.empty() && target_.takes_previous_password(user->name);
  state_ = State::kLogin;
  login_ = side_.new_login(*this, *user, token_, address_.storage.ss_family == AF_UNIX);
  std::string out;
  auto want = login_->start(out);
  step_login(want, out);
}

template <class P>
void ServerConnection<P>::step_login(typename P::ServerWant want, std::string& out) {
  using Want = typename P::ServerWant;
  if (!out.empty() && !channel_.send(std::string_view(out))) {
    fail(config::HealthReason::kConnectionFailed, "the server closed the connection during log-in");
    return;
  }
  switch (want) {
    case Want::kRead:
      read_login();
      return;
    case Want::kStartTls: {
      if (!proxy_.server_tls()) {
        fail(config::HealthReason::kConnectionFailed, "TLS is asked for, but there is no usable CA");
        return;
      }
      const auto& tls = proxy_.snapshot().server_tls;
      channel_.stream().start_tls(
          net::new_client_side(proxy_.server_tls(), channel_.stream().fd(), tls.mode, target_.description().host));
      state_ = State::kTls;
      pump();
      return;
    }
    case Want::kDone:
      side_.logged_in(*this, *login_, session_);
      note_logged_in();
      login_.reset();
      token_ = {};
      state_ = State::kInit;
      initialise();
      return;
    case Want::kFailed: {
      const auto& failure = login_->failure();
      auto reason =
          failure.is_auth_failure() ? config::HealthReason::kAuthFailure : config::HealthReason::kConnectionFailed;
      auto error = P::login_error(failure, *key_, !token_.empty());
      if (failure.kind == decltype(failure.kind)::kClearText) proxy_.stats().clear_text_refused->add();
      // The credentials may be those of a role that is not what it was.
      if (!token_.empty() && failure.is_auth_failure()) {
        context_.signing().run([&tokens = context_.tokens, subject = token_subject()]() -> net::Offload::Done {
          tokens.refused(subject);
          return [] {};
        });
      }
      if (!error.empty() && (key_->replication || !failure.is_auth_failure())) reason = config::HealthReason::kNone;
      fail(reason, failure.message, std::move(error));
      return;
    }
    default:
      return side_.wants(*this, *login_, want);
  }
}

template <class P>
void ServerConnection<P>::read_login() {
  while (state_ == State::kLogin && channel_.stream().readable()) {
    auto io = channel_.stream().read(context_.scratch.data(), side_.login_read_size(kReadSize));
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) {
      fail(config::HealthReason::kConnectionFailed, "the server closed the connection during log-in");
      return;
    }
    in_.append(context_.scratch.data(), io.bytes);
    std::string out;
    std::size_t consumed = 0;
    auto want = login_->feed(in_, consumed, out);
    in_.erase(0, consumed);
    if (want == P::ServerWant::kRead) {
      if (!out.empty() && !channel_.send(std::string_view(out))) {
        fail(config::HealthReason::kConnectionFailed, "the server closed the connection during log-in");
        return;
      }
      continue;
    }
    step_login(want, out);
    return;
  }
}

// Steps that the engine's side takes one after the other; the last of them makes the connection ready.
template <class P>
void ServerConnection<P>::initialise() {
  switch (side_.initialise(*this)) {
    case Step::kSent:
      if (!channel_.send(context_.to_server)) {
        return fail(config::HealthReason::kConnectionFailed, "the server closed the connection before it was ready");
      }
      read_ready();
      return;
    case Step::kDone:
      break;
    default:
      return;
  }
  deadline_.disarm();
  state_ = State::kReady;
  side_.is_ready(*this);
  log::debug("pool", "server connection opened",
             {{"proxy", proxy_.name()},
              {"target", target_.description().id},
              {"user", key_->user},
              {"database", key_->database}});
  target_.opened(*this);
}

template <class P>
void ServerConnection<P>::fail(config::HealthReason reason, std::string words, std::string error) {
  if (state_ == State::kClosed) return;
  log::warn("pool", "cannot open a server connection",
            {{"proxy", proxy_.name()},
             {"target", target_.description().id},
             {"user", key_->user},
             {"database", key_->database},
             {"reason", config::to_string(reason)},
             {"error", words}});
  close();
  target_.open_failed(*this, reason, std::move(error));
}

}  // namespace dbproxy::worker
