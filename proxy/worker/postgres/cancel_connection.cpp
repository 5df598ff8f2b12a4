#include "proxy/worker/postgres/cancel_connection.hpp"

#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::worker::postgres {

CancelConnection::CancelConnection(Context& context, CancelDone done)
    : context_(context),
      done_(std::move(done)),
      deadline_([this] { finish(state_ == State::kSent ? CancelOutcome::kUnknown : CancelOutcome::kOver); }) {}

void CancelConnection::start(Context& context, const net::Address& address, const std::string& host,
                             net::SslContext tls, const config::ServerTls& settings, std::uint32_t process_id,
                             const std::string& key, CancelDone done) {
  auto made = new CancelConnection(context, std::move(done));
  context.cancels.emplace(made, std::unique_ptr<net::Pollable>(made));
  made->tls_ = address.storage.ss_family == AF_UNIX ? nullptr : std::move(tls);
  made->mode_ = settings.mode;
  made->direct_ = settings.direct;
  made->host_ = host;
  wire::postgres::cancel_request(made->request_, process_id, key);
  context.loop.arm(made->deadline_, std::chrono::seconds(5));
  int fd = net::begin_connect(address);
  if (fd < 0) {
    context.loop.arm(made->deadline_, Duration::zero());
    return;
  }
  made->stream_ = net::Stream(fd);
  context.loop.watch(fd, *made);
}

void CancelConnection::on_event(std::uint32_t events) {
  if (state_ == State::kDone) return;
  stream_.note(events);
  step();
}

void CancelConnection::step() {
  if (state_ == State::kConnecting) {
    if (!stream_.writable()) return;
    if (net::connect_result(stream_.fd()) != 0) return finish();
    if (!tls_) {
      send_request();
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
    send_request();
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

void CancelConnection::send_request() {
  state_ = State::kSent;
  if (stream_.write(std::string_view(request_)).status != net::IoStatus::kOk) finish();
}

void CancelConnection::finish(CancelOutcome outcome) {
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

}  // namespace dbproxy::worker::postgres
