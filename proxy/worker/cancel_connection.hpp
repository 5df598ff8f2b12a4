// CancelConnection: carries one CancelRequest to a server, over TLS where the server hop has it, and tells when the
// server has dealt with it, which it shows by closing. (Protocol: "Canceling Requests in Progress".)
#pragma once

#include <functional>
#include <string>

#include "proxy/net/loop.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/worker/context.hpp"

namespace dbproxy::worker {

class CancelConnection final : public net::Pollable {
 public:
  // Told to the caller in the end. kUnknown: it was sent, and the server has not shown that it has dealt with it. It
  // may still do so at any time, so that what the request names must not be given to anybody else.
  enum class Outcome { kOver, kUnknown };
  using Done = std::function<void(Outcome)>;

  // `done` is called at most once: whatever happens, at the latest after 5 s, unless the worker ends before. Owned by
  // the context. `tls` null: in clear.
  static void start(Context& context, const net::Address& address, const std::string& host, net::SslContext tls,
                    const config::ServerTls& settings, std::uint32_t process_id, const std::string& key, Done done);
  void on_event(std::uint32_t events) override;
  ~CancelConnection() override = default;

 private:
  enum class State { kConnecting, kAskTls, kTls, kSent, kDone };
  CancelConnection(Context& context, Done done);
  void start_tls();
  void step();
  void send_request();
  void finish(Outcome outcome = Outcome::kOver);

  Context& context_;
  State state_ = State::kConnecting;
  net::Stream stream_;
  net::SslContext tls_;
  config::TlsMode mode_ = config::TlsMode::kDisable;
  bool direct_ = false;
  std::string host_;
  std::string request_;
  Done done_;
  net::Timer deadline_;
};

}  // namespace dbproxy::worker
