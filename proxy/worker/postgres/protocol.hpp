// PostgreSQL as the worker's templates see it: worker/protocol.hpp says what that is about.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proxy/backend/postgres_login.hpp"
#include "proxy/net/tls.hpp"
#include "proxy/session/postgres/client_login.hpp"
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/server_session.hpp"
#include "proxy/wire/postgres/frame_tracker.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/worker/left_behind.hpp"
#include "proxy/worker/postgres/client_side.hpp"
#include "proxy/worker/postgres/proxy_side.hpp"
#include "proxy/worker/postgres/server_side.hpp"
#include "proxy/worker/protocol.hpp"

namespace dbproxy::worker::postgres {

struct Protocol {
  using Bytes = std::string_view;
  using ClientLogin = session::postgres::ClientLogin;
  using ClientSession = session::postgres::ClientSession;
  using ServerSession = session::postgres::ServerSession;
  using ClientVerdict = session::postgres::ClientVerdict;
  using ServerVerdict = session::postgres::ServerVerdict;
  using ServerLogin = backend::Login;
  using ServerWant = backend::Want;
  using Greeting = session::postgres::SettingsPtr;  // what a client is told after its log-in
  using Key = postgres::Key;
  using Shared = postgres::Shared;
  using ClientSide = postgres::ClientSide;
  using ServerSide = postgres::ServerSide;
  using TargetSide = postgres::TargetSide;
  using ProxySide = postgres::ProxySide;

  // TLS may begin with a client's first byte.
  static constexpr bool kDirectTls = true;
  // What a tunnel has to know of the messages that go through it.
  using FrameTracker = wire::postgres::FrameTracker;
  static constexpr int kReplicationPin = session::postgres::kReplicationIndex;
  static bool is_error(const FrameTracker& answers) { return answers.last() == 'E'; }
  // A FATAL by which a server says that it shuts down, has crashed, or does not serve yet.
  static bool is_going(std::string_view sqlstate) {
    return sqlstate == "57P01" || sqlstate == "57P02" || sqlstate == "57P03";
  }
  static bool is_ready(const FrameTracker& answers) { return answers.between() && answers.last() == 'Z'; }
  static bool ends_with_good_bye(std::string_view bytes) { return bytes.ends_with(std::string_view("X\0\0\0\4", 5)); }
  static constexpr int kPinReasonCount = session::postgres::kPinReasonCount;
  static std::span<const std::string_view> pin_reason_names();
  static std::string pin_names(std::uint32_t pins) { return session::postgres::pin_names(pins); }

  // In a directory of sockets.
  static std::string unix_socket_name(std::uint16_t port) { return "/.s.PGSQL." + std::to_string(port); }

  static session::postgres::ClientOptions client_options(const config::Snapshot& snapshot, const ClientSide& client);
  // Commands that are known and have no place here.
  static bool is_not_served(ClientVerdict) { return false; }
  static constexpr std::string_view kNotServed = {};
  // How much of what a client sends may be read now.
  static std::size_t login_read_size(const ClientLogin&, std::size_t, std::size_t most) { return most; }
  static ClientLogin::Want tls_established(ClientLogin& login, const SSL* ssl, std::string& out);
  static backend::Want tls_established(ServerLogin& login, const SSL* ssl, std::string& out);
  // "" or why this server's TLS is not good enough.
  static std::string_view check_server_tls(const config::Snapshot& snapshot, const SSL* ssl);
  static void good_bye(std::string& out) { wire::postgres::terminate(out); }

  // Words of the proxy's own, as a client of this engine reads them. address(): to a client that is where it is.
  static std::string error(Trouble trouble, std::string_view message, std::string_view hint = {});
  static void address(std::string&, const ClientLogin*, const ClientSession*) {}
  static std::string notice(std::string_view message, std::string_view hint);
  // What a session says of an error, as a message.
  static const std::string& as_error(const std::string& error) { return error; }
  // What clients are told of a log-in that failed; empty where it is a matter of time. `token`: it was tried with
  // one of AWS.
  static std::string login_error(const backend::LoginFailure& failure, const Key& key, bool token);

  // Of sessions that were left behind (worker/left_behind.hpp). The first blocks.
  static constexpr bool kSeesSessionsOfOthers = true;
  static backend::ProbeOutcome look_for_sessions(const SessionsLook& look);
  static void cancel_session(Proxy& proxy, const RecordedConnection& connection);
};

}  // namespace dbproxy::worker::postgres
