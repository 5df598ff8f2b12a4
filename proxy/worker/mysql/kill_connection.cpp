#include "proxy/worker/mysql/kill_connection.hpp"

#include "proxy/wire/mysql/messages.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/mysql/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::mysql {

namespace wire = dbproxy::wire::mysql;

KillConnection::KillConnection(Context& context, CancelDone done)
    : context_(context),
      done_(std::move(done)),
      deadline_([this] { finish(state_ == State::kSent ? CancelOutcome::kUnknown : CancelOutcome::kOver); }) {}

void KillConnection::start(Server& server, std::uint32_t connection_id, const Secret& token, CancelDone done) {
  auto& context = server.context();
  const auto& proxy = server.proxy();
  const auto& address = server.address();
  auto made = new KillConnection(context, std::move(done));
  context.cancels.emplace(made, std::unique_ptr<net::Pollable>(made));
  const bool unix_socket = address.storage.ss_family == AF_UNIX;
  made->tls_ = unix_socket ? nullptr : proxy.server_tls();
  made->mode_ = proxy.snapshot().server_tls.mode;
  made->host_ = server.target().description().host;
  wire::command(made->request_, wire::Command::kQuery, "KILL QUERY " + std::to_string(connection_id));
  context.loop.arm(made->deadline_, std::chrono::seconds(5));
  const auto* user = proxy.snapshot().find_user(server.pool_key()->user);
  const int fd = user == nullptr ? -1 : net::begin_connect(address);
  if (fd < 0) {
    context.loop.arm(made->deadline_, Duration::zero());
    return;
  }
  backend::mysql::LoginOptions options;
  options.user = user->name;
  options.clear_password = !token.empty();
  options.password = token.empty() ? server.password(*user) : token;
  options.tls = made->mode_;
  options.unix_socket = unix_socket;
  made->login_ = std::make_unique<backend::mysql::Login>(std::move(options));
  made->stream_ = net::Stream(fd);
  context.loop.watch(fd, *made);
}

void KillConnection::on_event(std::uint32_t events) {
  if (state_ == State::kDone) return;
  stream_.note(events);
  step();
}

void KillConnection::step() {
  if (state_ == State::kConnecting) {
    if (!stream_.writable()) return;
    if (net::connect_result(stream_.fd()) != 0) return finish(CancelOutcome::kOver);
    state_ = State::kLogin;
    std::string out;
    step_login(login_->start(out), out);
  }
  if (state_ == State::kTls) {
    auto io = stream_.handshake();
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) return finish(CancelOutcome::kOver);
    state_ = State::kLogin;
    std::string out;
    step_login(login_->tls_established(out), out);
  }
  while ((state_ == State::kLogin || state_ == State::kSent) && stream_.readable()) {
    char buffer[4096];
    auto io = stream_.read(buffer, sizeof buffer);
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) {
      return finish(state_ == State::kSent ? CancelOutcome::kUnknown : CancelOutcome::kOver);
    }
    in_.append(buffer, io.bytes);
    if (state_ == State::kSent) {
      const auto frame = wire::scan_frame(in_);
      if (frame.known && in_.size() >= frame.size()) return finish(CancelOutcome::kOver);
      continue;
    }
    std::string out;
    std::size_t consumed = 0;
    auto want = login_->feed(in_, consumed, out);
    in_.erase(0, consumed);
    step_login(want, out);
  }
}

void KillConnection::step_login(backend::mysql::Want want, const std::string& out) {
  using Want = backend::mysql::Want;
  if (!out.empty() && stream_.write(std::string_view(out)).status != net::IoStatus::kOk) {
    return finish(CancelOutcome::kOver);
  }
  switch (want) {
    case Want::kRead:
      return;
    case Want::kStartTls:
      if (!tls_ || !in_.empty()) return finish(CancelOutcome::kOver);
      stream_.start_tls(net::new_client_side(tls_, stream_.fd(), mode_, host_));
      state_ = State::kTls;
      return step();
    case Want::kDone:
      state_ = State::kSent;
      if (stream_.write(std::string_view(request_)).status != net::IoStatus::kOk) finish(CancelOutcome::kOver);
      return;
    case Want::kFailed:
      return finish(CancelOutcome::kOver);
  }
}

void KillConnection::finish(CancelOutcome outcome) {
  if (state_ == State::kDone) return;
  state_ = State::kDone;
  deadline_.disarm();
  if (stream_.open()) {
    context_.loop.unwatch(stream_.fd());
    stream_.close();
  }
  auto done = std::move(done_);
  if (auto it = context_.cancels.find(this); it != context_.cancels.end()) {
    context_.loop.retire(std::move(it->second));
    context_.cancels.erase(it);
  }
  done(outcome);
}

}  // namespace dbproxy::worker::mysql
