// BlockingConnection: a socket to a server, with one deadline for all that is done on it. For probes, which have a
// thread of their own; nothing on the data path uses it.
//
// Every method returns false at a failure or at the deadline and leaves a sentence in error(). Looking a name up is
// getaddrinfo's: it blocks, and only resolv.conf bounds it. The process must ignore SIGPIPE.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/config/snapshot.hpp"
#include "proxy/net/address_policy.hpp"
#include "proxy/net/tls.hpp"

namespace dbproxy::backend {

class BlockingConnection {
 public:
  explicit BlockingConnection(std::chrono::milliseconds timeout, const config::EndpointPolicy& policy = {})
      : deadline_(std::chrono::steady_clock::now() + timeout), policy_(policy) {}
  ~BlockingConnection();
  // From now on, for all that follows.
  void set_timeout(std::chrono::milliseconds timeout) { deadline_ = std::chrono::steady_clock::now() + timeout; }
  BlockingConnection(const BlockingConnection&) = delete;
  BlockingConnection& operator=(const BlockingConnection&) = delete;

  // A host that begins with '/' is the directory of a Unix socket, whose name is `socket`, or PostgreSQL's for the
  // port.
  bool connect(const std::string& host, std::uint16_t port, const std::string& socket = {});
  bool start_tls(const config::ServerTls& tls, const std::string& host);
  // For channel binding, once TLS is up.
  std::string end_point() const;
  bool send(std::string_view bytes);
  // Appends at least one byte. The end of the stream is a failure.
  bool receive(std::string& buffer);

  const std::string& error() const { return error_; }
  // Nobody answers, or not in time; rather than that who was reached did something wrong.
  bool unreachable() const { return unreachable_; }
  // Nobody was asked: the policy refuses all addresses of the host.
  bool refused() const { return refused_; }

 private:
  bool connect_to(const net::Address& address);
  bool wait(short events);
  bool wait_for_tls(int result, const char* what);
  bool fail(std::string error) {
    error_ = std::move(error);
    return false;
  }

  std::chrono::steady_clock::time_point deadline_;
  net::AddressPolicy policy_;
  int fd_ = -1;
  net::SslContext context_;
  net::SslHandle ssl_;
  bool direct_ = false;  // TLS was begun without asking
  std::string error_;
  bool unreachable_ = false, refused_ = false;
};

}  // namespace dbproxy::backend
