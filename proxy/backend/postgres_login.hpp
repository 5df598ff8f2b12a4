// Login: a client's way into a PostgreSQL server, protocol 3.0 or 3.2, as a resumable machine: bytes in, bytes out.
//
// Never touches a socket or a clock, and never computes for long: PBKDF2 is the caller's (kDeriveKeys). The caller
// sends whatever was appended to `out` before it acts on what is wanted. Everything that the server says is bounded: a
// message to 64 KB, the log-in to 1 MB. One object is one log-in, used by one thread.
// (Protocol: "Start-up", "SSL Session Encryption", "SASL Authentication"; RFC 5802.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/auth/random.hpp"
#include "proxy/auth/scram.hpp"
#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::backend {

struct LoginOptions {
  std::string user;
  std::string database;
  wire::postgres::Parameters parameters;  // further start-up parameters
  Secret password;
  bool token = false;  // of AWS: sent as it is, over TLS, to a server that asks for that, or not at all
  config::TlsMode tls = config::TlsMode::kVerifyFull;
  config::CaOwner ca_owner = config::CaOwner::kInstallation;
  bool direct_tls = false;   // TLS from the first byte, without an SSLRequest
  bool unix_socket = false;  // then TLS is never asked for
  // Ask for protocol 3.2, which has cancel keys that cannot be guessed. Only where the server is known to be 18 or
  // later: one that is not says so and goes on with 3.0, but what stands before a server may not know how.
  bool protocol_3_2 = false;
};

enum class Want {
  kRead,        // more bytes: call feed
  kStartTls,    // shake hands, then tls_established; the caller must not have read past this answer
  kDeriveKeys,  // derive keys for scram_challenge(), then keys_derived
  kDone,        // ready for queries
  kFailed,      // see failure(); close the connection
};

enum class FailureKind {
  kNone,
  kServerError,      // ErrorResponse: sqlstate, message and raw are set
  kProtocol,         // not what the protocol allows, or over a bound
  kTls,              // the server has no TLS, or plain bytes came before it
  kAuthUnsupported,  // a method that is not spoken here
  kClearText,        // it asks for what it may not have as it is: see config::clear_text_refusal
  kAuthExchange,     // SCRAM went wrong on the server's side: it could not prove who it is, or tried to skip that
};

struct LoginFailure {
  FailureKind kind = FailureKind::kNone;
  std::string message;   // for people; no secrets
  std::string sqlstate;  // kServerError
  std::string raw;       // kServerError: the whole ErrorResponse, to pass on to a client
  // The server refused this user and password, rather than the connection.
  bool is_auth_failure() const {
    return kind == FailureKind::kServerError && (sqlstate == "28P01" || sqlstate == "28000");
  }
};

class Login {
 public:
  explicit Login(LoginOptions options, const auth::RandomBytes& random = auth::system_random());

  Want start(std::string& out);
  // Takes whole messages off the front of `bytes`; `consumed` says how many bytes. Call again with the rest and more.
  Want feed(std::string_view bytes, std::size_t& consumed, std::string& out);
  // `end_point`: for channel binding, see net::peer_end_point; empty: none can be made.
  Want tls_established(std::string& out, std::string end_point = {});
  const auth::ScramClient::Challenge& scram_challenge() const { return challenge_; }
  Want keys_derived(const auth::ScramKeys& keys, std::string& out);

  Want want() const { return want_; }
  const LoginFailure& failure() const { return failure_; }

  // What the server said, once done.
  const wire::postgres::Parameters& parameters() const { return parameters_; }  // ParameterStatus, in order
  std::uint32_t process_id() const { return process_id_; }
  const std::string& cancel_key() const { return cancel_key_; }  // 4 bytes in protocol 3.0, at most 256

 private:
  enum class State {
    kNew,
    kTlsAnswer,       // SSLRequest is out
    kTlsHandshake,    // the caller's turn
    kAuthentication,  // the server chooses a method, or none
    kPasswordSent,
    kScramFirst,
    kScramKeys,  // the caller's turn
    kScramFinal,
    kScramVerified,
    kGreeting,
    kOver,
  };

  void send_startup(std::string& out);
  Want tls_answer(std::string_view bytes, std::size_t& consumed);
  Want message(char type, std::string_view whole, std::string& out);
  Want authentication(std::string_view body, std::string& out);
  Want sasl(std::string_view mechanisms, std::string& out);
  Want greeting(char type, std::string_view body);
  Want negotiated(std::string_view body);
  Want server_error(std::string_view whole);
  Want fail(FailureKind kind, std::string message);
  Want wants(Want want) { return want_ = want; }

  LoginOptions options_;
  auth::ScramClient scram_;
  auth::ScramClient::Challenge challenge_;
  State state_ = State::kNew;
  Want want_ = Want::kRead;
  bool tls_up_ = false;
  std::string end_point_;
  std::size_t taken_ = 0;  // bytes of all messages so far
  LoginFailure failure_;
  wire::postgres::Parameters parameters_;
  std::uint32_t process_id_ = 0;
  std::string cancel_key_;
};

}  // namespace dbproxy::backend
