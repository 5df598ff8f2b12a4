#include "proxy/worker/client_connection.hpp"

#include <algorithm>
#include <cstring>

#include "proxy/base/log.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

namespace postgres = session::postgres;

namespace {

constexpr Duration kLoginTimeout = std::chrono::seconds(60);  // PostgreSQL's authentication_timeout
constexpr Duration kLingerTimeout = std::chrono::seconds(1);
constexpr std::size_t kMaxLoginBytes = 32 * 1024;
constexpr std::size_t kMaxUnsent = 1024 * 1024;
constexpr std::size_t kKeptCapacity = 512;
constexpr int kReadsPerTurn = 8;

std::string error_message(std::string_view severity, std::string_view sqlstate, std::string_view message) {
  std::string out;
  wire::postgres::error_response(out, {.severity = severity, .sqlstate = sqlstate, .message = message});
  return out;
}

// As the server would report it: at most 63 bytes, nothing but printable ASCII.
std::string clean_application_name(std::string_view name) {
  std::string out(name.substr(0, 63));
  for (char& c : out) {
    if (c < 32 || c > 126) c = '?';
  }
  return out;
}

}  // namespace

ClientConnection::ClientConnection(ProxyRuntime& proxy, std::shared_ptr<EndpointRuntime> endpoint, Context& context,
                                   int fd, bool unix_socket)
    : proxy_(proxy),
      endpoint_(std::move(endpoint)),
      context_(context),
      unix_socket_(unix_socket),
      channel_(fd),
      peer_(net::peer_name(fd)),
      login_(std::make_unique<postgres::ClientLogin>(proxy.login_policy(unix_socket))),
      accepted_at_(context.loop.now()),
      active_at_(accepted_at_),
      timer_([this] { on_timer(); }) {}

ClientConnection::~ClientConnection() = default;

void ClientConnection::start() {
  context_.loop.arm(timer_, kLoginTimeout);
  context_.loop.watch(channel_.stream().fd(), *this);
}

void ClientConnection::on_event(std::uint32_t events) {
  if (state_ == State::kClosed) return;
  channel_.stream().note(events);
  pump();
}

