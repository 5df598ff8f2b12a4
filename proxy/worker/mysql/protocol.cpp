#include "proxy/worker/mysql/protocol.hpp"

#include <array>

#include "proxy/backend/mysql_probe.hpp"
#include "proxy/wire/mysql/messages.hpp"

namespace dbproxy::worker::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;

// What drivers know: 1053 and 2013 make pools throw a connection away, 9501 is RDS Proxy's for a wait in vain.
wire::Error code_of(Trouble trouble) {
  switch (trouble) {
    case Trouble::kLoginTimeout:
      return {.code = 1159, .sqlstate = "08S01"};
    case Trouble::kIdleClient:
      return {.code = wire::error::kIdleTimeout, .sqlstate = "HY000"};
    case Trouble::kGoingAway:
      return {.code = wire::error::kServerShutdown, .sqlstate = "08S01"};
    case Trouble::kServerLost:
      return {.code = wire::error::kServerLost, .sqlstate = "08S01"};
    case Trouble::kCancelled:
      return {.code = wire::error::kQueryInterrupted, .sqlstate = "70100"};
    case Trouble::kTransactionTimeout:
    case Trouble::kIdleInTransaction:
      return {.code = wire::error::kConnectionKilled, .sqlstate = "70100"};
    case Trouble::kNoTarget:
    case Trouble::kPoolFull:
    case Trouble::kUnreachable:
      return {.code = wire::error::kBorrowTimeout, .sqlstate = "HY000"};
    case Trouble::kUserRemoved:
    case Trouble::kNoCredentials:
      return {.code = wire::error::kAccessDenied, .sqlstate = "28000"};
    case Trouble::kNotServed:
      return {.code = wire::error::kUnknownCommand, .sqlstate = "08S01"};
    case Trouble::kInitQuery:
    case Trouble::kEndpointRefused:
      return {.code = wire::error::kUnknown, .sqlstate = "HY000"};
  }
  return {};
}

}  // namespace

std::span<const std::string_view> Protocol::pin_reason_names() {
  static const auto kNames = [] {
    std::array<std::string_view, kPinReasonCount> names;
    for (int i = 0; i < kPinReasonCount; ++i) {
      names[static_cast<std::size_t>(i)] = session::mysql::to_string(session::mysql::pin_reason(i));
    }
    return names;
  }();
  return kNames;
}

std::string Protocol::as_error(const std::string& payload) {
  std::string out;
  wire::packet(out, 1, payload);
  return out;
}

void Protocol::good_bye(std::string& out) {
  wire::command(out, wire::Command::kQuit);
}

// There is one text only: the hint is its second sentence.
std::string Protocol::error(Trouble trouble, std::string_view message, std::string_view hint) {
  std::string text(message);
  if (!hint.empty()) (text += ". ") += hint;
  auto error = code_of(trouble);
  error.message = text;
  std::string out;
  wire::error_packet(out, 1, error);
  return out;
}

// What comes unasked, or as the answer to a command, has the number 1: the client takes it for the answer to its next.
void Protocol::address(std::string& error, const ClientLogin* login, const ClientSession* session) {
  if (error.size() <= wire::kHeaderSize || error[3] != 1) return;
  if (login != nullptr) error[3] = static_cast<char>(login->sequence());
  if (session != nullptr) error[3] = static_cast<char>(session->error_sequence());
}

// What a server says of a user or a schema is for the client; that it is starting or full is a matter of time.
std::string Protocol::login_error(const backend::mysql::LoginFailure& failure, const Key&, bool token) {
  const bool passing = failure.code == wire::error::kTooManyConnections ||
                       failure.code == wire::error::kServerShutdown || failure.code == 1129 || failure.code == 1203 ||
                       failure.code == 1226;
  if (failure.kind == backend::mysql::FailureKind::kClearText)
    return Protocol::error(Trouble::kNoCredentials, failure.message);
  std::string out;
  if (failure.code == 0 || passing) return out;
  const std::string words =
      failure.is_auth_failure()
          ? "the database refused the credentials that are configured for this user: " + failure.message +
                (token ? ". Allow rds-db:connect on this user for the role that the sidecar has (dbproxyctl iam-policy "
                         "prints it), and let the user be IDENTIFIED WITH AWSAuthenticationPlugin"
                       : ". Correct the secret of this user in the DBProxy, or the user's password.")
          : failure.message;
  wire::error_packet(out, 1, {.code = failure.code, .sqlstate = failure.sqlstate, .message = words});
  return out;
}

backend::ProbeOutcome Protocol::look_for_sessions(const SessionsLook& look) {
  return backend::mysql::probe(look.host, look.port, look.tls, look.user, look.password,
                               std::chrono::milliseconds(2000), look.policy, look.token, look.question)
      .base;
}

}  // namespace dbproxy::worker::mysql
