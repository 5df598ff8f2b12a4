// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), both sides: bytes in, bytes out.
//
// Channel binding is tls-server-end-point (RFC 5929), the only type that PostgreSQL knows: a hash of the certificate
// that the server showed, which whoever stands in the middle cannot make equal on both sides.
//
// Neither machine does the slow part: keys are derived by `derive_scram_keys` (milliseconds: off the event loop) and
// passed in, so that callers keep them. Everything else costs microseconds. An object belongs to one log-in and one
// thread. After an error the machine is finished: only a new log-in can follow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/auth/error.hpp"
#include "proxy/auth/random.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::auth {

inline constexpr std::string_view kScramMechanism = "SCRAM-SHA-256";
inline constexpr std::string_view kScramPlusMechanism = "SCRAM-SHA-256-PLUS";
inline constexpr int kDefaultScramIterations = 4096;
inline constexpr int kMaxScramIterations = 1'000'000;
inline constexpr std::size_t kMaxScramNonce = 1024;
inline constexpr std::size_t kMaxScramSalt = 1024;
inline constexpr std::size_t kMaxScramMessage = 8192;

// As good as the password for this salt and count: wiped when it dies, never logged.
struct ScramKeys {
  std::string salt;  // raw bytes
  int iterations = 0;
  std::array<std::uint8_t, 32> client_key{}, stored_key{}, server_key{};

  ScramKeys() = default;
  ScramKeys(const ScramKeys&) = default;
  ScramKeys& operator=(const ScramKeys&) = default;
  ~ScramKeys();
};

// SASLprep, then PBKDF2: about half a millisecond per thousand iterations. Aborts when the crypto library fails.
ScramKeys derive_scram_keys(const Secret& password, std::string_view salt, int iterations);

// For a user that does not exist: keys that no password has, with a salt that stays the same for that user, so that
// the exchange looks as for a real one. `process_secret`: random bytes, the same while the process lives.
ScramKeys mock_scram_keys(std::string_view user, std::string_view process_secret);

// Printable, 24 characters of 18 random bytes.
std::string make_scram_nonce(const RandomBytes& random);

class ScramServer {
 public:
  enum class Mode { kVerify, kMock };  // kMock: does all the work, then fails with kWrongProof whatever comes

  // The keys must outlive the object. `end_point`: the hash that clients bind to; not empty exactly when
  // SCRAM-SHA-256-PLUS was among the mechanisms that were sent.
  ScramServer(const ScramKeys* keys, std::string server_nonce, Mode mode = Mode::kVerify, std::string end_point = {});
  // Another password is good, too: its keys, for the same salt and count; others are left alone. Must outlive it.
  void also_take(const ScramKeys& keys);

  // Takes client-first-message, returns server-first-message. The user name in it is ignored, as PostgreSQL does.
  // `plus`: the mechanism that the client chose is SCRAM-SHA-256-PLUS.
  Result<std::string> on_client_first(std::string_view message, bool plus = false);
  // Takes client-final-message, returns server-final-message: the client is authenticated.
  Result<std::string> on_client_final(std::string_view message);
  // It was that other password that the client has.
  bool took_other() const { return took_other_; }

 private:
  enum class State { kExpectFirst, kExpectFinal, kDone, kFailed };
  // The gs2-header's length; it must fit the mechanism.
  Result<std::size_t> check_header(std::string_view message, bool plus) const;
  bool proves(const ScramKeys& keys, std::string_view proof) const;

  const ScramKeys* keys_;
  const ScramKeys* other_ = nullptr;
  bool took_other_ = false;
  std::string nonce_;  // ours, then the client's and ours
  Mode mode_;
  std::string end_point_;
  State state_ = State::kExpectFirst;
  std::string binding_;  // what c= must hold, before base64: the header, with PLUS followed by the hash
  std::string auth_message_;
};

class ScramClient {
 public:
  struct Challenge {
    std::string salt;  // raw bytes
    int iterations = 0;
  };

  // PostgreSQL takes the user from the start-up packet: `user` is empty there.
  explicit ScramClient(std::string client_nonce, std::string_view user = {});

  // What is known of the channel once the server has named its mechanisms, before client_first(). `end_point`: the
  // hash of the server's certificate; empty without TLS, or where none can be made. Returns the mechanism to choose:
  // PLUS where the server offers it and there is a hash. Where only the server does without, it is told that we could
  // have, so that it notices when somebody has removed PLUS from its list.
  std::string_view bind(std::string_view end_point, bool plus_offered);
  std::string client_first() const;
  // What keys have to be derived for. Salt, nonce and count are bounded.
  Result<Challenge> on_server_first(std::string_view message);
  // Keys for exactly the challenge's salt and count. Empty string: called out of order, or keys for something else.
  std::string client_final(const ScramKeys& keys);
  // Success: the server has proved that it knows the password as well.
  Result<void> on_server_final(std::string_view message);

 private:
  enum class State { kExpectFirst, kDerive, kExpectFinal, kDone, kFailed };
  State state_ = State::kExpectFirst;
  std::string gs2_header_ = "n,,";
  std::string end_point_;  // empty: not bound
  std::string nonce_;      // ours, then the whole
  std::string first_bare_;
  std::string server_first_;
  Challenge challenge_;
  std::array<std::uint8_t, 32> server_signature_{};
};

}  // namespace dbproxy::auth
