#include "proxy/worker/postgres/cancel_connection.hpp"

#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::worker::postgres {

void CancelConnection::start(Context& context, const net::Address& address, const std::string& host,
                             net::SslContext tls, const config::ServerTls& settings, std::uint32_t process_id,
                             const std::string& key, CancelDone done) {
  std::unique_ptr<CancelConnection> made(new CancelConnection(context, std::move(done)));
  made->tls_ = address.storage.ss_family == AF_UNIX ? nullptr : std::move(tls);
  made->mode_ = settings.mode;
  made->direct_ = settings.direct;
  made->host_ = host;
  wire::postgres::cancel_request(made->request_, process_id, key);
  open(std::move(made), &address);
}

void CancelConnection::step() {
  if (state_ == State::kConnecting) {
    if (!stream_.writable()) return;
    if (net::connect_result(stream_.fd()) != 0) return finish();
    if (!tls_) {
      send_cancel();
    } else if (direct_) {
      start_tls();
    } else {
      std::string ask;
      wire::postgres::ssl_request(ask);
      state_ = State::kAskTls;
      if (stream_.write(std::string_view(ask)).status != net::IoStatus::kOk) return finish();
    }
  }
  if (state_ == State::kAskTls) {
    if (!stream_.readable()) return;
    char answer = 0;
    auto io = stream_.read(&answer, 1);
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk || answer != 'S') return finish();
    start_tls();
  }
  if (state_ == State::kTls) {
    auto io = stream_.handshake();
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) return finish();
    send_cancel();
  }
  while (state_ == State::kSent && stream_.readable()) {
    char drop[64];
    auto io = stream_.read(drop, sizeof drop);
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) return finish();
  }
}

void CancelConnection::start_tls() {
  stream_.start_tls(net::new_client_side(tls_, stream_.fd(), mode_, host_));
  state_ = State::kTls;
}

void CancelConnection::send_cancel() {
  state_ = State::kSent;
  send_request(request_);
}

}  // namespace dbproxy::worker::postgres
