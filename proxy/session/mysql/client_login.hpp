// ClientLogin: a client from our greeting to the point where it is known who it is.
//
// Pure and resumable: bytes in; bytes out and what is wanted next. Needs no server: the password is the snapshot's, so
// that caching_sha2_password always takes its fast path. Nothing but the packet that may come is accepted at each
// step, and bytes that arrive before TLS is up never count as sent under it. One thread.
// (MySQL internals manual: "Connection Phase".)
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/auth/random.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/session/credential.hpp"
#include "proxy/session/login_result.hpp"
#include "proxy/wire/mysql/compression.hpp"
#include "proxy/wire/mysql/handshake.hpp"

namespace dbproxy::session::mysql {

using session::Credential;

struct LoginPolicy {
  // What a real server of this DBProxy says: version, capabilities, character set. Nonce, plugin and connection id are
  // filled in here, and of the capabilities only what can be carried is offered.
  wire::mysql::Greeting server;
  std::uint32_t connection_id = 0;
  bool tls_available = false;
  bool require_tls = false;
  bool unix_socket = false;  // counts as secure
  session::PodIdentity pod_identity = session::PodIdentity::kOff;
  bool too_many_clients = false;  // refuse with 1040 once the client said who it is
  std::function<std::optional<Credential>(std::string_view)> find;
  auth::RandomBytes random;
};

using session::LoginResult;

class ClientLogin {
 public:
  enum class Want {
    kMore,
    kStartTls,       // do the handshake, then call tls_established()
    kVerify,         // token() is for verified(), as soon as somebody knows; nothing is read meanwhile
    kAuthenticated,  // call finish() when it is let in, or with the reason when it is not
    kRefuse,         // send what is in `out`, then close
  };

  explicit ClientLogin(LoginPolicy policy) : policy_(std::move(policy)) {}

  Want begin(std::string& out);
  // Uses whole packets only; `consumed` counts their bytes.
  Want feed(std::string_view bytes, std::size_t& consumed, std::string& out);
  Want tls_established();
  // The payload of a COM_CHANGE_USER, whose packet had the number 0, of a client that is logged in with these
  // capabilities, over TLS or not. In place of begin(). `nonces`: those of its log-in, for which its proof may be.
  Want change_user(std::string_view payload, std::uint32_t capabilities, bool tls, std::string_view nonces,
                   std::string& out);

  // `why`: it does not let this user in; empty: it does. kAuthenticated or kRefuse.
  Want verified(const std::string& why, std::string& out);
  const Secret& token() const { return token_; }

  void finish(std::string& out);
  void finish(std::string& out, std::uint16_t code, std::string_view sqlstate, std::string_view message);

  LoginResult result() const { return result_; }
  // How it shows, or would have had to show, who it is, for the log: the plugin's name, "iam" or "pod-identity"; empty:
  // it did not come to that.
  std::string_view method() const { return method_; }
  const std::string& refusal() const { return refusal_; }  // words, for the log
  const std::string& user() const { return user_; }
  const std::string& schema() const { return schema_; }
  std::uint32_t capabilities() const { return capabilities_; }  // agreed on
  std::uint16_t collation() const { return collation_; }
  const wire::mysql::Attributes& attributes() const { return attributes_; }
  // Agreed on for everything from the packet after the OK.
  std::optional<wire::mysql::Compression> compression() const;
  bool tls() const { return tls_; }
  // All that this client was given, one after the other.
  const std::string& nonces() const { return nonces_; }
  std::uint8_t sequence() const { return sequence_; }  // of the next packet to the client

 private:
  enum class State { kResponse, kProof, kVerifying, kDone };
  Want packet(std::string_view payload, std::string& out);
  Want response(std::string_view payload, std::string& out);
  Want check(std::string_view plugin, std::string_view proof, std::string& out);
  Want verify(std::string_view proof, std::string& out);
  bool proves(std::string_view plugin, std::string_view proof, const Secret& password) const;
  Want clear_text(std::string_view text, std::string& out);
  Want by_pod(std::string_view plugin, std::string_view proof, std::string& out);
  Want read_attributes(std::string_view attributes, std::string& out);
  Want succeed(bool with_previous = false);
  Want access_denied(LoginResult result, bool with_password, std::string& out);
  Want refuse(std::string& out, LoginResult result, std::uint16_t code, std::string_view sqlstate,
              std::string_view message);
  const std::string& new_nonce();
  // What this user is to log in with; null: what clients are greeted with.
  std::string_view plugin_for(const config::User* user) const;

  LoginPolicy policy_;
  State state_ = State::kResponse;
  LoginResult result_ = LoginResult::kNone;
  bool tls_ = false;
  std::uint8_t sequence_ = 0;
  std::uint32_t offered_ = 0, capabilities_ = 0;
  std::uint16_t collation_ = 45;
  std::uint8_t zstd_level_ = 0;
  std::string nonces_, nonce_, plugin_, user_, schema_, refusal_;
  std::string method_;
  wire::mysql::Attributes attributes_;
  Secret token_;
  std::optional<Credential> credential_;
};

// ucs2, utf16, utf16le and utf32 cannot be a client's character set: its statements would not be readable as ASCII.
bool is_client_collation(std::uint16_t collation);

}  // namespace dbproxy::session::mysql
