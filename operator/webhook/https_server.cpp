#include "operator/webhook/https_server.hpp"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/log.hpp"
#include "proxy/net/socket.hpp"

namespace dbproxy::webhook {
namespace {

namespace bhttp = boost::beast::http;

constexpr std::size_t kMaxHeader = 16 * 1024;
constexpr int kPoll = 200;  // milliseconds until a stop is noticed by the acceptor

bool write_all(SSL* ssl, std::string_view text) {
  std::size_t written = 0;
  return SSL_write_ex(ssl, text.data(), text.size(), &written) == 1 && written == text.size();
}

std::string to_text(const http::Response& response, bool keep) {
  const auto status = static_cast<bhttp::status>(response.status);
  return "HTTP/1.1 " + std::to_string(response.status) + " " + std::string(bhttp::obsolete_reason(status)) +
         "\r\nContent-Type: " + response.content_type + "\r\nContent-Length: " + std::to_string(response.body.size()) +
         "\r\nConnection: " + (keep ? "keep-alive" : "close") + "\r\n\r\n" + response.body;
}

// One request, or false where the peer has gone, is too slow, or does not speak HTTP. `left` is what came after it.
bool read_request(SSL* ssl, const HttpsOptions& options, std::string& left, http::Request& out, bool& keep) {
  bhttp::request_parser<bhttp::string_body> parser;
  parser.header_limit(kMaxHeader);
  parser.body_limit(options.max_body_bytes);
  parser.eager(true);
  std::array<char, 16 * 1024> chunk;
  const auto deadline = std::chrono::steady_clock::now() + options.timeout;
  while (true) {
    boost::system::error_code error;
    if (!left.empty()) {
      left.erase(0, parser.put(boost::asio::buffer(left), error));
      if (error && error != bhttp::error::need_more) return false;
      if (parser.is_done()) break;
    }
    if (left.size() > kMaxHeader + options.max_body_bytes || std::chrono::steady_clock::now() > deadline) return false;
    std::size_t size = 0;
    if (SSL_read_ex(ssl, chunk.data(), chunk.size(), &size) != 1) return false;
    left.append(chunk.data(), size);
  }
  keep = parser.get().keep_alive();
  out.method = std::string(parser.get().method_string());
  out.target = std::string(parser.get().target());
  const std::size_t mark = out.target.find('?');
  out.path = out.target.substr(0, mark);
  out.query = mark == std::string::npos ? "" : out.target.substr(mark + 1);
  out.body = std::move(parser.get().body());
  return true;
}

}  // namespace

HttpsServer::HttpsServer(HttpsOptions options, http::Handler handler)
    : options_(std::move(options)), handler_(std::move(handler)) {}

HttpsServer::~HttpsServer() {
  stop();
}

std::string HttpsServer::set_identity(const pki::Identity& identity) {
  std::string error;
  net::SslContext made = net::make_server_context(identity.certificate_pem, identity.key_pem, error);
  if (!made) return error;
  const std::lock_guard lock(mutex_);
  context_ = std::move(made);
  return {};
}

std::string HttpsServer::start() {
  const auto address = net::numeric_address(options_.listen.host, options_.listen.port);
  if (!address) return options_.listen.host + " is not an IP address";
  std::string error;
  listening_ = net::listen_on(*address, http::to_string(options_.listen), error);
  if (listening_ < 0) return error;
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  ::getsockname(listening_, reinterpret_cast<sockaddr*>(&bound), &size);
  port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                            : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  thread_ = std::thread([this] { accept_all(); });
  return {};
}

void HttpsServer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (Connection& connection : connections_) ::shutdown(connection.fd, SHUT_RD);
  }
  if (thread_.joinable()) thread_.join();
  for (Connection& connection : connections_) connection.thread.join();
  connections_.clear();
  if (listening_ >= 0) ::close(listening_);
  listening_ = -1;
}

void HttpsServer::reap() {
  const std::lock_guard lock(mutex_);
  for (auto it = connections_.begin(); it != connections_.end();) {
    if (!it->done) {
      ++it;
      continue;
    }
    it->thread.join();
    it = connections_.erase(it);
  }
}

void HttpsServer::accept_all() {
  while (true) {
    pollfd ready{listening_, POLLIN, 0};
    ::poll(&ready, 1, kPoll);
    reap();
    const int fd = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      if (fd >= 0) ::close(fd);
      return;
    }
    if (fd < 0) continue;
    if (!context_ || connections_.size() >= options_.max_connections) {
      ::close(fd);
      continue;
    }
    const timeval patience{options_.timeout.count(), 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    net::tune_client(fd);
    Connection& connection = connections_.emplace_back();
    connection.fd = fd;
    connection.thread = std::thread([this, &connection, context = context_] { serve(connection, context); });
  }
}

void HttpsServer::serve(Connection& connection, net::SslContext context) {
  const net::SslHandle ssl = net::new_server_side(context, connection.fd);
  if (ssl && SSL_accept(ssl.get()) == 1) {
    std::string left;
    bool keep = true;
    http::Request request;
    while (keep && read_request(ssl.get(), options_, left, request, keep)) {
      {
        const std::lock_guard lock(mutex_);
        keep = keep && !stopping_;
      }
      http::Response response;
      try {
        response = handler_(request);
      } catch (const std::exception& error) {
        log::error("webhook", "a handler failed", {{"error", error.what()}});
        response.status = 500;
        response.body = "internal error\n";
      }
      if (!write_all(ssl.get(), to_text(response, keep))) break;
      request = {};
    }
    SSL_shutdown(ssl.get());
  }
  const std::lock_guard lock(mutex_);
  ::close(connection.fd);
  connection.fd = -1;
  connection.done = true;
}

}  // namespace dbproxy::webhook
