// ClientConnection from its first byte to its greeting.
#include <algorithm>

#include "proxy/base/log.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/client_error.hpp"
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
  parameters_ = login_->parameters();
  const bool replication = !login_->replication().empty();
  auto start = postgres::split_start_up(parameters_);
  application_name_.clear();
  std::erase_if(start.own, [this](const auto& item) {
    if (item.first != "application_name") return false;
    application_name_ = clean_application_name(item.second);
    return true;
  });
  std::erase_if(parameters_, [](const auto& item) { return item.first == "application_name"; });
  if (replication) {
    // It has the server to itself, and its name is the server's business: synchronous standbys are chosen by it.
    if (application_name_.empty())
      application_name_ = clean_application_name(context_.options.default_application_name);
    if (!application_name_.empty()) parameters_.emplace_back("application_name", application_name_);
    start = {.only_at_start = parameters_, .own = {}};
  }
  asked_start_ = std::move(start.own);
  key_ = proxy_.pool_key(login_->user(), login_->database(), std::move(start.only_at_start));
  long_cancel_key_ = login_->long_cancel_key();
  login_.reset();
  state_ = State::kGreeting;
  want_greeting();
}

// False: a server has to be asked first.
bool ClientConnection::greet_from_memory() {
  if (key_->replication) return false;
  auto known = proxy_.greeting(*key_, endpoint_->endpoint.role);
  if (!known || (!asked_start_.empty() && proxy_.start_settings(*key_, asked_start_) == nullptr)) return false;
  greet(std::move(known));
  return true;
}

// Nobody has logged in like this before: a server connection shows the greeting, and whether it works at all.
void ClientConnection::want_greeting() {
  if (greet_from_memory()) return;
  std::string error;
  target_ = proxy_.choose(*endpoint_, target_, error);
  if (target_ == nullptr) return finish(error);
  auto server = target_->acquire(*this, key_, error);
  if (!error.empty()) return finish(error);
  if (server != nullptr) attached(*server);
}

void ClientConnection::start_checked(const postgres::ServerSession::Rows& rows) {
  auto server = server_;
  server_ = nullptr;
  if (rows.failed) {
    auto fields = wire::postgres::read_error(std::string_view(rows.response).substr(wire::postgres::kHeaderSize));
    const bool too_late = fields.sqlstate == "55P02";
    std::string error;
    wire::postgres::error_response(error, {.severity = "FATAL",
                                           .sqlstate = fields.sqlstate,
                                           .message = fields.message,
                                           .detail = fields.detail,
                                           .hint = fields.hint});
    server->detach();
    if (!too_late) return finish(error);
    // "cannot be set after connection start", or not at all: a connection that begins with all of it will show.
    asked_start_.clear();
    key_ = proxy_.pool_key(key_->user, key_->database, parameters_);
    return want_greeting();
  }
  auto values = postgres::read_start(rows.messages, asked_start_);
  auto settings = server->start_settings();
  server->detach();
  if (!values) return finish(client_error("FATAL", "08P01", "the server does not tell the settings of this start"));
  proxy_.learn_start_settings(*key_, asked_start_, std::move(*values));
  greet(std::move(settings));
}

// What this client asked for, as the server has it, over what it found.
postgres::SettingsPtr ClientConnection::with_start(postgres::SettingsPtr settings, postgres::Settings::Values& own) {
  if (const auto* values = asked_start_.empty() ? nullptr : proxy_.start_settings(*key_, asked_start_)) own = *values;
  auto tracked = settings->tracked();
  for (const auto& [name, value] : own) {
    const auto same = [&wanted = name](const auto& item) { return postgres::equals_folded(item.first, wanted); };
    const auto reported = std::find_if(settings->values().begin(), settings->values().end(), same);
    if (reported != settings->values().end()) {
      settings = context_.settings.with(settings, std::string(reported->first), value);
    } else {
      std::erase_if(tracked, same);
      tracked.emplace_back(name, value);
    }
  }
  settings = context_.settings.with(settings, "application_name", application_name_);
  own.emplace_back("application_name", application_name_);
  return context_.settings.with_tracked(settings, std::move(tracked));
}

void ClientConnection::greet(postgres::SettingsPtr settings) {
  // What `options` or the role says counts where the packet does not; the default only where nobody says anything.
  auto told = settings->find("application_name");
  if (application_name_.empty() && told != nullptr) application_name_ = *told;
  if (application_name_.empty()) application_name_ = clean_application_name(context_.options.default_application_name);
  postgres::Settings::Values own;
  settings = with_start(std::move(settings), own);
  session_.emplace(context_.statements, settings);
  session_->started_with(context_.settings, std::move(own));
  session_->keep_text = proxy_.debug_logging();
  // With such a search_path every CREATE TABLE makes a temporary one, which no statement's text shows.
  const auto temporary = [](const auto& item) { return item.second.find("pg_temp") != std::string::npos; };
  if (std::any_of(parameters_.begin(), parameters_.end(), temporary)) {
    session_->pin(postgres::bit(postgres::PinReason::kTemporaryObject), postgres::bit(postgres::PinReason::kOpaque));
  }
  asked_start_ = {};
  parameters_ = {};
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
