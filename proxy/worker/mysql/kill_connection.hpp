// KillConnection: logs in to a server once more to say KILL QUERY, which is how MySQL cancels, and tells when the
// server has answered. It stands beside the pool for that time, as a cancel request does with PostgreSQL.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "proxy/backend/mysql_login.hpp"
#include "proxy/worker/mysql/shared.hpp"
#include "proxy/worker/side_connection.hpp"

namespace dbproxy::worker::mysql {

class KillConnection final : public SideConnection {
 public:
  // `done` as SideConnection has it. `token`: in the password's place, where it is not empty.
  static void start(Server& server, std::uint32_t connection_id, const Secret& token, CancelDone done);

 private:
  enum class State { kConnecting, kTls, kLogin, kSent };
  using SideConnection::SideConnection;
  void step() override;
  void step_login(backend::mysql::Want want, const std::string& out);

  State state_ = State::kConnecting;
  net::SslContext tls_;
  config::TlsMode mode_ = config::TlsMode::kDisable;
  std::string host_, in_, request_;
  std::unique_ptr<backend::mysql::Login> login_;
};

}  // namespace dbproxy::worker::mysql
