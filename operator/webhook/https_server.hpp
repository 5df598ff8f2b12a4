// HttpsServer: HTTP/1.1 over TLS for the API server's admission requests.
//
// A thread for each connection, of which there are few: the API server keeps its own. Handlers may block, as those that
// ask the API server do. What a peer sends is bounded in size and time; garbage closes its connection. The identity can
// be exchanged at any time, and is used by connections that come after. The process must ignore SIGPIPE.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "proxy/http/address.hpp"
#include "proxy/http/message.hpp"
#include "proxy/net/tls.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::webhook {

struct HttpsOptions {
  http::Address listen{"0.0.0.0", 9443};              // an IP address; port 0 takes a free one
  std::size_t max_connections = 64;                   // more are closed at once
  std::size_t max_body_bytes = std::size_t{8} << 20;  // an object is 1.5 MB in etcd, more as JSON with its review
  std::chrono::seconds timeout{15};                   // for the next bytes, either way
};

class HttpsServer {
 public:
  HttpsServer(HttpsOptions options, http::Handler handler);
  ~HttpsServer();  // stops
  HttpsServer(const HttpsServer&) = delete;
  HttpsServer& operator=(const HttpsServer&) = delete;

  // "" or why the certificate is no good. Before the first one connections are closed. Any thread.
  std::string set_identity(const pki::Identity& identity);
  // "" or why it cannot listen.
  std::string start();
  // Ends connections once their requests are answered; waits for them.
  void stop();
  std::uint16_t port() const { return port_; }

 private:
  struct Connection {
    int fd = -1;
    bool done = false;
    std::thread thread;
  };
  void accept_all();
  void serve(Connection& connection, net::SslContext context);
  void reap();

  const HttpsOptions options_;
  const http::Handler handler_;
  std::mutex mutex_;
  net::SslContext context_;
  std::list<Connection> connections_;
  bool stopping_ = false;
  int listening_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace dbproxy::webhook
