#include "proxy/auth/error.hpp"

#include <string>

namespace dbproxy::auth {
namespace {

// Boost's base has a protected, non-virtual destructor by design: categories are never deleted through it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
class Category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "dbproxy.auth"; }
  std::string message(int value) const override {
    switch (static_cast<Error>(value)) {
      case Error::kMalformed:
        return "malformed authentication message";
      case Error::kTooLong:
        return "authentication message too long";
      case Error::kNonceMismatch:
        return "SCRAM nonce does not match";
      case Error::kChannelBinding:
        return "the channel binding does not fit the mechanism";
      case Error::kWrongProof:
        return "wrong password";
      case Error::kBadIteration:
        return "SCRAM iteration count out of range";
      case Error::kServerSignature:
        return "the server failed to prove that it knows the password";
      case Error::kServerRefused:
        return "the server refused the SCRAM exchange";
      case Error::kExtension:
        return "unsupported SCRAM extension or authorization identity";
      case Error::kOutOfOrder:
        return "authentication message out of order";
      case Error::kCrypto:
        return "the crypto library refused the operation";
      case Error::kBindingDowngrade:
        return "SCRAM channel binding negotiation error";
      case Error::kBindingMismatch:
        return "SCRAM channel binding check failed";
    }
    return "unknown authentication error";
  }
};
#pragma GCC diagnostic pop

}  // namespace

const boost::system::error_category& error_category() {
  static const Category category;
  return category;
}

}  // namespace dbproxy::auth
