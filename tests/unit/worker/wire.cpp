#include "tests/unit/worker/wire.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::worker::testing {

namespace pg = dbproxy::wire::postgres;

std::string Message::field(char code) const {
  std::size_t at = 0;
  while (at < body.size() && body[at] != '\0') {
    auto end = body.find('\0', at);
    if (body[at] == code) return body.substr(at + 1, end - at - 1);
    if (end == std::string::npos) break;
    at = end + 1;
  }
  return {};
}

std::string types(const Messages& messages) {
  std::string out;
  for (const auto& message : messages) out += message.type;
  return out;
}

std::string message(char type, std::string_view body) {
  std::string out;
  pg::MessageWriter(out, type).bytes(body);
  return out;
}

std::string query(std::string_view text) {
  std::string out;
  pg::query(out, text);
  return out;
}

std::string parse(std::string_view name, std::string_view text) {
  std::string out;
  pg::parse(out, name, text, {});
  return out;
}

std::string bind(std::string_view portal, std::string_view name) {
  std::string out;
  pg::MessageWriter(out, 'B').cstring(portal).cstring(name).u16(0).u16(0).u16(0);
  return out;
}

std::string describe(std::string_view name) {
  std::string out;
  pg::MessageWriter(out, 'D').u8('S').cstring(name);
  return out;
}

std::string execute() {
  std::string out;
  pg::MessageWriter(out, 'E').cstring("").u32(0);
  return out;
}

std::string error(std::string_view severity, std::string_view sqlstate, std::string_view words) {
  std::string out;
  pg::error_response(out, {.severity = severity, .sqlstate = sqlstate, .message = words});
  return out;
}

std::string parameter(std::string_view name, std::string_view value) {
  std::string out;
  pg::parameter_status(out, name, value);
  return out;
}

std::string complete(std::string_view tag) {
  std::string out;
  pg::command_complete(out, tag);
  return out;
}

std::string ready(char status) {
  std::string out;
  pg::ready_for_query(out, status);
  return out;
}

Wire::Wire(Wire&& other) noexcept {
  *this = std::move(other);
}

Wire& Wire::operator=(Wire&& other) noexcept {
  if (this == &other) return *this;
  close();
  fd_ = std::exchange(other.fd_, -1);
  in_ = std::move(other.in_);
  ssl_ = std::exchange(other.ssl_, nullptr);
  drip = other.drip;
  sent = other.sent;
  return *this;
}

Wire::~Wire() {
  close();
}

Wire Wire::connect(std::uint16_t port, int receive_buffer) {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    ::close(fd);
    return Wire();
  }
  return Wire(fd);
}

bool Wire::raw_send(std::string_view bytes) {
  while (!bytes.empty()) {
    auto piece = drip ? bytes.substr(0, 1) : bytes;
    auto done = ::send(fd_, piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && errno == EAGAIN) {
      pollfd wait{fd_, POLLOUT, 0};
      if (::poll(&wait, 1, static_cast<int>(kPatience.count())) != 1) return false;
      continue;
    }
    if (done <= 0) return false;
    sent += static_cast<std::uint64_t>(done);
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
  return true;
}

bool Wire::send(std::string_view bytes) {
  if (ssl_ == nullptr) return raw_send(bytes);
  while (!bytes.empty()) {
    int done = SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
    if (done <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(done));
    flush_tls();
  }
  return true;
}

bool Wire::send_some(std::string_view bytes) {
  auto done = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (done > 0) sent += static_cast<std::uint64_t>(done);
  return done == static_cast<ssize_t>(bytes.size());
}

void Wire::flush_tls() {
  char buffer[4096];
  int got = 0;
  while ((got = BIO_read(SSL_get_wbio(ssl_), buffer, sizeof buffer)) > 0) {
    raw_send({buffer, static_cast<std::size_t>(got)});
  }
}

void Wire::start_tls(SSL_CTX* context) {
  ssl_ = SSL_new(context);
  SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl_);
  while (true) {
    int result = SSL_do_handshake(ssl_);
    flush_tls();
    if (result == 1) return;
    if (SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ || !fill(kPatience)) {
      ADD_FAILURE() << "TLS handshake failed";
      return;
    }
  }
}

// Reads what there is. False: the end, or nothing came in time.
bool Wire::fill(std::chrono::milliseconds patience) {
  if (fd_ < 0) return false;
  pollfd wait{fd_, POLLIN, 0};
  if (::poll(&wait, 1, static_cast<int>(patience.count())) != 1) return false;
  char buffer[65536];
  auto got = ::recv(fd_, buffer, sizeof buffer, 0);
  if (got <= 0) return false;
  if (ssl_ == nullptr) {
    in_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }
  BIO_write(SSL_get_rbio(ssl_), buffer, static_cast<int>(got));
  if (!SSL_is_init_finished(ssl_)) return true;
  auto before = in_.size();
  int plain = 0;
  while ((plain = SSL_read(ssl_, buffer, sizeof buffer)) > 0) in_.append(buffer, static_cast<std::size_t>(plain));
  // The last words and the close_notify behind them may come in one piece.
  return in_.size() > before || SSL_get_error(ssl_, plain) == SSL_ERROR_WANT_READ;
}

std::optional<Message> Wire::read(std::chrono::milliseconds patience) {
  while (true) {
    auto frame = pg::scan_frame(in_);
    if (frame.scan == pg::Scan::kBad) return std::nullopt;
    if (frame.scan == pg::Scan::kMessage && in_.size() >= frame.size) {
      Message out{frame.type, in_.substr(pg::kHeaderSize, frame.size - pg::kHeaderSize)};
      in_.erase(0, frame.size);
      return out;
    }
    if (!fill(patience)) return std::nullopt;
  }
}

char Wire::read_byte() {
  auto bytes = read_bytes(1);
  return bytes.empty() ? '\0' : bytes[0];
}

std::string Wire::read_bytes(std::size_t count) {
  while (in_.size() < count) {
    if (!fill(kPatience)) return {};
  }
  auto out = in_.substr(0, count);
  in_.erase(0, count);
  return out;
}

Messages Wire::read_until(char type) {
  Messages out;
  while (auto got = read()) {
    out.push_back(std::move(*got));
    if (out.back().type == type) break;
  }
  return out;
}

bool Wire::at_end() {
  while (true) {
    pollfd wait{fd_, POLLIN, 0};
    if (::poll(&wait, 1, static_cast<int>(kPatience.count())) != 1) return false;
    if (!fill(kPatience)) return true;
  }
}

bool Wire::quiet_for(std::chrono::milliseconds time) {
  pollfd wait{fd_, POLLIN, 0};
  return in_.empty() && ::poll(&wait, 1, static_cast<int>(time.count())) == 0;
}

void Wire::shut_down() {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);
}

void Wire::close() {
  if (ssl_ != nullptr) SSL_free(ssl_);
  ssl_ = nullptr;
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Wire::reset() {
  linger now{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

}  // namespace dbproxy::worker::testing