void ClientConnection::pump() {
  switch (state_) {
    case State::kTls: {
      auto io = channel_.stream().handshake();
      if (io.status == net::IoStatus::kBlocked) return;
      if (io.status != net::IoStatus::kOk) {
        proxy_.stats().logins[static_cast<std::size_t>(postgres::LoginResult::kProtocol)]->add();
        log::info("client", "TLS handshake failed",
                  {{"proxy", proxy_.name()}, {"client", peer_}, {"error", net::tls_failure(channel_.stream().ssl())}});
        return close();
      }
      login_->tls_established();
      state_ = State::kLogin;
      return read_login();
    }
    case State::kLogin:
      return read_login();
    case State::kGreeting:
      if (server_ != nullptr) {
        auto server = server_;
        server_ = nullptr;
        fresh_ = false;
        auto settings = server->session().settings();
        server->detach();
        return greet(std::move(settings));
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

void ClientConnection::read_login() {
  while (state_ == State::kLogin && channel_.stream().readable()) {
    auto io = channel_.stream().read(context_.scratch.data(), kReadSize);
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk || in_.size() + io.bytes > kMaxLoginBytes + kReadSize) {
      proxy_.stats().logins[static_cast<std::size_t>(postgres::LoginResult::kNone)]->add();
      return close();
    }
    in_.append(context_.scratch.data(), io.bytes);
    while (state_ == State::kLogin) {
      std::string out;
      std::size_t consumed = 0;
      auto want = login_->feed(in_, consumed, out);
      in_.erase(0, consumed);
      step_login(want, out);
      if (want == postgres::ClientLogin::Want::kMore && consumed == 0) break;
    }
  }
}

void ClientConnection::step_login(postgres::ClientLogin::Want want, std::string& out) {
  using Want = postgres::ClientLogin::Want;
  switch (want) {
    case Want::kMore:
      if (!out.empty() && !channel_.send(std::string_view(out))) close();
      return;
    case Want::kStartTls:
      // The certificate may have gone since the client came.
      if (!proxy_.listener_tls() || !channel_.send(std::string_view(out))) return close();
      channel_.stream().start_tls(net::new_server_side(proxy_.listener_tls(), channel_.stream().fd()));
      state_ = State::kTls;
      context_.loop.defer(*this);
      return;
    case Want::kCancel:
      proxy_.cancel_request(login_->cancel_process_id(), login_->cancel_key());
      return close();
    case Want::kRefuse:
      proxy_.stats().logins[static_cast<std::size_t>(login_->result())]->add();
      if (proxy_.may_log_refusal())
        log::info(
            "client", "log-in refused",
            {{"proxy", proxy_.name()}, {"client", peer_}, {"user", login_->user()}, {"reason", login_->refusal()}});
      return finish(out);
    case Want::kAuthenticated:
      proxy_.stats().logins[static_cast<std::size_t>(postgres::LoginResult::kSuccess)]->add();
      if (!channel_.send(std::string_view(out))) return close();
      return authenticated();
  }
}

void ClientConnection::authenticated() {
  wire::postgres::Parameters parameters = login_->parameters();
  application_name_ = context_.options.default_application_name;
  std::erase_if(parameters, [this](const auto& item) {
    if (item.first != "application_name") return false;
    application_name_ = item.second;
    return true;
  });
  application_name_ = clean_application_name(application_name_);
  key_ = proxy_.pool_key(login_->user(), login_->database(), std::move(parameters));
  login_.reset();
  state_ = State::kGreeting;
  if (auto known = proxy_.greeting(*key_, endpoint_->endpoint.role)) return greet(std::move(known));
  want_greeting();
}

// Nobody has logged in like this before: a server connection shows the greeting, and whether it works at all.
void ClientConnection::want_greeting() {
  std::string error;
  target_ = proxy_.choose(*endpoint_, target_, error);
  if (target_ == nullptr) return finish(error);
  auto server = target_->acquire(*this, key_, error);
  if (!error.empty()) return finish(error);
  if (server != nullptr) attached(*server);
}

void ClientConnection::greet(postgres::SettingsPtr settings) {
  settings = context_.settings.with(settings, "application_name", application_name_);
  session_.emplace(context_.statements, settings);
  session_->keep_text = proxy_.debug_logging();
  // With such a search_path every CREATE TABLE makes a temporary one, which no statement's text shows.
  if (key_->text.find("pg_temp") != std::string::npos) {
    session_->pin(postgres::bit(postgres::PinReason::kTemporaryObject));
  }
  process_id_ = context_.new_process_id(*this);
  std::uint8_t key[4];
  context_.random(key);
  std::memcpy(cancel_key_, key, sizeof key);
  std::string out;
  for (const auto& [name, value] : settings->values()) wire::postgres::parameter_status(out, name, value);
  wire::postgres::backend_key_data(out, process_id_, std::string_view(cancel_key_, sizeof cancel_key_));
  wire::postgres::ready_for_query(out, 'I');
  state_ = State::kRunning;
  active_at_ = context_.loop.now();
  arm_running();
  log::debug("client", "logged in",
             {{"proxy", proxy_.name()},
              {"client", peer_},
              {"user", key_->user},
              {"database", key_->database},
              {"tls", tls()}});
  if (!channel_.send(std::string_view(out))) return close();
  context_.loop.defer(*this);
}

void ClientConnection::read_queries() {
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
    if (channel_.unsent() > kMaxUnsent) return;
    bool go_on = true;
    if (!in_.empty()) {
      auto used = process(in_, go_on);
      in_.erase(0, used);
      // A short queue entry's memory is kept: under load it is needed for every query.
      if (in_.empty() && in_.capacity() > kKeptCapacity) std::string().swap(in_);
      if (!go_on || state_ != State::kRunning) return;
    }
    if (!channel_.stream().readable()) return;
    if (turn >= kReadsPerTurn) {
      context_.loop.defer(*this);
      return;
    }
    auto io = channel_.stream().read(context_.scratch.data(), kReadSize);
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) return close();
    active_at_ = context_.loop.now();
    proxy_.stats().client_received->add(io.bytes);
    std::string_view bytes(context_.scratch.data(), io.bytes);
    if (!in_.empty()) {
      in_.append(bytes);
      continue;
    }
    auto used = process(bytes, go_on);
    if (state_ == State::kClosed) return;
    if (used < bytes.size()) {
      in_.assign(bytes.substr(used));
      if (go_on && session_->needed() > in_.size()) in_.reserve(std::min(session_->needed(), 4 * kReadSize));
    }
    if (!go_on) return;
    if (!in_.empty() && !channel_.stream().readable()) return;
  }
}

