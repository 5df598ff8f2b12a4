// ServerConnection until its pool may have it: connect, TLS, log-in, initQuery, catalogue.
#include <cstring>

#include "proxy/base/log.hpp"
#include "proxy/worker/client_error.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {
namespace {

constexpr Duration kConnectTimeout = std::chrono::seconds(15);

std::string user_removed() {
  return client_error("FATAL", "28000", "the user is no longer configured in the DBProxy");
}

}  // namespace

void ServerConnection::connect() {
  context_.loop.arm(deadline_, kConnectTimeout);
  const auto& to = target_.description();
  if (!to.host.empty() && to.host[0] == '/') {
    auto address = net::unix_address(to.host + "/.s.PGSQL." + std::to_string(to.port));
    if (address) addresses_.push_back(*address);
  } else if (auto address = net::numeric_address(to.host, to.port)) {
    addresses_.push_back(*address);
  }
  if (!addresses_.empty()) {
    // Not from here: whoever asks for a connection must not be called back before it is done asking.
    context_.loop.defer(*this);
    return;
  }
  std::weak_ptr<int> alive = alive_;
  context_.resolver.look_up(
      to.host, to.port, [this, alive](const std::vector<net::Address>& found, const std::string& error) {
        if (alive.expired() || state_ != State::kResolving) return;
        if (found.empty()) {
          fail(config::HealthReason::kUnreachable, "cannot resolve " + target_.description().host + ": " + error);
        } else {
          start_on(found);
        }
      });
}

void ServerConnection::start_on(std::vector<net::Address> addresses) {
  addresses_ = std::move(addresses);
  int error = EADDRNOTAVAIL;
  while (next_address_ < addresses_.size()) {
    address_ = addresses_[next_address_++];
    int fd = net::begin_connect(address_);
    if (fd < 0) {
      error = errno;
      continue;
    }
    channel_.stream() = net::Stream(fd);
    state_ = State::kConnecting;
    context_.loop.watch(fd, *this);
    return;
  }
  fail(config::HealthReason::kUnreachable, std::string("cannot connect: ") + std::strerror(error));
}

void ServerConnection::connected() {
  if (int error = net::connect_result(channel_.stream().fd()); error != 0) {
    context_.loop.unwatch(channel_.stream().fd());
    channel_.stream().close();
    if (next_address_ < addresses_.size()) {
      start_on(std::move(addresses_));
      return;
    }
    fail(config::HealthReason::kUnreachable, std::string("cannot connect: ") + std::strerror(error));
    return;
  }
  const auto& snapshot = proxy_.snapshot();
  auto user = snapshot.find_user(key_->user);
  if (user == nullptr) {
    fail(config::HealthReason::kNone, "the user is no longer configured", user_removed());
    return;
  }
  bool unix_socket = address_.storage.ss_family == AF_UNIX;
  backend::LoginOptions options;
  options.user = key_->user;
  options.database = key_->database;
  options.parameters = key_->parameters;
  options.password = user->password;
  options.tls = snapshot.server_tls.mode;
  options.direct_tls = snapshot.server_tls.direct;
  options.protocol_3_2 = target_.speaks_3_2();
  options.unix_socket = unix_socket;
  awaiting_tls_answer_ = !unix_socket && options.tls != config::TlsMode::kDisable && !options.direct_tls;
  login_ = std::make_unique<backend::Login>(std::move(options), context_.random);
  state_ = State::kLogin;
  std::string out;
  auto want = login_->start(out);
  step_login(want, out);
}

