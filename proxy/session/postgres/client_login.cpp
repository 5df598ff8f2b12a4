#include "proxy/session/postgres/client_login.hpp"

#include <algorithm>

#include "proxy/auth/md5.hpp"
#include "proxy/wire/postgres/reader.hpp"
#include "proxy/wire/postgres/startup.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

ClientLogin::Want ClientLogin::feed(std::string_view bytes, std::size_t& consumed, std::string& out) {
  consumed = 0;
  if (state_ == State::kDone) return Want::kMore;
  if (state_ == State::kStartup) {
    auto frame = wire::scan_startup(bytes);
    if (frame.scan == wire::Scan::kBad) {
      bool http = bytes.starts_with("GET ") || bytes.starts_with("POST") || bytes.starts_with("HEAD") ||
                  bytes.starts_with("PUT ");
      return refuse(out, LoginResult::kProtocol, "08P01",
                    http ? "this is a PostgreSQL port, and that was HTTP" : "invalid length of startup packet");
    }
    if (frame.scan == wire::Scan::kNeedMore || bytes.size() < frame.size) return Want::kMore;
    consumed = frame.size;
    auto want = startup(bytes.substr(0, frame.size), out);
    if (want == Want::kStartTls && bytes.size() > frame.size) {
      out.clear();
      return refuse(out, LoginResult::kProtocol, "08P01", "received unencrypted data after SSL request");
    }
    return want;
  }
  auto frame = wire::scan_frame(bytes);
  if (frame.scan == wire::Scan::kBad || (frame.scan == wire::Scan::kMessage && frame.size > auth::kMaxScramMessage)) {
    return refuse(out, LoginResult::kProtocol, "08P01", "invalid length of password message");
  }
  if (frame.scan == wire::Scan::kNeedMore || bytes.size() < frame.size) return Want::kMore;
  consumed = frame.size;
  if (frame.type != 'p') {
    return refuse(out, LoginResult::kProtocol, "08P01", "expected a password message");
  }
  auto body = bytes.substr(wire::kHeaderSize, frame.size - wire::kHeaderSize);
  switch (state_) {
    case State::kSaslInitial:
      return sasl_initial(body, out);
    case State::kSaslFinal:
      return sasl_final(body, out);
    default:
      return md5(body, out);
  }
}

ClientLogin::Want ClientLogin::startup(std::string_view packet, std::string& out) {
  auto parsed = wire::parse_startup(packet);
  if (auto bad = std::get_if<wire::BadStartup>(&parsed)) return refuse(out, LoginResult::kProtocol, "08P01", bad->why);
  if (std::holds_alternative<wire::SslRequest>(parsed)) {
    if (tls_ || tls_refused_) return refuse(out, LoginResult::kProtocol, "08P01", "second SSL request");
    if (policy_.tls_available && !policy_.unix_socket) {
      out += 'S';
      return Want::kStartTls;
    }
    tls_refused_ = true;
    out += 'N';
    return Want::kMore;
  }
  if (std::holds_alternative<wire::GssEncRequest>(parsed)) {
    if (tls_ || gss_refused_) return refuse(out, LoginResult::kProtocol, "08P01", "second GSSAPI encryption request");
    gss_refused_ = true;
    out += 'N';
    return Want::kMore;
  }
  if (auto cancel = std::get_if<wire::CancelRequest>(&parsed)) {
    cancel_process_id_ = cancel->process_id;
    cancel_key_ = cancel->key;
    state_ = State::kDone;
    return Want::kCancel;
  }

  auto& start = std::get<wire::Startup>(parsed);
  std::vector<std::string_view> unknown_extensions;
  std::string_view replication;
  for (auto [name, value] : start.parameters) {
    if (name == "user") {
      user_ = value;
    } else if (name == "database") {
      database_ = value;
    } else if (name == "replication") {
      replication = value;
    } else if (name.starts_with("_pq_.")) {
      unknown_extensions.push_back(name);
    } else {
      parameters_.emplace_back(name, value);
    }
  }
  if (user_.empty()) {
    return refuse(out, LoginResult::kProtocol, "28000", "no PostgreSQL user name specified in startup packet");
  }
  if (database_.empty()) database_ = user_;
  if (policy_.too_many_clients) {
    return refuse(out, LoginResult::kTooManyClients, "53300", "sorry, too many clients already",
                  "The sidecar is at its maximum of client connections: close idle ones, or use fewer.");
  }
  if (policy_.require_tls && !tls_ && !policy_.unix_socket) {
    return refuse(out, LoginResult::kTlsRequired, "28000", "this endpoint requires TLS (requireTLS: true)",
                  "Connect with sslmode=require or stronger, or through the Unix socket.");
  }
  if (!replication.empty() && replication != "false" && replication != "off" && replication != "no" &&
      replication != "0") {
    return refuse(out, LoginResult::kUnsupported, "0A000", "replication connections are not served by this endpoint",
                  "Connect to the database directly for replication.");
  }
  if (start.minor > 0 || !unknown_extensions.empty())
    wire::negotiate_protocol_version(out, 3u << 16, unknown_extensions);
  return begin_authentication(out);
}

