#include "proxy/session/mysql/client_login.hpp"

#include <array>

#include "proxy/auth/iam_token.hpp"
#include "proxy/auth/mysql.hpp"

namespace dbproxy::session::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;
namespace client = dbproxy::wire::mysql::client;
namespace error = dbproxy::wire::mysql::error;

constexpr std::size_t kMaxUser = 256, kMaxSchema = 256;
constexpr std::uint16_t kUnsupportedProtocol = 1251;

}  // namespace

bool is_client_collation(std::uint16_t id) {
  const auto within = [id](std::uint16_t from, std::uint16_t to) { return id >= from && id <= to; };
  const bool wide = id == 35 || id == 90 || within(128, 151) || id == 159 ||  // ucs2
                    id == 54 || id == 55 || within(101, 124) ||               // utf16
                    id == 56 || id == 62 ||                                   // utf16le
                    id == 60 || id == 61 || within(160, 183);                 // utf32
  return !wide;
}

const std::string& ClientLogin::new_nonce() {
  std::array<std::uint8_t, auth::kMysqlNonceSize> random;
  policy_.random(random);
  nonce_ = auth::mysql_nonce({reinterpret_cast<const char*>(random.data()), random.size()});
  nonces_ += nonce_;
  return nonce_;
}

// Before a MariaDB that calls itself 5.5.5 the default is what its own default is: by that number Connector/J takes it
// for older than caching_sha2_password's exchange, and misreads that.
std::string_view ClientLogin::plugin_for(const config::User* user) const {
  const bool old = policy_.server.server_version.starts_with("5.5.5-");
  if (user == nullptr || !user->auth_type_chosen) return old ? auth::kMysqlNativePassword : auth::kMysqlCachingSha2;
  return user->client_password_auth_type == config::PasswordAuthType::kMysqlNativePassword ? auth::kMysqlNativePassword
                                                                                           : auth::kMysqlCachingSha2;
}

ClientLogin::Want ClientLogin::begin(std::string& out) {
  wire::Greeting greeting = policy_.server;
  greeting.connection_id = policy_.connection_id;
  greeting.nonce = new_nonce();
  greeting.auth_plugin = plugin_ = plugin_for(nullptr);
  // Ours whatever the server has: they are about log-in, or rewritten for those who ask for them.
  offered_ = (policy_.server.capabilities & wire::kOfferedFlags) | client::kLongPassword | client::kProtocol41 |
             client::kSecureConnection | client::kPluginAuth | client::kLenencAuthData | client::kConnectAttributes |
             client::kConnectWithDb | client::kTransactions | client::kCompress | client::kZstd;
  if (policy_.tls_available) offered_ |= client::kSsl;
  greeting.capabilities = offered_;
  greeting.status = wire::status::kAutocommit;
  wire::greeting(out, greeting);
  sequence_ = 1;
  return Want::kMore;
}

ClientLogin::Want ClientLogin::feed(std::string_view bytes, std::size_t& consumed, std::string& out) {
  consumed = 0;
  while (state_ != State::kDone && state_ != State::kVerifying) {
    const std::string_view rest = bytes.substr(consumed);
    const wire::Frame frame = wire::scan_frame(rest);
    if (!frame.known) return Want::kMore;
    if (frame.length > wire::kMaxHandshakePayload)
      return refuse(out, LoginResult::kProtocol, error::kBadHandshake, "08S01",
                    "Bad handshake: the packet is too long");
    if (rest.size() < frame.size()) return Want::kMore;
    if (frame.sequence != sequence_)
      return refuse(out, LoginResult::kProtocol, error::kBadHandshake, "08S01", "Bad handshake: packets out of order");
    ++sequence_;
    consumed += frame.size();
    const Want want = packet(rest.substr(wire::kHeaderSize, frame.length), out);
    // Whatever came with the request for TLS is from somebody who wants it to be taken for the client's words in it.
    if (want == Want::kStartTls && consumed < bytes.size())
      return refuse(out, LoginResult::kProtocol, error::kBadHandshake, "08S01",
                    "Bad handshake: plain bytes were received before TLS started");
    if (want != Want::kMore) return want;
  }
  return Want::kMore;
}

