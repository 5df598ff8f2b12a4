#include "proxy/backend/blocking_connection.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <mutex>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include "proxy/net/socket.hpp"
#include "proxy/net/tls_peer.hpp"

namespace dbproxy::backend {
namespace {

std::string words(int error) {
  return std::generic_category().message(error);
}

// Connections that are to be verified alike share what they are verified with: a bundle of CAs takes hundreds of KB.
net::SslContext shared_context(const config::ServerTls& tls, std::string& error) {
  static std::mutex mutex;
  static std::vector<std::pair<config::ServerTls, std::weak_ptr<SSL_CTX>>> known;
  const std::lock_guard lock(mutex);
  std::erase_if(known, [](const auto& each) { return each.second.expired(); });
  for (const auto& [like, context] : known) {
    if (auto found = like == tls ? context.lock() : nullptr) return found;
  }
  auto made = net::make_client_context(tls, error);
  if (made) known.emplace_back(tls, made);
  return made;
}

}  // namespace

BlockingConnection::~BlockingConnection() {
  if (fd_ >= 0) ::close(fd_);
}

bool BlockingConnection::wait(short events) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now());
    pollfd poll_fd{fd_, events, 0};
    const int ready = left.count() > 0 ? ::poll(&poll_fd, 1, static_cast<int>(left.count())) : 0;
    if (ready > 0) return true;
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return fail(words(errno));
    unreachable_ = true;
    return fail("timed out");
  }
}

bool BlockingConnection::connect_to(const net::Address& address) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = net::begin_connect(address);
  if (fd_ < 0) return fail(words(errno));
  if (!wait(POLLOUT)) return false;
  const int error = net::connect_result(fd_);
  return error == 0 || fail(words(error));
}

bool BlockingConnection::connect(const std::string& host, std::uint16_t port, const std::string& socket) {
  if (const std::string why = policy_.refuse_host(host); !why.empty()) {
    refused_ = true;
    return fail("the address is refused: it " + why);
  }
  unreachable_ = true;  // until it is connected
  std::vector<net::Address> addresses;
  if (!host.empty() && host[0] == '/') {
    const auto address = net::unix_address(host + "/" + (socket.empty() ? ".s.PGSQL." + std::to_string(port) : socket));
    if (!address) return fail("the path of the socket is too long");
    addresses.push_back(*address);
  } else {
    std::string why;
    addresses = net::resolve(host, port, why);
    if (addresses.empty()) return fail("cannot resolve the host: " + why);
    addresses = policy_.admit(host, std::move(addresses), why);
    refused_ = addresses.empty();
    if (refused_) return fail(why);
  }
  for (const net::Address& each : addresses) {
    if (!connect_to(each)) continue;
    unreachable_ = false;
    return true;
  }
  return false;
}

// After a TLS call that returned `result`: true to try again.
bool BlockingConnection::wait_for_tls(int result, const char* what) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return wait(POLLIN);
    case SSL_ERROR_WANT_WRITE:
      return wait(POLLOUT);
    case SSL_ERROR_ZERO_RETURN:
      return fail("the server closed the connection");
    default:
      return fail(ERR_peek_error() != 0 || !SSL_is_init_finished(ssl_.get()) ? net::tls_failure(ssl_.get(), direct_)
                                                                             : what);
  }
}

bool BlockingConnection::start_tls(const config::ServerTls& tls, const std::string& host) {
  direct_ = tls.direct;
  context_ = shared_context(tls, error_);
  if (!context_) return false;
  ssl_ = net::new_client_side(context_, fd_, tls.mode, host);
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) return !tls.direct || net::alpn_agreed(ssl_.get()) ? true : fail(std::string(net::kNoAlpn));
    if (!wait_for_tls(result, "the server closed the connection during the TLS handshake")) return false;
  }
}

std::string BlockingConnection::end_point() const {
  return net::peer_end_point(ssl_.get());
}

bool BlockingConnection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    if (ssl_) {
      ERR_clear_error();
      const int sent = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
      if (sent > 0)
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      else if (!wait_for_tls(sent, "the server closed the connection"))
        return false;
      continue;
    }
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!wait(POLLOUT)) return false;
    } else if (errno != EINTR) {
      return fail(words(errno));
    }
  }
  return true;
}

bool BlockingConnection::receive(std::string& buffer) {
  std::array<char, 8192> chunk;
  for (;;) {
    if (ssl_) {
      ERR_clear_error();
      const int got = SSL_read(ssl_.get(), chunk.data(), static_cast<int>(chunk.size()));
      if (got > 0) {
        buffer.append(chunk.data(), static_cast<std::size_t>(got));
        return true;
      }
      if (!wait_for_tls(got, "the server closed the connection")) return false;
      continue;
    }
    const ssize_t got = ::recv(fd_, chunk.data(), chunk.size(), 0);
    if (got > 0) {
      buffer.append(chunk.data(), static_cast<std::size_t>(got));
      return true;
    }
    if (got == 0) return fail("the server closed the connection");
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!wait(POLLIN)) return false;
    } else if (errno != EINTR) {
      return fail(words(errno));
    }
  }
}

}  // namespace dbproxy::backend
