// How a log-in of a client ended, whatever the engine: metrics count by it.
#pragma once

#include <cstddef>

namespace dbproxy::session {

enum class LoginResult {
  kNone,  // it left before it was done
  kSuccess,
  kSuccessPrevious,  // with what was in its secret before the last rotation
  kWrongPassword,
  kUnknownUser,
  kTlsRequired,
  kTooManyClients,
  kProtocol,
  kCertificate,
  kPodIdentity,  // it is not where the clients of the pod are, or not the user that they are
  kIamToken,     // it showed no token of AWS, or one that does not let it in
  kDeleted       // the DBProxy is no more
};
inline constexpr std::size_t kLoginResultCount = 12;

// clientAuth: PodIdentity. kTrusted: this client stands where those stand that need no password.
enum class PodIdentity { kOff, kTrusted, kElsewhere };

}  // namespace dbproxy::session
