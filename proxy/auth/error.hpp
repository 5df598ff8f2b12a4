// Errors of the authentication machines. None of them carries bytes from the wire or a secret.
#pragma once

#include <type_traits>

#include "proxy/base/result.hpp"

namespace dbproxy::auth {

enum class Error {
  kMalformed = 1,     // not what RFC 5802's grammar says, or out of order of the exchange
  kTooLong,           // a message, nonce or salt above its bound
  kNonceMismatch,     // the nonce does not extend ours, or is not the one that was agreed on
  kChannelBinding,    // the gs2-header does not fit the mechanism, or another type of binding
  kWrongProof,        // wrong password, or an unknown user: the two are the same on purpose
  kBadIteration,      // iteration count missing, below 1 or above the bound
  kServerSignature,   // the server does not know the password either: it is not who it says it is
  kServerRefused,     // server-final says e=…
  kExtension,         // a mandatory extension (m=), an authorization identity
  kOutOfOrder,        // a call that this state of the machine does not take
  kCrypto,            // the crypto library refused (out of memory, FIPS without MD5)
  kBindingDowngrade,  // the client could bind, and did not see that we can as well
  kBindingMismatch,   // bound to another channel, or another header than was sent
};

const boost::system::error_category& error_category();
inline ErrorCode make_error_code(Error error) {
  return {static_cast<int>(error), error_category()};
}

}  // namespace dbproxy::auth

template <>
struct boost::system::is_error_code_enum<dbproxy::auth::Error> : std::true_type {};
