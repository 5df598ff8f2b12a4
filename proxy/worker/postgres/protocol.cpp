#include "proxy/worker/postgres/protocol.hpp"

#include <algorithm>
#include <array>

#include "proxy/net/tls_peer.hpp"
#include "proxy/worker/postgres/cancel_connection.hpp"
#include "proxy/worker/proxy_runtime.hpp"

namespace dbproxy::worker::postgres {
namespace {

std::string_view sqlstate(Trouble trouble) {
  switch (trouble) {
    case Trouble::kLoginTimeout:
      return "08P01";
    case Trouble::kIdleClient:
      return "57P05";
    case Trouble::kGoingAway:
      return "57P01";
    case Trouble::kServerLost:
      return "08006";
    case Trouble::kCancelled:
      return "57014";
    case Trouble::kTransactionTimeout:
      return "25P04";
    case Trouble::kIdleInTransaction:
      return "25P03";
    case Trouble::kNoTarget:
    case Trouble::kUnreachable:
      return "57P03";
    case Trouble::kPoolFull:
      return "53300";
    case Trouble::kUserRemoved:
    case Trouble::kNoCredentials:
      return "28000";
    case Trouble::kNotServed:
      return "0A000";
    case Trouble::kInitQuery:
      return "38000";
    case Trouble::kEndpointRefused:
      return "08001";
  }
  return "XX000";
}

// After the others the session goes on.
bool is_fatal(Trouble trouble) {
  return trouble != Trouble::kCancelled && trouble != Trouble::kPoolFull && trouble != Trouble::kUnreachable &&
         trouble != Trouble::kNoTarget;
}

}  // namespace

std::span<const std::string_view> Protocol::pin_reason_names() {
  static const auto kNames = [] {
    std::array<std::string_view, kPinReasonCount> names;
    for (int i = 0; i < kPinReasonCount; ++i) {
      names[static_cast<std::size_t>(i)] = session::postgres::to_string(session::postgres::pin_reason(i));
    }
    return names;
  }();
  return kNames;
}

session::postgres::ClientOptions Protocol::client_options(const config::Snapshot& snapshot, const ClientSide&) {
  session::postgres::ClientOptions options;
  options.sequence_pinning = snapshot.sequence_pinning;
  options.deferred_begin = snapshot.deferred_begin;
  return options;
}

Protocol::ClientLogin::Want Protocol::tls_established(ClientLogin& login, const SSL* ssl, std::string& out) {
  return login.tls_established({.end_point = net::own_end_point(ssl),
                                .alpn = net::alpn_agreed(ssl),
                                .verified = net::peer_verified(ssl),
                                .common_name = net::peer_common_name(ssl)},
                               out);
}

backend::Want Protocol::tls_established(ServerLogin& login, const SSL* ssl, std::string& out) {
  return login.tls_established(out, net::peer_end_point(ssl));
}

std::string_view Protocol::check_server_tls(const config::Snapshot& snapshot, const SSL* ssl) {
  return snapshot.server_tls.direct && !net::alpn_agreed(ssl) ? std::string_view(net::kNoAlpn) : std::string_view();
}

backend::ProbeOutcome Protocol::look_for_sessions(const SessionsLook& look) {
  static backend::ScramKeyCache keys;
  return backend::ProbeSession({.host = look.host,
                                .port = look.port,
                                .tls = look.tls,
                                .user = look.user,
                                .password = look.password,
                                .topology_query = {},
                                .policy = look.policy,
                                .token = look.token},
                               keys)
      .ask(std::chrono::milliseconds(2000), std::chrono::milliseconds(1500), look.question);
}

void Protocol::cancel_session(Proxy& proxy, const RecordedConnection& connection) {
  if (connection.cancel_key.empty()) return;
  const auto& targets = proxy.snapshot().targets;
  const auto target = std::find_if(targets.begin(), targets.end(),
                                   [&](const config::Target& each) { return each.id == connection.target; });
  if (target == targets.end()) return;
  CancelConnection::start(proxy.context(), connection.address, target->host, proxy.server_tls(),
                          proxy.snapshot().server_tls, connection.id, connection.cancel_key, [](CancelOutcome) {});
}

std::string Protocol::error(Trouble trouble, std::string_view message, std::string_view hint) {
  std::string out;
  wire::postgres::error_response(out, {.severity = is_fatal(trouble) ? "FATAL" : "ERROR",
                                       .sqlstate = sqlstate(trouble),
                                       .message = message,
                                       .hint = hint});
  return out;
}

std::string Protocol::notice(std::string_view message, std::string_view hint) {
  std::string out;
  wire::postgres::notice_response(out, {.severity = "NOTICE", .sqlstate = "00000", .message = message, .hint = hint});
  return out;
}

// What a server says of a user or a database is for the client; that it is starting or full is a matter of time.
std::string Protocol::login_error(const backend::LoginFailure& failure, const Key& key, bool token) {
  // The role may be good for everything else; and max_wal_senders is not ours to wait for.
  if (key.replication && !failure.raw.empty() && failure.sqlstate != "28P01") return failure.raw;
  bool passing = failure.sqlstate.starts_with("57P0") || failure.sqlstate.starts_with("53");
  std::string error;
  // That it wants a password where there is a token is no matter of time.
  if ((token && failure.kind == backend::FailureKind::kAuthUnsupported) ||
      failure.kind == backend::FailureKind::kClearText)
    return Protocol::error(Trouble::kNoCredentials, failure.message);
  if (failure.sqlstate.empty() || passing) return error;
  auto words = failure.is_auth_failure()
                   ? "the database refused the credentials that are configured for this user: " + failure.message
                   : failure.message;
  auto hint =
      !failure.is_auth_failure() ? ""
      : token ? "Allow rds-db:connect on this user for the role that the sidecar has (dbproxyctl iam-policy prints it)."
              : "Correct the secret of this user in the DBProxy, or the user's password.";
  wire::postgres::error_response(error,
                                 {.severity = "FATAL", .sqlstate = failure.sqlstate, .message = words, .hint = hint});
  return error;
}

}  // namespace dbproxy::worker::postgres
