// ClientLogin: a client from its first byte to the point where it is known who it is.
//
// Pure and resumable: bytes in; bytes out and what is wanted next. Follows "Start-up", "SSL Session Encryption",
// "SASL Authentication" of the protocol, 3.0 and 3.2 (there is no 3.1; it is served as 3.0). Nothing but the messages
// that may come is accepted at each step, and bytes that arrive before TLS is up never count as sent under it.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/auth/random.hpp"
#include "proxy/auth/scram.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/session/credential.hpp"
#include "proxy/session/login_result.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/startup.hpp"

namespace dbproxy::session::postgres {

// What a user proves itself against. Keeps alive what it points to.
struct Credential : session::Credential {
  std::shared_ptr<const auth::ScramKeys> scram_keys;        // of password()
  std::shared_ptr<const auth::ScramKeys> other_scram_keys;  // of other_password(), with the same salt; may be null
};

// What a client's TLS showed.
struct ClientTls {
  std::string end_point;    // hash of our certificate, for channel binding; empty: none can be made
  bool alpn = false;        // "postgresql" was agreed on
  bool verified = false;    // it showed a certificate, and the certificate is good
  std::string common_name;  // of that; empty where there is none, or more than one, or an odd one
};

struct LoginPolicy {
  bool tls_available = false;
  bool require_tls = false;
  config::ClientCertMode client_cert = config::ClientCertMode::kNone;
  bool unix_socket = false;  // counts as secure: libpq never does TLS there
  session::PodIdentity pod_identity = session::PodIdentity::kOff;
  bool too_many_clients = false;  // refuse with 53300 once the client said who it is
  std::string deleted;            // unless empty: refuse with 57P03 and these words, likewise
  std::string_view deleted_hint;
  std::string_view process_secret;  // for users that do not exist
  bool mock_clear_text = false;     // users that do not exist are asked as those with iamAuth are
  std::function<std::optional<Credential>(std::string_view)> find;
  auth::RandomBytes random;
};

using session::LoginResult;

class ClientLogin {
 public:
  enum class Want {
    kMore,
    kStartTls,       // send what is in `out`, then do the handshake, then call tls_established()
    kAuthenticated,  // AuthenticationOk is in `out`; the greeting is for the caller
    kVerify,         // token() is for verified(), as soon as somebody knows; nothing is read meanwhile
    kCancel,         // cancel_process_id() and cancel_key() say whom; close without an answer
    kRefuse,         // send what is in `out`, then close
  };

  explicit ClientLogin(LoginPolicy policy) : policy_(std::move(policy)) {}

  // Uses whole messages only; `consumed` counts their bytes.
  Want feed(std::string_view bytes, std::size_t& consumed, std::string& out);
  // The first byte that came is that of a TLS handshake (22): TLS without asking. kStartTls or kRefuse.
  Want direct_tls();
  // kMore or kRefuse.
  Want tls_established(ClientTls tls, std::string& out);

  // `why`: it does not let this user in; empty: it does. kAuthenticated or kRefuse.
  Want verified(const std::string& why, std::string& out);
  const Secret& token() const { return token_; }

  LoginResult result() const { return result_; }
  // How it shows, or would have had to show, who it is, for the log: "scram-sha-256-plus" under channel binding, "iam",
  // "pod-identity", …, with "+certificate" where one was asked for; empty: it did not come to that.
  std::string method() const;
  const std::string& user() const { return user_; }
  const std::string& database() const { return database_; }
  // All others of the start-up packet, in order, the protocol's own extensions excluded.
  const wire::postgres::Parameters& parameters() const { return parameters_; }
  bool tls() const { return tls_; }
  // Protocol 3.2 or later: the cancel key may be longer than 4 bytes.
  bool long_cancel_key() const { return minor_ >= 2; }
  // "", "true" or "database", as the server is asked for it; then it is among the parameters as well.
  const std::string& replication() const { return replication_; }
  std::uint32_t cancel_process_id() const { return cancel_process_id_; }
  const std::string& cancel_key() const { return cancel_key_; }
  const std::string& refusal() const { return refusal_; }  // words, for the log

 private:
  enum class State { kStartup, kSaslInitial, kSaslFinal, kMd5, kClearText, kVerifying, kDone };
  Want startup(std::string_view packet, std::string& out);
  Want start(const wire::postgres::Startup& start, std::string& out);
  Want check_access(std::string& out);
  bool read_replication(std::string_view value);
  Want begin_authentication(std::string& out);
  Want sasl_initial(std::string_view body, std::string& out);
  Want sasl_final(std::string_view body, std::string& out);
  Want bad_scram(std::string& out, const ErrorCode& error);
  Want md5(std::string_view body, std::string& out);
  Want clear_text(std::string_view body, std::string& out);
  Want succeed(std::string& out, bool with_previous = false);
  Want wrong_password(std::string& out);
  Want refuse(std::string& out, LoginResult result, std::string_view sqlstate, std::string message,
              std::string_view hint = {});

  LoginPolicy policy_;
  State state_ = State::kStartup;
  LoginResult result_ = LoginResult::kNone;
  bool tls_ = false;
  bool direct_ = false;
  bool tls_refused_ = false;
  bool gss_refused_ = false;
  std::uint16_t minor_ = 0;
  ClientTls client_tls_;
  std::string_view method_;
  std::string user_, database_, replication_;
  wire::postgres::Parameters parameters_;
  std::optional<Credential> credential_;
  auth::ScramKeys mock_keys_;
  std::optional<auth::ScramServer> scram_;
  Secret token_;
  std::array<std::uint8_t, 4> md5_salt_{};
  std::uint32_t cancel_process_id_ = 0;
  std::string cancel_key_;
  std::string refusal_;
};

}  // namespace dbproxy::session::postgres