std::size_t ClientConnection::process(std::string_view bytes, bool& go_on) {
  std::size_t used = 0;
  auto options = proxy_.client_options();
  if (fresh_) {
    fresh_ = false;
    query_started_ = context_.loop.now();
    use(*server_);
  } else if (server_ != nullptr && server_->session().quiet()) {
    query_started_ = context_.loop.now();
  }
  auto verdict = postgres::ClientVerdict::kMore;
  while (true) {
    std::size_t consumed = 0;
    auto server_session = server_ != nullptr ? &server_->session() : nullptr;
    if (server_ != nullptr) server_->catalog().describe(options.classify);
    verdict =
        session_->feed(bytes.substr(used), consumed, server_session, context_.to_server, context_.to_client, options);
    used += consumed;
    if (verdict != postgres::ClientVerdict::kNeedServer) break;
    query_started_ = context_.loop.now();
    if (!acquire()) break;
    if (fresh_) {
      fresh_ = false;
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
  if (session_->keep_text && !session_->last_text.empty()) {
    log::info("query", session_->last_text,
              {{"proxy", proxy_.name()},
               {"client", peer_},
               {"user", key_->user},
               {"database", key_->database},
               {"server", server_ != nullptr ? server_->process_id() : 0},
               {"pinned", session_->pins() != 0}});
    session_->last_text.clear();
  }
  bool alive = send(context_.to_client);
  if (server_ != nullptr) {
    proxy_.stats().server_sent->add(context_.to_server.size());
    server_->send(context_.to_server);
  }
  context_.to_server.clear();
  go_on = verdict == postgres::ClientVerdict::kMore;
  if (!alive || verdict == postgres::ClientVerdict::kTerminate) {
    close(alive);
  } else if (verdict == postgres::ClientVerdict::kRefuse) {
    log::info("client", "refused a message", {{"proxy", proxy_.name()}, {"client", peer_}, {"user", key_->user}});
    finish(std::string(session_->error()));
  } else if (server_ != nullptr && server_->session().quiet()) {
    server_ready();
  } else if (retire_between_ && server_ == nullptr && !waiting() && !session_->rejecting()) {
    finish(retire_error_);  // what it waited for has been refused
  }
  return used;
}

// True: go on with feed(), with a server connection or with a rejection.
bool ClientConnection::acquire() {
  std::string error;
  target_ = proxy_.choose(*endpoint_, target_, error);
  ServerConnection* server = nullptr;
  if (target_ != nullptr) server = target_->acquire(*this, key_, error);
  if (!error.empty()) {
    finish(error);
    return false;
  }
  if (server != nullptr) {
    proxy_.stats().borrows->add();
    server_ = server;
    server->attach(*this);
    fresh_ = true;
    return true;
  }
  // A time-out of 0: only a connection that is being opened for this client is waited for.
  if (proxy_.snapshot().pool.borrow_timeout.count() == 0 && key->connecting_count < key->waiting_count) {
    target_->cancel(*this);
    proxy_.stats().borrow_timeouts->add();
    session_->reject(proxy_.borrow_timeout_error(*target_));
    return true;
  }
  return false;
}

void ClientConnection::use(ServerConnection& server) {
  session_->attached(server.session(), context_.to_server, context_.to_client);
  if (!server.session().quiet()) proxy_.stats().settings_replayed->add();
}

void ClientConnection::attached(ServerConnection& server) {
  proxy_.stats().borrows->add();
  server_ = &server;
  server.attach(*this);
  fresh_ = true;
  context_.loop.defer(*this);
}

void ClientConnection::refused(std::string error) {
  finish(error);
}

void ClientConnection::borrow_timed_out(const std::string& error) {
  proxy_.stats().borrow_timeouts->add();
  target_->cancel(*this);
  if (state_ == State::kGreeting) return finish(error);
  session_->reject(error);
  context_.loop.defer(*this);
}

void ClientConnection::forget_target() {
  bool was_waiting = waiting();
  if (was_waiting) target_->cancel(*this);
  target_ = nullptr;
  if (!was_waiting) return;
  if (state_ == State::kGreeting) return want_greeting();
  context_.loop.defer(*this);
}

void ClientConnection::server_ready() {
  if (fresh_ || state_ != State::kRunning) return;
  if (session_->pins() != pins_seen_) count_pins();
  active_at_ = context_.loop.now();
  if (!server_->cancelling() && session_->can_release(server_->session())) release_server();
  if (state_ != State::kClosed && (!in_.empty() || channel_.stream().readable())) context_.loop.defer(*this);
}

void ClientConnection::release_server() {
  auto server = server_;
  session_->detaching(server->session());
  // RESET has brought the connection's own start value, which is empty, not this client's.
  auto name = session_->settings()->find("application_name");
  if (server->was_reset() && name != nullptr && name->empty()) {
    session_->restore(context_.settings, "application_name", application_name_, context_.to_client);
    channel_.send(context_.to_client);
  }
  server_ = nullptr;
  server->detach();
  if (retire_between_) finish(retire_error_);
}

void ClientConnection::server_lost(std::string_view why, bool forwarded) {
  server_ = nullptr;
  if (fresh_) {  // nothing of this client was on it: another will do
    fresh_ = false;
    if (state_ == State::kGreeting) return want_greeting();
    context_.loop.defer(*this);
    return;
  }
  if (forwarded) return finish({});
  finish(error_message("FATAL", "08006", "the connection to the database was lost: " + std::string(why)));
}

void ClientConnection::count_pins() {
  auto pins = session_->pins();
  auto added = pins & ~pins_seen_;
  for (int i = 0; i < postgres::kPinReasonCount; ++i) {
    if ((added >> i) & 1) proxy_.stats().pins[static_cast<std::size_t>(i)]->add();
  }
  if (pins_seen_ == 0) {
    pinned_since_ = context_.loop.now();
    log::info(
        "session", "pinned",
        {{"proxy", proxy_.name()}, {"client", peer_}, {"user", key_->user}, {"statement", session_->pin_statement()}});
  }
  pins_seen_ = pins;
}

bool ClientConnection::send(session::Output& output) {
  if (output.empty()) return true;
  proxy_.stats().client_sent->add(output.size());
  return channel_.send(output);
}

void ClientConnection::cancel() {
  if (waiting()) {
    target_->cancel(*this);
    if (state_ != State::kRunning) return close();
    session_->reject(error_message("ERROR", "57014", "canceling statement due to user request"));
    context_.loop.defer(*this);
  } else if (server_ != nullptr && !server_->session().quiet()) {
    server_->cancel();
  }
}

void ClientConnection::retire(std::string_view sqlstate, std::string_view message) {
  if (state_ == State::kClosed || state_ == State::kClosing) return;
  auto error = error_message("FATAL", sqlstate, message);
  bool busy = server_ != nullptr || waiting();
  if (state_ == State::kRunning && busy) {
    retire_between_ = true;
    retire_error_ = std::move(error);
    return;
  }
  finish(error);
}

void ClientConnection::arm_running() {
  const auto& snapshot = proxy_.snapshot();
  auto now = context_.loop.now();
  Duration wait = active_at_ + Duration(snapshot.idle_client_timeout) - now;
  if (snapshot.max_client_age.count() > 0 && !retire_between_) {
    wait = std::min<Duration>(wait, accepted_at_ + Duration(snapshot.max_client_age) - now);
  }
  context_.loop.arm(timer_, std::max<Duration>(wait, std::chrono::milliseconds(10)));
}

void ClientConnection::on_timer() {
  if (state_ == State::kClosing) return close();
  if (state_ == State::kTls || state_ == State::kLogin) {
    proxy_.stats().logins[static_cast<std::size_t>(postgres::LoginResult::kNone)]->add();
    return finish(error_message("FATAL", "08P01", "canceling authentication due to timeout"));
  }
  if (state_ != State::kRunning) return;
  const auto& snapshot = proxy_.snapshot();
  auto now = context_.loop.now();
  bool working = waiting() || (server_ != nullptr && !server_->session().quiet());
  if (!working && now - active_at_ >= snapshot.idle_client_timeout) {
    return finish(error_message("FATAL", "57P05", "terminating connection due to idle-session timeout"));
  }
  if (working) active_at_ = now;
  if (snapshot.max_client_age.count() > 0 && now - accepted_at_ >= snapshot.max_client_age) {
    retire("57P01", "terminating connection: it has reached its maximum age");
    if (state_ != State::kRunning) return;
  }
  arm_running();
}

// Sends the last words, lets the client read them, then closes.
void ClientConnection::finish(std::string_view error) {
  if (state_ == State::kClosed || state_ == State::kClosing) return;
  if (waiting()) target_->cancel(*this);
  bool sent = error.empty() || channel_.send(error);
  state_ = State::kClosing;
  leave_server(false);
  if (!sent) return close();
  context_.loop.arm(timer_, kLingerTimeout);
  context_.loop.defer(*this);
}

void ClientConnection::leave_server(bool said_goodbye) {
  if (server_ == nullptr) return;
  auto server = server_;
  server_ = nullptr;
  fresh_ = false;
  auto leaving = said_goodbye ? Leaving::kSaidGoodbye : Leaving::kVanished;
  if (session_ && session_->in_mid_message()) leaving = Leaving::kInMidMessage;
  server->orphan(session_ ? session_->pins() : 0, leaving);
}

void ClientConnection::close(bool said_goodbye) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  timer_.disarm();
  if (waiting()) target_->cancel(*this);
  leave_server(said_goodbye);
  if (process_id_ != 0) context_.clients_by_id.erase(process_id_);
  context_.loop.unwatch(channel_.stream().fd());
  channel_.stream().close();
  proxy_.client_gone(*this);
}

}  // namespace dbproxy::worker
