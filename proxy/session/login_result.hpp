// How a log-in of a client ended, whatever the engine: metrics count by it.
#pragma once

#include <cstddef>

namespace dbproxy::session {

enum class LoginResult {
  kNone,  // it left before it was done
  kSuccess,
  kWrongPassword,
  kUnknownUser,
  kTlsRequired,
  kTooManyClients,
  kProtocol,
  kCertificate
};
inline constexpr std::size_t kLoginResultCount = 8;

}  // namespace dbproxy::session
