#include "proxy/worker/mysql/kill_connection.hpp"

#include "proxy/wire/mysql/messages.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/mysql/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::mysql {

namespace wire = dbproxy::wire::mysql;

void KillConnection::start(Server& server, std::uint32_t connection_id, const Secret& token, CancelDone done) {
  const auto& proxy = server.proxy();
  const auto& address = server.address();
  std::unique_ptr<KillConnection> made(new KillConnection(server.context(), std::move(done)));
  const bool unix_socket = address.storage.ss_family == AF_UNIX;
  made->tls_ = unix_socket ? nullptr : proxy.server_tls();
  made->mode_ = proxy.snapshot().server_tls.mode;
  made->host_ = server.target().description().host;
  wire::command(made->request_, wire::Command::kQuery, "KILL QUERY " + std::to_string(connection_id));
  const auto* user = proxy.snapshot().find_user(server.pool_key()->user);
  if (user != nullptr) {
    backend::mysql::LoginOptions options;
    options.user = user->name;
    options.clear_password = !token.empty();
    options.password = token.empty() ? server.password(*user) : token;
    options.tls = made->mode_;
    options.unix_socket = unix_socket;
    made->login_ = std::make_unique<backend::mysql::Login>(std::move(options));
  }
  open(std::move(made), user != nullptr ? &address : nullptr);
}

void KillConnection::step() {
  if (state_ == State::kConnecting) {
    if (!stream_.writable()) return;
    if (net::connect_result(stream_.fd()) != 0) return finish();
    state_ = State::kLogin;
    std::string out;
    step_login(login_->start(out), out);
  }
  if (state_ == State::kTls) {
    auto io = stream_.handshake();
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) return finish();
    state_ = State::kLogin;
    std::string out;
    step_login(login_->tls_established(out), out);
  }
  while ((state_ == State::kLogin || state_ == State::kSent) && stream_.readable()) {
    char buffer[4096];
    auto io = stream_.read(buffer, sizeof buffer);
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) return fail();
    in_.append(buffer, io.bytes);
    if (state_ == State::kSent) {
      const auto frame = wire::scan_frame(in_);
      if (frame.known && in_.size() >= frame.size()) return finish();
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
    return finish();
  }
  switch (want) {
    case Want::kRead:
      return;
    case Want::kStartTls:
      if (!tls_ || !in_.empty()) return finish();
      stream_.start_tls(net::new_client_side(tls_, stream_.fd(), mode_, host_));
      state_ = State::kTls;
      return step();
    case Want::kDone:
      state_ = State::kSent;
      send_request(request_);
      return;
    case Want::kFailed:
      return finish();
  }
}

}  // namespace dbproxy::worker::mysql