ClientLogin::Want ClientLogin::tls_established() {
  tls_ = true;
  return Want::kMore;
}

ClientLogin::Want ClientLogin::packet(std::string_view payload, std::string& out) {
  return state_ == State::kProof ? verify(payload, out) : response(payload, out);
}

ClientLogin::Want ClientLogin::response(std::string_view payload, std::string& out) {
  wire::HandshakeResponse response;
  if (!wire::read_handshake_response(payload, response))
    return refuse(out, LoginResult::kProtocol, error::kBadHandshake, "08S01", "Bad handshake");
  if (payload.size() == wire::kSslRequestPayload) {
    if (tls_ || !policy_.tls_available || !(response.capabilities & client::kSsl))
      return refuse(out, LoginResult::kProtocol, error::kBadHandshake, "08S01", "Bad handshake");
    return Want::kStartTls;
  }
  if (response.user.size() > kMaxUser || response.schema.size() > kMaxSchema)
    return refuse(out, LoginResult::kProtocol, error::kBadHandshake, "08S01", "Bad handshake: a name is too long");
  capabilities_ = response.capabilities & offered_;
  user_ = response.user;
  schema_ = response.schema;
  collation_ = response.collation;
  zstd_level_ = response.zstd_level;
  if (read_attributes(response.attributes, out) == Want::kRefuse) return Want::kRefuse;
  if (capabilities_ & client::kZstd && (zstd_level_ < 1 || zstd_level_ > wire::Compression::kHighestLevel))
    return refuse(out, LoginResult::kProtocol, error::kBadHandshake, "08S01",
                  "Bad handshake: zstd has the levels 1 to 22, not " + std::to_string(zstd_level_));
  if (policy_.require_tls && !tls_ && !policy_.unix_socket)
    return refuse(out, LoginResult::kTlsRequired, error::kSecureTransportRequired, "HY000",
                  "Connections without TLS are not taken here: this DBProxy has requireTLS set");
  if (policy_.too_many_clients)
    return refuse(out, LoginResult::kTooManyClients, error::kTooManyConnections, "08004", "Too many connections");
  return check(response.capabilities & client::kPluginAuth ? response.auth_plugin : auth::kMysqlNativePassword,
               response.auth_response, out);
}

ClientLogin::Want ClientLogin::read_attributes(std::string_view attributes, std::string& out) {
  const auto read = wire::read_attributes(attributes);
  if (!read)
    return refuse(out, LoginResult::kProtocol, error::kBadHandshake, "08S01", "Bad handshake: connection attributes");
  attributes_ = *read;
  if (!is_client_collation(collation_))
    return refuse(out, LoginResult::kProtocol, error::kWrongValueForVariable, "42000",
                  "Variable 'character_set_client' can't be set to the value of a character set wider than a byte");
  return Want::kMore;
}

// The plugin is the user's, and for a user that does not exist the one of the greeting.
ClientLogin::Want ClientLogin::check(std::string_view plugin, std::string_view proof, std::string& out) {
  credential_ = policy_.find(user_);
  if (policy_.pod_identity != PodIdentity::kOff) return by_pod(plugin, proof, out);
  const bool iam = credential_ && credential_->user->iam_auth != config::IamAuth::kDisabled;
  if (iam) method_ = "iam";
  if (iam && !tls_ && !policy_.unix_socket)
    return refuse(out, LoginResult::kTlsRequired, error::kSecureTransportRequired, "HY000",
                  "Tokens of IAM are taken over TLS only: this user has iamAuth set");
  const std::string_view wanted =
      iam ? auth::kMysqlClearPassword : plugin_for(credential_ ? credential_->user.get() : nullptr);
  // The password itself, from a client that was told to send it: only where nobody else can read it.
  if (plugin == auth::kMysqlClearPassword && (tls_ || policy_.unix_socket)) {
    plugin_ = plugin;
    return verify(proof, out);
  }
  // What was proved was proved for the nonce of the greeting. A library that does not have the greeting's plugin names
  // its own, and waits with its proof until it is asked for it.
  const bool waits = plugin_ != wanted && proof.empty() && (capabilities_ & client::kPluginAuth);
  if (plugin == wanted && !waits) {
    plugin_ = wanted;
    return verify(proof, out);
  }
  if (!(capabilities_ & client::kPluginAuth))
    return refuse(out, LoginResult::kProtocol, kUnsupportedProtocol, "08004",
                  "The client does not know the authentication plugin that this user is set to");
  plugin_ = wanted;
  sequence_ = wire::auth_switch(out, sequence_, plugin_, new_nonce());
  state_ = State::kProof;
  return Want::kMore;
}