void ServerConnection::step_login(backend::Want want, std::string& out) {
  if (!out.empty() && !channel_.send(std::string_view(out))) {
    fail(config::HealthReason::kConnectionFailed, "the server closed the connection during log-in");
    return;
  }
  switch (want) {
    case backend::Want::kRead:
      read_login();
      return;
    case backend::Want::kStartTls: {
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
    case backend::Want::kDeriveKeys:
      derive_keys();
      return;
    case backend::Want::kDone:
      logged_in();
      return;
    case backend::Want::kFailed: {
      const auto& failure = login_->failure();
      auto reason =
          failure.is_auth_failure() ? config::HealthReason::kAuthFailure : config::HealthReason::kConnectionFailed;
      // What a server says of a user or a database is for the client; that it is starting or full is a matter of time.
      bool passing = failure.sqlstate.starts_with("57P0") || failure.sqlstate.starts_with("53");
      std::string error;
      if (key_->replication && !failure.raw.empty() && failure.sqlstate != "28P01") {
        // The role may be good for everything else; and max_wal_senders is not ours to wait for.
        error = failure.raw;
        reason = config::HealthReason::kNone;
      } else if (!failure.sqlstate.empty() && !passing) {
        auto words = failure.is_auth_failure()
                         ? "the database refused the credentials that are configured for this user: " + failure.message
                         : failure.message;
        auto hint =
            failure.is_auth_failure() ? "Correct the secret of this user in the DBProxy, or the user's password." : "";
        wire::postgres::error_response(
            error, {.severity = "FATAL", .sqlstate = failure.sqlstate, .message = words, .hint = hint});
        if (!failure.is_auth_failure()) reason = config::HealthReason::kNone;
      }
      fail(reason, failure.message, std::move(error));
      return;
    }
  }
}

void ServerConnection::derive_keys() {
  auto challenge = login_->scram_challenge();
  std::string out;
  if (auto known = proxy_.server_keys(key_->user, challenge.salt, challenge.iterations)) {
    auto want = login_->keys_derived(*known, out);
    step_login(want, out);
    return;
  }
  state_ = State::kDeriving;
  auto user = proxy_.snapshot().find_user(key_->user);
  if (user == nullptr) {
    fail(config::HealthReason::kNone, "the user is no longer configured", user_removed());
    return;
  }
  std::weak_ptr<int> alive = alive_;
  context_.offload.run([this, alive, password = user->password, challenge]() -> net::Offload::Done {
    auto keys = auth::derive_scram_keys(password, challenge.salt, challenge.iterations);
    return [this, alive, keys] {
      if (alive.expired() || state_ != State::kDeriving) return;
      // Of a password that has been replaced meanwhile they would spoil every log-in to come.
      if (generation == proxy_.generation(key_->user)) proxy_.keep_server_keys(key_->user, keys);
      state_ = State::kLogin;
      std::string reply;
      auto want = login_->keys_derived(keys, reply);
      step_login(want, reply);
    };
  });
}

void ServerConnection::read_login() {
  while (state_ == State::kLogin && channel_.stream().readable()) {
    // After SSLRequest exactly one byte is read: whatever follows belongs to TLS.
    auto room = awaiting_tls_answer_ ? 1 : kReadSize;
    auto io = channel_.stream().read(context_.scratch.data(), room);
    if (io.status == net::IoStatus::kOk) awaiting_tls_answer_ = false;
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
    if (want == backend::Want::kRead) {
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

void ServerConnection::logged_in() {
  session::postgres::Settings::Values values;
  for (const auto& [name, value] : login_->parameters()) values.emplace_back(name, value);
  session_.emplace(context_.settings, context_.settings.intern(std::move(values)));
  target_.learn_version(login_->parameters());
  process_id_ = login_->process_id();
  cancel_key_ = login_->cancel_key();
  login_.reset();
  if (key_->replication) return finished();  // which knows no SQL, or is not there for it
  const auto& init = proxy_.snapshot().pool.init_query;
  if (!init.empty()) {
    state_ = State::kInit;
    session_->query(init, context_.to_server);
    if (!channel_.send(context_.to_server))
      return fail(config::HealthReason::kConnectionFailed, "lost during initQuery");
    read_ready();
    return;
  }
  initialised();
}

// The catalogue is read before any client gets the connection, unless it is known well enough.
void ServerConnection::initialised() {
  if (context_.options.read_catalog) session_->hold_after_catalog_change();
  if (!context_.options.read_catalog || (catalog_->known() && !wants_catalog())) return finished();
  state_ = State::kCatalog;
  read_catalog();
  read_ready();
}

// Log-in (and initQuery) are done: the pool may have it.
void ServerConnection::finished() {
  deadline_.disarm();
  state_ = State::kReady;
  start_settings_ = session_->settings();
  if (!key_->replication) proxy_.learn_greeting(*key_, target_.description().role, start_settings_);
  log::debug("pool", "server connection opened",
             {{"proxy", proxy_.name()},
              {"target", target_.description().id},
              {"user", key_->user},
              {"database", key_->database}});
  target_.opened(*this);
}

// Before it was ready.
void ServerConnection::fail(config::HealthReason reason, std::string words, std::string error) {
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
