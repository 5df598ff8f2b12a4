// CancelConnection: carries one CancelRequest to a server, over TLS where the server hop has it, and tells when the
// server has dealt with it, which it shows by closing. (Protocol: "Canceling Requests in Progress".)
#pragma once

#include <string>

#include "proxy/net/loop.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/protocol.hpp"

namespace dbproxy::worker::postgres {

class CancelConnection final : public net::Pollable {
 public:
  // `done` is called at most once: whatever happens, at the latest after 5 s, unless the worker ends before. Owned by
  // the context. `tls` null: in clear.
  static void start(Context& context, const net::Address& address, const std::string& host, net::SslContext tls,
                    const config::ServerTls& settings, std::uint32_t process_id, const std::string& key,
                    CancelDone done);
  void on_event(std::uint32_t events) override;
  ~CancelConnection() override = default;

 private:
  enum class State { kConnecting, kAskTls, kTls, kSent, kDone };
  CancelConnection(Context& context, CancelDone done);
  void start_tls();
  void step();
  void send_request();
  void finish(CancelOutcome outcome = CancelOutcome::kOver);

  Context& context_;
  State state_ = State::kConnecting;
  net::Stream stream_;
  net::SslContext tls_;
  config::TlsMode mode_ = config::TlsMode::kDisable;
  bool direct_ = false;
  std::string host_;
  std::string request_;
  CancelDone done_;
  net::Timer deadline_;
};

}  // namespace dbproxy::worker::postgres
