#include "proxy/backend/mysql_login.hpp"

#include "proxy/auth/mysql.hpp"

namespace dbproxy::backend::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;
namespace client = dbproxy::wire::mysql::client;

constexpr std::size_t kMaxLogin = 256 * 1024;
constexpr int kMaxPackets = 32;
constexpr std::uint32_t kNeeded = client::kProtocol41 | client::kSecureConnection | client::kPluginAuth;

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 64)) out += c >= ' ' && c < 0x7f ? c : '?';
  return out;
}

}  // namespace

bool LoginFailure::is_auth_failure() const {
  if (kind != FailureKind::kServerError) return false;
  switch (code) {
    case wire::error::kAccessDenied:
    case 1698:  // access denied, no password
    case 1820:  // the password must be changed first
    case 1862:  // it has expired
    case 3118:  // the account is locked
    case 4151:  // the same of MariaDB
      return true;
    default:
      return false;
  }
}

Want Login::fail(FailureKind kind, std::string message) {
  failure_.kind = kind;
  failure_.message = std::move(message);
  state_ = State::kOver;
  return wants(Want::kFailed);
}

Want Login::start(std::string& /*out*/) {
  if (state_ == State::kNew) state_ = State::kGreeting;
  return want_;
}

Want Login::feed(std::string_view bytes, std::size_t& consumed, std::string& out) {
  consumed = 0;
  while (want_ == Want::kRead && state_ != State::kNew) {
    const std::string_view rest = bytes.substr(consumed);
    const wire::Frame frame = wire::scan_frame(rest);
    if (!frame.known) break;
    if (frame.length > wire::kMaxHandshakePayload)
      return fail(FailureKind::kProtocol, "a packet over 64 KB during log-in");
    if (frame.length == 0) return fail(FailureKind::kProtocol, "an empty packet during log-in");
    if (frame.size() > rest.size()) break;
    taken_ += frame.size();
    if (taken_ > kMaxLogin || ++packets_ > kMaxPackets) return fail(FailureKind::kProtocol, "a log-in without end");
    // A server that has no place left may say so under any number.
    if (frame.sequence != sequence_ && static_cast<std::uint8_t>(rest[wire::kHeaderSize]) != wire::kErrorHeader)
      return fail(FailureKind::kProtocol, "a packet out of order during log-in");
    sequence_ = static_cast<std::uint8_t>(frame.sequence + 1);
    consumed += frame.size();
    packet(rest.substr(wire::kHeaderSize, frame.length), out);
    if (want_ == Want::kStartTls && consumed < bytes.size())
      return fail(FailureKind::kTls, "plain bytes were received before TLS started");
  }
  return want_;
}

Want Login::packet(std::string_view payload, std::string& out) {
  const auto header = static_cast<std::uint8_t>(payload[0]);
  if (header == wire::kErrorHeader) return server_error(payload);
  if (state_ == State::kGreeting) return on_greeting(payload, out);
  switch (header) {
    case wire::kOkHeader: {
      wire::Ok ok;
      if (!wire::read_ok(payload, capabilities_, ok))
        return fail(FailureKind::kProtocol, "a malformed OK during log-in");
      status_ = ok.status;
      state_ = State::kOver;
      return wants(Want::kDone);
    }
    case wire::kMoreDataHeader:
      return more_data(payload.substr(1), out);
    case wire::kEofHeader: {
      wire::AuthSwitch request;
      if (!wire::read_auth_switch(payload, request))
        return fail(FailureKind::kProtocol, "a malformed request for another plugin");
      nonce_ = request.data;
      return use_plugin(request.plugin, out, false);
    }
    default:
      return fail(FailureKind::kProtocol, "an unexpected packet during log-in");
  }
}

Want Login::server_error(std::string_view payload) {
  wire::Error error;
  if (!wire::read_error(payload, error)) return fail(FailureKind::kProtocol, "a malformed error during log-in");
  fail(FailureKind::kServerError, std::string(error.message));
  failure_.code = error.code;
  failure_.sqlstate = error.sqlstate;
  failure_.raw = payload;
  return want_;
}

