// Login: a client's way into a MySQL or MariaDB server as a resumable machine: bytes in, bytes out.
//
// Never touches a socket or a clock; nothing in it takes longer than an RSA encryption. The caller sends whatever was
// appended to `out` before it acts on what is wanted. Everything that the server says is bounded: a packet to 64 KB,
// the log-in to 256 KB and 32 packets. One object is one log-in, used by one thread.
// (MySQL internals manual: "Connection Phase"; plugins: proxy/auth/mysql.hpp.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/wire/mysql/handshake.hpp"

namespace dbproxy::backend::mysql {

// Asked for in any case, where the server has it.
inline constexpr std::uint32_t kBaseCapabilities =
    wire::mysql::client::kLongPassword | wire::mysql::client::kLongFlag | wire::mysql::client::kProtocol41 |
    wire::mysql::client::kTransactions | wire::mysql::client::kSecureConnection |
    wire::mysql::client::kMultiStatements | wire::mysql::client::kPluginAuth | wire::mysql::client::kConnectAttributes |
    wire::mysql::client::kLenencAuthData | wire::mysql::client::kSessionTrack | wire::mysql::client::kDeprecateEof;

struct LoginOptions {
  std::string user;
  std::string schema;  // empty: none
  Secret password;
  std::uint32_t capabilities = 0;  // beyond kBaseCapabilities: of wire::mysql::kPoolFlags
  std::uint8_t collation = 45;     // utf8mb4_general_ci, which every server knows
  wire::mysql::Attributes attributes;
  config::TlsMode tls = config::TlsMode::kVerifyFull;
  bool unix_socket = false;  // then TLS is never asked for, and counts as if it were up
  // The password may be sent as it is when the server asks for that, over TLS: IAM tokens are.
  bool clear_password = false;
};

enum class Want {
  kRead,      // more bytes: call feed
  kStartTls,  // shake hands, then tls_established; the caller must not have read past the greeting
  kDone,      // ready for requests
  kFailed,    // see failure(); close the connection
};

enum class FailureKind {
  kNone,
  kServerError,      // ERR: code, sqlstate, message and raw are set
  kProtocol,         // not what the protocol allows, or over a bound
  kTls,              // the server has no TLS, or plain bytes came before it
  kAuthUnsupported,  // a plugin that is not spoken here
  kClearText,        // mysql_clear_password, where the password may not be sent as it is
};

struct LoginFailure {
  FailureKind kind = FailureKind::kNone;
  std::string message;     // for people; no secrets
  std::uint16_t code = 0;  // kServerError
  std::string sqlstate;    // likewise
  std::string raw;         // likewise: the ERR's payload, to pass on to a client
  // The server refused this user and password, rather than the connection.
  bool is_auth_failure() const;
};

class Login {
 public:
  explicit Login(LoginOptions options) : options_(std::move(options)) {}

  Want start(std::string& out);  // sends nothing: the server speaks first
  // Takes whole packets off the front of `bytes`; `consumed` says how many bytes. Call again with the rest and more.
  Want feed(std::string_view bytes, std::size_t& consumed, std::string& out);
  Want tls_established(std::string& out);

  Want want() const { return want_; }
  const LoginFailure& failure() const { return failure_; }

  // What the server said.
  const wire::mysql::Greeting& greeting() const { return greeting_; }
  const std::string& server_version() const { return greeting_.server_version; }
  std::uint32_t connection_id() const { return greeting_.connection_id; }
  // Once done: what is agreed on, and the first status.
  std::uint32_t capabilities() const { return capabilities_; }
  std::uint16_t status() const { return status_; }

 private:
  enum class State { kNew, kGreeting, kTlsHandshake, kResponseSent, kKeyAsked, kOver };
  Want packet(std::string_view payload, std::string& out);
  Want on_greeting(std::string_view payload, std::string& out);
  Want server_error(std::string_view payload);
  Want more_data(std::string_view data, std::string& out);
  Want use_plugin(std::string_view plugin, std::string& out, bool first);
  void respond(std::string_view response, std::string& out);
  void send_response(std::string_view auth_response, std::string& out);
  bool secure() const { return tls_up_ || options_.unix_socket; }
  wire::mysql::HandshakeResponse response_head() const;
  Want fail(FailureKind kind, std::string message);
  Want wants(Want want) { return want_ = want; }

  LoginOptions options_;
  State state_ = State::kNew;
  Want want_ = Want::kRead;
  bool tls_up_ = false;
  std::uint8_t sequence_ = 0;  // of the next packet, either way
  std::string plugin_, nonce_;
  std::uint32_t capabilities_ = 0;
  std::uint16_t status_ = 0;
  std::size_t taken_ = 0;
  int packets_ = 0;
  wire::mysql::Greeting greeting_;
  LoginFailure failure_;
};

}  // namespace dbproxy::backend::mysql
