// KillConnection: logs in to a server once more to say KILL QUERY, which is how MySQL cancels, and tells when the
// server has answered. It stands beside the pool for that time, as a cancel request does with PostgreSQL.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "proxy/backend/mysql_login.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/worker/mysql/shared.hpp"

namespace dbproxy::worker::mysql {

class KillConnection final : public net::Pollable {
 public:
  // `done` is called at most once: whatever happens, at the latest after 5 s, unless the worker ends before. Owned by
  // the context. `token`: in the password's place, where it is not empty.
  static void start(Server& server, std::uint32_t connection_id, const Secret& token, CancelDone done);
  void on_event(std::uint32_t events) override;
  ~KillConnection() override = default;

 private:
  enum class State { kConnecting, kTls, kLogin, kSent, kDone };
  KillConnection(Context& context, CancelDone done);
  void step();
  void step_login(backend::mysql::Want want, const std::string& out);
  void finish(CancelOutcome outcome);

  Context& context_;
  State state_ = State::kConnecting;
  net::Stream stream_;
  net::SslContext tls_;
  config::TlsMode mode_ = config::TlsMode::kDisable;
  std::string host_, in_, request_;
  std::unique_ptr<backend::mysql::Login> login_;
  CancelDone done_;
  net::Timer deadline_;
};

}  // namespace dbproxy::worker::mysql
