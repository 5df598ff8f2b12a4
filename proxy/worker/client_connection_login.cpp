// ClientConnection from its first byte to its greeting.
#include "proxy/base/log.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

namespace postgres = session::postgres;

namespace {

constexpr std::size_t kMaxLoginBytes = 32 * 1024;
constexpr char kTlsHandshake = 22;  // the type of a TLS record; the length of no start-up packet begins with it

// As the server would report it: at most 63 bytes, nothing but printable ASCII.
std::string clean_application_name(std::string_view name) {
  std::string out(name.substr(0, 63));
  for (char& c : out) {
    if (c < 32 || c > 126) c = '?';
  }
  return out;
}

}  // namespace

// A client of PostgreSQL 17 and later may begin TLS without asking. One byte, not yet taken, tells. True: the first
// bytes are not for read_login(), or not there yet.
bool ClientConnection::begin_direct_tls() {
  char first = 0;
  auto io = channel_.stream().peek(first);
  if (io.status == net::IoStatus::kBlocked) return true;
  first_byte_seen_ = true;
  if (io.status != net::IoStatus::kOk || first != kTlsHandshake) return false;
  std::string nothing;
  step_login(login_->direct_tls(), nothing);
  return true;
}

void ClientConnection::read_login() {
  if (!first_byte_seen_ && begin_direct_tls()) return;
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
      if (!proxy_.listener_tls() || (!out.empty() && !channel_.send(std::string_view(out)))) return close();
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
  const bool replication = !login_->replication().empty();
  application_name_.clear();
  std::erase_if(parameters, [this](const auto& item) {
    if (item.first != "application_name") return false;
    application_name_ = item.second;
    return true;
  });
  application_name_ = clean_application_name(application_name_);
  // Of a replication connection it is the server's business: synchronous standbys are chosen by it.
  if (replication) {
    if (application_name_.empty())
      application_name_ = clean_application_name(context_.options.default_application_name);
    if (!application_name_.empty()) parameters.emplace_back("application_name", application_name_);
  }
  key_ = proxy_.pool_key(login_->user(), login_->database(), std::move(parameters));
  long_cancel_key_ = login_->long_cancel_key();
  login_.reset();
  state_ = State::kGreeting;
  if (!replication) {
    if (auto known = proxy_.greeting(*key_, endpoint_->endpoint.role)) return greet(std::move(known));
  }
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
  // What `options` or the role says counts where the packet does not; the default only where nobody says anything.
  auto told = settings->find("application_name");
  if (application_name_.empty() && told != nullptr) application_name_ = *told;
  if (application_name_.empty()) application_name_ = clean_application_name(context_.options.default_application_name);
  settings = context_.settings.with(settings, "application_name", application_name_);
  session_.emplace(context_.statements, settings);
  session_->keep_text = proxy_.debug_logging();
  // With such a search_path every CREATE TABLE makes a temporary one, which no statement's text shows.
  if (key_->text.find("pg_temp") != std::string::npos) {
    session_->pin(postgres::bit(postgres::PinReason::kTemporaryObject), postgres::bit(postgres::PinReason::kOpaque));
  }
  cancel_key_ = context_.new_cancel_key(*this, long_cancel_key_);
  std::string out;
  for (const auto& [name, value] : settings->values()) wire::postgres::parameter_status(out, name, value);
  wire::postgres::backend_key_data(out, cancel_key_.process_id(), cancel_key_.secret());
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

}  // namespace dbproxy::worker
