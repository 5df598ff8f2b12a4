// Server: a small HTTP/1.1 server for metrics, probes and JSON, on TCP and optionally on a Unix socket.
//
// One thread of its own reads, runs handlers and writes; a handler therefore should answer within milliseconds and must
// not call `stop`. Routes are added before `start`. What a peer sends is bounded in size and in time; garbage is
// answered with 400, and no exception of a handler escapes (500). HEAD is answered wherever GET is.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/http/address.hpp"
#include "proxy/http/message.hpp"

namespace dbproxy::http {

struct ServerOptions {
  Address listen{"127.0.0.1", 0};  // an IP address or "localhost"; port 0 takes a free one
  std::string unix_path;           // also listens there, mode 0600; empty: no
  std::size_t max_header_bytes = 8 * 1024;
  std::size_t max_body_bytes = 64 * 1024;
  std::size_t max_connections = 64;           // one more closes the one that was silent for longest
  std::chrono::milliseconds timeout{10'000};  // to send a request, to take an answer, and between two requests
};

// Who may use a route.
enum class Access {
  kPublic,   // everyone who can connect
  kPrivate,  // Unix socket; TCP only while it listens on a loopback address, and never for a web page (Origin, or a
             // Host that is a foreign name: a browser that was led here)
};

struct RouteOptions {
  Access access = Access::kPublic;
  // Given the token of `Authorization: Bearer …` ("" without one); false is answered with 401. Unset: no token needed.
  std::function<bool(std::string_view token)> authorize;
};

class Server {
 public:
  explicit Server(ServerOptions options);
  ~Server();  // stops

  void route(std::string method, std::string path, Handler handler, RouteOptions options = {});

  // Listens and starts the thread. Returns "" or a sentence that says why not.
  std::string start();
  // Closes everything and joins the thread. Harmless when not started, or twice.
  void stop();
  std::uint16_t port() const;  // after start

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::http