// What it sends as its proof is not looked at.
ClientLogin::Want ClientLogin::by_pod(std::string_view plugin, std::string_view proof, std::string& out) {
  method_ = "pod-identity";
  if (policy_.pod_identity == PodIdentity::kElsewhere)
    return refuse(out, LoginResult::kPodIdentity, error::kAccessDenied, "28000",
                  "Access denied: this endpoint knows its clients by their pod (PodIdentity). Connect through the Unix "
                  "socket of the pod");
  if (!credential_)
    return refuse(
        out, LoginResult::kPodIdentity, error::kAccessDenied, "28000",
        "Access denied: user '" + user_ +
            "' is not the one that clients of this pod are (PodIdentity). Connect as the user in spec.auth of "
            "the DBProxy");
  state_ = State::kDone;
  const bool answered = plugin != auth::kMysqlCachingSha2 || proof.empty() || proof == std::string_view("\0", 1);
  if (!answered) sequence_ = wire::auth_more_data(out, sequence_, std::string_view(&auth::kSha2FastOk, 1));
  result_ = LoginResult::kSuccess;
  return Want::kAuthenticated;
}

ClientLogin::Want ClientLogin::verify(std::string_view proof, std::string& out) {
  state_ = State::kDone;
  const bool iam = credential_ && credential_->user->iam_auth != config::IamAuth::kDisabled;
  method_ = iam ? "iam" : plugin_;
  if (proof == std::string_view("\0", 1)) proof = {};  // how some say that there is no password
  static const Secret kNobody(std::string(32, 'x'));
  const Secret& password = credential_ ? credential_->password() : kNobody;
  const Secret* const other = credential_ ? credential_->other_password() : nullptr;
  bool verified = false, previous = false;
  if (plugin_ == auth::kMysqlClearPassword) {
    if (!proof.empty() && proof.back() == '\0') proof.remove_suffix(1);
    if (iam) return clear_text(proof, out);
    const Secret given{std::string(proof)};
    verified = !proof.empty() && given == password;
    previous = !proof.empty() && other != nullptr && given == *other;
  } else {
    verified = proves(plugin_, proof, password);
    previous = other != nullptr && proves(plugin_, proof, *other);
  }
  if (credential_ && password.empty()) verified = false;  // there is none to prove
  previous = previous && !verified;
  verified = verified || previous;
  if (!verified || !credential_)
    return access_denied(credential_ ? LoginResult::kWrongPassword : LoginResult::kUnknownUser, !proof.empty(), out);
  if (plugin_ == auth::kMysqlCachingSha2 && !proof.empty())
    sequence_ = wire::auth_more_data(out, sequence_, std::string_view(&auth::kSha2FastOk, 1));
  return succeed(previous);
}

ClientLogin::Want ClientLogin::succeed(bool with_previous) {
  with_previous = with_previous || (credential_ && credential_->by_previous_name);
  result_ = with_previous ? LoginResult::kSuccessPrevious : LoginResult::kSuccess;
  return Want::kAuthenticated;
}

// The token, or with ENABLED the password.
ClientLogin::Want ClientLogin::clear_text(std::string_view text, std::string& out) {
  const config::User& user = *credential_->user;
  Secret given{std::string(text)};
  if (auth::looks_like_iam_token(text)) {
    token_ = std::move(given);
    state_ = State::kVerifying;
    return Want::kVerify;
  }
  if (user.iam_auth == config::IamAuth::kRequired)
    return refuse(out, LoginResult::kIamToken, error::kAccessDenied, "28000",
                  "Access denied for user '" + user_ + "': it logs in with a token of IAM only (iamAuth: REQUIRED)");
  method_ = plugin_;
  const Secret& password = credential_->password();
  const Secret* const other = credential_->other_password();
  const bool current = !password.empty() && given == password;
  if (!current && (other == nullptr || !(given == *other)))
    return access_denied(LoginResult::kWrongPassword, !text.empty(), out);
  return succeed(!current);
}

