#include "proxy/net/stream.hpp"

#include <algorithm>
#include <cerrno>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace dbproxy::net {
namespace {

constexpr std::size_t kShort = 2048;

}  // namespace

Stream::Stream(Stream&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      readable_(other.readable_),
      writable_(other.writable_),
      hung_up_(other.hung_up_),
      ssl_(std::move(other.ssl_)) {}

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    readable_ = other.readable_;
    writable_ = other.writable_;
    hung_up_ = other.hung_up_;
    ssl_ = std::move(other.ssl_);
  }
  return *this;
}

void Stream::note(std::uint32_t events) {
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) readable_ = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) writable_ = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) hung_up_ = true;
}

Io Stream::read(char* to, std::size_t room) {
  if (ssl_) {
    ERR_clear_error();
    int got = SSL_read(ssl_.get(), to, static_cast<int>(std::min<std::size_t>(room, 1 << 30)));
    if (got > 0) return {IoStatus::kOk, static_cast<std::size_t>(got)};
    auto io = tls_result(got);
    if (io.status == IoStatus::kBlocked) readable_ = false;
    return io;
  }
  while (true) {
    auto got = ::recv(fd_, to, room, 0);
    if (got > 0) {
      // epoll(7): a short read from a stream socket means that it is empty; a hang-up is still to be read.
      if (static_cast<std::size_t>(got) < room && !hung_up_) readable_ = false;
      return {IoStatus::kOk, static_cast<std::size_t>(got)};
    }
    if (got == 0) return {IoStatus::kClosed, 0};
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      readable_ = false;
      return {};
    }
    return {IoStatus::kError, 0};
  }
}

Io Stream::peek(char& byte) {
  while (true) {
    auto got = ::recv(fd_, &byte, 1, MSG_PEEK);
    if (got > 0) return {IoStatus::kOk, 1};
    if (got == 0) return {IoStatus::kClosed, 0};
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return {IoStatus::kError, 0};
    readable_ = false;
    return {};
  }
}

Io Stream::write(std::string_view bytes) {
  if (ssl_) {
    ERR_clear_error();
    int sent = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 30)));
    if (sent > 0) return {IoStatus::kOk, static_cast<std::size_t>(sent)};
    auto io = tls_result(sent);
    if (io.status == IoStatus::kBlocked) writable_ = false;
    return io;
  }
  while (true) {
    auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      if (static_cast<std::size_t>(sent) < bytes.size()) writable_ = false;
      return {IoStatus::kOk, static_cast<std::size_t>(sent)};
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      writable_ = false;
      return {};
    }
    return {IoStatus::kError, 0};
  }
}

Io Stream::write(std::span<const iovec> parts) {
  if (parts.size() == 1) return write({static_cast<const char*>(parts[0].iov_base), parts[0].iov_len});
  std::size_t total = 0;
  for (const auto& part : parts) total += part.iov_len;
  // What is short costs less to copy than the kernel's walk of the parts.
  if (ssl_ || total <= kShort) {
    thread_local std::vector<char> joined;
    joined.clear();
    for (const auto& part : parts) {
      auto from = static_cast<const char*>(part.iov_base);
      joined.insert(joined.end(), from, from + part.iov_len);
    }
    return write(std::string_view(joined.data(), joined.size()));
  }
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = parts.size();
  while (true) {
    auto sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      if (static_cast<std::size_t>(sent) < total) writable_ = false;
      return {IoStatus::kOk, static_cast<std::size_t>(sent)};
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      writable_ = false;
      return {};
    }
    return {IoStatus::kError, 0};
  }
}

Io Stream::handshake() {
  ERR_clear_error();
  int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    readable_ = true;  // what came behind the handshake may have been read with it
    return {IoStatus::kOk, 0};
  }
  auto io = tls_result(result);
  if (io.status == IoStatus::kBlocked) readable_ = false;
  return io;
}

Io Stream::tls_result(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return {};
    case SSL_ERROR_ZERO_RETURN:
      return {IoStatus::kClosed, 0};
    default:
      return {IoStatus::kError, 0};
  }
}

void Stream::end_writing() {
  if (ssl_ && SSL_is_init_finished(ssl_.get())) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
  }
  ::shutdown(fd_, SHUT_WR);
}

void Stream::close() {
  if (fd_ < 0) return;
  if (ssl_ && SSL_is_init_finished(ssl_.get()) && !hung_up_ && !(SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN)) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
  }
  ERR_clear_error();
  ssl_.reset();
  ::close(fd_);
  fd_ = -1;
}

void Stream::abort() {
  if (fd_ < 0) return;
  linger reset{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  ssl_.reset();
  ::close(fd_);
  fd_ = -1;
}

}  // namespace dbproxy::net