ClientLogin::Want ClientLogin::begin_authentication(std::string& out) {
  credential_ = policy_.find(user_);
  // An unknown user is asked just as a known one is, so that names cannot be found by trying.
  if (credential_ && credential_->user->client_password_auth_type == config::PasswordAuthType::kPostgresMd5) {
    policy_.random(md5_salt_);
    state_ = State::kMd5;
    wire::authentication(out, 5, {reinterpret_cast<const char*>(md5_salt_.data()), md5_salt_.size()});
    return Want::kMore;
  }
  if (!credential_) mock_keys_ = auth::mock_scram_keys(user_, policy_.process_secret);
  auto mode = credential_ ? auth::ScramServer::Mode::kVerify : auth::ScramServer::Mode::kMock;
  scram_.emplace(credential_ ? credential_->scram_keys.get() : &mock_keys_, auth::make_scram_nonce(policy_.random),
                 mode);
  state_ = State::kSaslInitial;
  std::array<std::string_view, 1> mechanisms = {auth::kScramMechanism};
  wire::authentication_sasl(out, mechanisms);
  return Want::kMore;
}

ClientLogin::Want ClientLogin::sasl_initial(std::string_view body, std::string& out) {
  wire::Reader reader(body);
  auto mechanism = reader.cstring();
  auto size = reader.u32();
  auto data = reader.bytes(size);
  if (!reader.ok() || !reader.rest().empty()) {
    return refuse(out, LoginResult::kProtocol, "08P01", "malformed SASLInitialResponse message");
  }
  if (mechanism != auth::kScramMechanism) {
    return refuse(out, LoginResult::kProtocol, "08P01", "client selected an invalid SASL authentication mechanism");
  }
  auto reply = scram_->on_client_first(data);
  if (!reply)
    return refuse(out, LoginResult::kProtocol, "08P01", "malformed SCRAM message: " + reply.error().message());
  state_ = State::kSaslFinal;
  wire::authentication(out, 11, *reply);
  return Want::kMore;
}

ClientLogin::Want ClientLogin::sasl_final(std::string_view body, std::string& out) {
  auto reply = scram_->on_client_final(body);
  if (!reply) {
    if (reply.error() == auth::Error::kWrongProof) return wrong_password(out);
    return refuse(out, LoginResult::kProtocol, "08P01", "malformed SCRAM message: " + reply.error().message());
  }
  wire::authentication(out, 12, *reply);
  return succeed(out);
}

ClientLogin::Want ClientLogin::md5(std::string_view body, std::string& out) {
  wire::Reader reader(body);
  auto response = reader.cstring();
  if (!reader.ok() || !reader.rest().empty()) {
    return refuse(out, LoginResult::kProtocol, "08P01", "malformed password message");
  }
  if (!auth::md5_verify(response, credential_->user->password, user_, md5_salt_)) return wrong_password(out);
  return succeed(out);
}

ClientLogin::Want ClientLogin::succeed(std::string& out) {
  wire::authentication(out, 0);
  state_ = State::kDone;
  result_ = LoginResult::kSuccess;
  return Want::kAuthenticated;
}

ClientLogin::Want ClientLogin::wrong_password(std::string& out) {
  return refuse(out, credential_ ? LoginResult::kWrongPassword : LoginResult::kUnknownUser, "28P01",
                "password authentication failed for user \"" + user_ + "\"");
}

ClientLogin::Want ClientLogin::refuse(std::string& out, LoginResult result, std::string_view sqlstate,
                                      std::string message, std::string_view hint) {
  state_ = State::kDone;
  result_ = result;
  wire::error_response(out, {.severity = "FATAL", .sqlstate = sqlstate, .message = message, .hint = hint});
  refusal_ = std::move(message);
  return Want::kRefuse;
}

}  // namespace dbproxy::session::postgres