Want Login::on_greeting(std::string_view payload, std::string& out) {
  if (!wire::read_greeting(payload, greeting_)) return fail(FailureKind::kProtocol, "no greeting of protocol 10");
  const std::uint32_t offered = greeting_.capabilities;
  if ((offered & kNeeded) != kNeeded)
    return fail(FailureKind::kProtocol, "the server is too old: it has no authentication plugins");
  capabilities_ = (kBaseCapabilities | (options_.capabilities & wire::kPoolFlags)) & (offered | client::kLongPassword);
  if (!options_.schema.empty()) capabilities_ |= client::kConnectWithDb;
  nonce_ = greeting_.nonce;
  if (options_.tls == config::TlsMode::kDisable || options_.unix_socket) {
    return use_plugin(greeting_.auth_plugin, out, true);
  }
  if (!(offered & client::kSsl))
    return fail(FailureKind::kTls, "the server does not offer TLS, which the mode " +
                                       std::string(config::to_string(options_.tls)) + " asks for");
  capabilities_ |= client::kSsl;
  sequence_ = wire::ssl_request(out, sequence_, response_head());
  state_ = State::kTlsHandshake;
  return wants(Want::kStartTls);
}

Want Login::tls_established(std::string& out) {
  if (state_ != State::kTlsHandshake) return want_;
  tls_up_ = true;
  return use_plugin(greeting_.auth_plugin, out, true);
}

wire::HandshakeResponse Login::response_head() const {
  wire::HandshakeResponse head;
  head.capabilities = capabilities_;
  head.max_packet = 1u << 30;
  head.collation = options_.collation;
  return head;
}

void Login::send_response(std::string_view auth_response, std::string& out) {
  wire::HandshakeResponse response = response_head();
  const std::string attributes = wire::write_attributes(options_.attributes);
  response.user = options_.user;
  response.auth_response = auth_response;
  response.schema = options_.schema;
  response.auth_plugin = plugin_;
  response.attributes = attributes;
  sequence_ = wire::handshake_response(out, sequence_, response);
  state_ = State::kResponseSent;
  wants(Want::kRead);
}

void Login::respond(std::string_view response, std::string& out) {
  sequence_ = wire::packet(out, sequence_, response);
  state_ = State::kResponseSent;
}

// The first plugin is only what the server guesses; it asks for another where the user has another.
Want Login::use_plugin(std::string_view plugin, std::string& out, bool first) {
  const bool clear = plugin == auth::kMysqlClearPassword && options_.clear_password && secure();
  if (first && plugin != auth::kMysqlNativePassword && plugin != auth::kMysqlCachingSha2 && !clear)
    plugin = greeting_.mariadb() ? auth::kMysqlNativePassword : auth::kMysqlCachingSha2;
  plugin_ = plugin;
  std::string response;
  if (plugin_ == auth::kMysqlClearPassword) {
    if (!clear)
      return fail(
          FailureKind::kClearText,
          "the database asks for the password in clear text, which only tokens of IAM are sent in, over TLS; let the "
          "user be IDENTIFIED WITH caching_sha2_password, or use authScheme: IAM");
    const Secret password = auth::mysql_clear_response(options_.password);
    first ? send_response(password.reveal(), out) : respond(password.reveal(), out);
    return want_;
  }
  if (plugin_ != auth::kMysqlNativePassword && plugin_ != auth::kMysqlCachingSha2)
    return fail(FailureKind::kAuthUnsupported,
                "the server asks for the authentication plugin " + printable(plugin_) + ", which is not spoken here");
  if (nonce_.size() != auth::kMysqlNonceSize) return fail(FailureKind::kProtocol, "a nonce of an unusual length");
  const auto made = plugin_ == auth::kMysqlNativePassword ? auth::mysql_native_response(options_.password, nonce_)
                                                          : auth::mysql_sha2_response(options_.password, nonce_);
  if (!made) return fail(FailureKind::kAuthUnsupported, made.error().message());
  first ? send_response(*made, out) : respond(*made, out);
  return want_;
}

// caching_sha2_password: what the server has of the password is in its cache, or it wants the password.
Want Login::more_data(std::string_view data, std::string& out) {
  if (plugin_ != auth::kMysqlCachingSha2)
    return fail(FailureKind::kProtocol, "authentication data that nobody asked for");
  if (state_ == State::kKeyAsked) {
    const auto encrypted = auth::mysql_rsa_response(options_.password, nonce_, data);
    if (!encrypted)
      return fail(FailureKind::kProtocol, "the server's RSA key cannot be used: " + encrypted.error().message());
    respond(*encrypted, out);
    return want_;
  }
  if (data.size() != 1) return fail(FailureKind::kProtocol, "authentication data that nobody asked for");
  if (data[0] == auth::kSha2FastOk) return want_;
  if (data[0] != auth::kSha2FullNeeded)
    return fail(FailureKind::kProtocol, "authentication data that nobody asked for");
  if (secure()) {
    respond(auth::mysql_clear_response(options_.password).reveal(), out);
    return want_;
  }
  sequence_ = wire::packet(out, sequence_, std::string_view(&auth::kSha2RequestKey, 1));
  state_ = State::kKeyAsked;
  return want_;
}

}  // namespace dbproxy::backend::mysql