ClientLogin::Want ClientLogin::verified(const std::string& why, std::string& out) {
  token_ = {};
  state_ = State::kDone;
  if (!why.empty())
    return refuse(out, LoginResult::kIamToken, error::kAccessDenied, "28000",
                  "Access denied for user '" + user_ + "': " + why);
  result_ = LoginResult::kSuccess;
  return Want::kAuthenticated;
}

bool ClientLogin::proves(std::string_view plugin, std::string_view proof, const Secret& password) const {
  const auto result = plugin == auth::kMysqlNativePassword ? auth::mysql_native_verify(proof, password, nonce_)
                                                           : auth::mysql_sha2_verify(proof, password, nonce_);
  return static_cast<bool>(result);
}

ClientLogin::Want ClientLogin::change_user(std::string_view payload, std::uint32_t capabilities, bool tls,
                                           std::string_view nonces, std::string& out) {
  sequence_ = 1;
  capabilities_ = capabilities;
  tls_ = tls;
  state_ = State::kResponse;
  result_ = LoginResult::kNone;
  wire::ChangeUser change;
  if (!wire::read_change_user(payload, capabilities_, change) || change.user.size() > kMaxUser ||
      change.schema.size() > kMaxSchema)
    return refuse(out, LoginResult::kProtocol, error::kBadHandshake, "08S01", "Bad handshake: COM_CHANGE_USER");
  user_ = change.user;
  schema_ = change.schema;
  if (change.collation != 0) collation_ = change.collation;
  if (read_attributes(change.attributes, out) == Want::kRefuse) return Want::kRefuse;
  credential_ = policy_.find(user_);
  const std::string_view plugin = capabilities_ & client::kPluginAuth ? change.auth_plugin : auth::kMysqlNativePassword;
  for (; credential_ && nonces.size() >= auth::kMysqlNonceSize; nonces.remove_prefix(auth::kMysqlNonceSize)) {
    nonce_ = nonces.substr(0, auth::kMysqlNonceSize);
    const Secret* const other = credential_->other_password();
    if (proves(plugin, change.auth_response, credential_->password()) ||
        (other != nullptr && proves(plugin, change.auth_response, *other)))
      return check(plugin, change.auth_response, out);
  }
  // Nothing proved, or for nobody knows what: it is asked again.
  return check("", "", out);
}

// Both wanted: zlib, as MySQL has it.
std::optional<wire::Compression> ClientLogin::compression() const {
  if (capabilities_ & client::kCompress) return wire::Compression(wire::CompressionAlgorithm::kZlib);
  if (!(capabilities_ & client::kZstd)) return std::nullopt;
  return wire::Compression(wire::CompressionAlgorithm::kZstd, zstd_level_);
}

void ClientLogin::finish(std::string& out) {
  sequence_ = wire::ok(out, sequence_, capabilities_, {});
}

void ClientLogin::finish(std::string& out, std::uint16_t code, std::string_view sqlstate, std::string_view message) {
  refusal_ = message;
  sequence_ = wire::error_packet(out, sequence_, {code, sqlstate, message});
}

ClientLogin::Want ClientLogin::access_denied(LoginResult result, bool with_password, std::string& out) {
  return refuse(out, result, error::kAccessDenied, "28000",
                "Access denied for user '" + user_ + "' (using password: " + (with_password ? "YES)" : "NO)"));
}

ClientLogin::Want ClientLogin::refuse(std::string& out, LoginResult result, std::uint16_t code,
                                      std::string_view sqlstate, std::string_view message) {
  state_ = State::kDone;
  result_ = result;
  finish(out, code, sqlstate, message);
  return Want::kRefuse;
}

}  // namespace dbproxy::session::mysql
