// MySQL as the worker's templates see it: worker/protocol.hpp says what that is about.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "proxy/backend/mysql_login.hpp"
#include "proxy/net/tls.hpp"
#include "proxy/session/mysql/client_login.hpp"
#include "proxy/session/mysql/client_session.hpp"
#include "proxy/session/mysql/pin_reason.hpp"
#include "proxy/session/mysql/server_session.hpp"
#include "proxy/worker/left_behind.hpp"
#include "proxy/worker/mysql/client_side.hpp"
#include "proxy/worker/mysql/proxy_side.hpp"
#include "proxy/worker/mysql/server_side.hpp"
#include "proxy/worker/protocol.hpp"

namespace dbproxy::worker::mysql {

struct Protocol {
  using Bytes = std::span<char>;  // sequence and statement numbers are rewritten in place
  using ClientLogin = session::mysql::ClientLogin;
  using ClientSession = session::mysql::ClientSession;
  using ServerSession = session::mysql::ServerSession;
  using ClientVerdict = session::mysql::ClientVerdict;
  using ServerVerdict = session::mysql::ServerVerdict;
  using ServerLogin = backend::mysql::Login;
  using ServerWant = backend::mysql::Want;
  using Greeting = mysql::Greeting;
  using Key = mysql::Key;
  using Shared = mysql::Shared;
  using ClientSide = mysql::ClientSide;
  using ServerSide = mysql::ServerSide;
  using TargetSide = mysql::TargetSide;
  using ProxySide = mysql::ProxySide;

  static constexpr bool kDirectTls = false;
  // There are no tunnels: replication is refused.
  struct FrameTracker {
    static bool between() { return true; }
    static bool broken() { return true; }
    static std::size_t step(std::string_view) { return 0; }
  };
  static constexpr int kReplicationPin = 0;
  static bool is_error(const FrameTracker&) { return false; }
  static bool is_ready(const FrameTracker&) { return false; }
  static bool ends_with_good_bye(std::string_view) { return false; }
  // ER_SERVER_SHUTDOWN and its like: the server goes, and not only this connection.
  static bool is_going(std::string_view sqlstate) { return sqlstate == "08S01"; }
  static constexpr int kPinReasonCount = session::mysql::kPinReasonCount;
  static std::span<const std::string_view> pin_reason_names();
  static std::string pin_names(std::uint32_t pins) { return session::mysql::pin_names(pins); }

  // In a directory of sockets.
  static std::string unix_socket_name(std::uint16_t port) { return "/mysql." + std::to_string(port) + ".sock"; }

  static session::mysql::ClientOptions client_options(const config::Snapshot& snapshot, const ClientSide& client) {
    return {.connection_id = client.connection_id(), .exclude_variable_sets = snapshot.pool.exclude_variable_sets};
  }
  // A request for TLS and nothing behind it.
  static std::size_t login_read_size(const ClientLogin& login, std::size_t buffered, std::size_t most) {
    // Up to the end of what may be a request for TLS: whatever follows it belongs to TLS.
    constexpr std::size_t kRequest = wire::mysql::kHeaderSize + wire::mysql::kSslRequestPayload;
    return !login.tls() && login.user().empty() && buffered < kRequest ? kRequest - buffered : most;
  }
  static ClientLogin::Want tls_established(ClientLogin& login, const SSL*, std::string&) {
    return login.tls_established();
  }
  static ServerWant tls_established(ServerLogin& login, const SSL*, std::string& out) {
    return login.tls_established(out);
  }
  static std::string_view check_server_tls(const config::Snapshot&, const SSL*) { return {}; }
  static bool is_not_served(ClientVerdict) { return false; }
  static constexpr std::string_view kNotServed = {};
  // The client logs in once more, as somebody else perhaps: ClientSide::change_user().
  static bool changes_user(ClientVerdict verdict) { return verdict == ClientVerdict::kChangeUser; }
  // They end by themselves, soon, and some drivers make one with every query: no news.
  static constexpr std::uint32_t kPassingPins =
      bit(session::mysql::PinReason::kCursor) | bit(session::mysql::PinReason::kLongData);
  static void good_bye(std::string& out);

  // Words of the proxy's own, as a client of this engine reads them: an ERR packet. address(): gives it the sequence
  // number that a client which is where it is expects.
  static std::string error(Trouble trouble, std::string_view message, std::string_view hint = {});
  static void address(std::string& error, const ClientLogin* login, const ClientSession* session);
  // MySQL has nothing that a server may say unasked.
  static std::string notice(std::string_view, std::string_view) { return {}; }
  // What clients are told of a log-in that failed; empty where it is a matter of time.
  static std::string login_error(const backend::mysql::LoginFailure& failure, const Key& key, bool token);

  // Of sessions that were left behind (worker/left_behind.hpp); those that run on are ended. Blocks.
  static constexpr bool kSeesSessionsOfOthers = false;
  static backend::ProbeOutcome look_for_sessions(const SessionsLook& look);

  // Of a session, which has payloads only.
  static std::string as_error(const std::string& payload);
};

}  // namespace dbproxy::worker::mysql
