// CancelConnection: carries one CancelRequest to a server, over TLS where the server hop has it, and tells when the
// server has dealt with it, which it shows by closing. (Protocol: "Canceling Requests in Progress".)
#pragma once

#include <string>

#include "proxy/worker/side_connection.hpp"

namespace dbproxy::worker::postgres {

class CancelConnection final : public SideConnection {
 public:
  // `done` as SideConnection has it. `tls` null: in clear.
  static void start(Context& context, const net::Address& address, const std::string& host, net::SslContext tls,
                    const config::ServerTls& settings, std::uint32_t process_id, const std::string& key,
                    CancelDone done);

 private:
  enum class State { kConnecting, kAskTls, kTls, kSent };
  using SideConnection::SideConnection;
  void start_tls();
  void step() override;
  void send_cancel();

  State state_ = State::kConnecting;
  net::SslContext tls_;
  config::TlsMode mode_ = config::TlsMode::kDisable;
  bool direct_ = false;
  std::string host_;
  std::string request_;
};

}  // namespace dbproxy::worker::postgres
