#include "proxy/session/postgres/client_login.hpp"

#include <algorithm>

#include "proxy/auth/iam_token.hpp"
#include "proxy/auth/md5.hpp"
#include "proxy/wire/postgres/reader.hpp"
#include "proxy/wire/postgres/startup.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

namespace {

constexpr std::uint16_t kNewestMinor = 2;

}  // namespace

ClientLogin::Want ClientLogin::feed(std::string_view bytes, std::size_t& consumed, std::string& out) {
  consumed = 0;
  if (state_ == State::kDone || state_ == State::kVerifying) return Want::kMore;
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
  // Whatever it is, nothing else may come now: a second start-up packet least of all.
  if (!bytes.empty() && bytes[0] != 'p') {
    return refuse(out, LoginResult::kProtocol, "08P01", "expected a password message");
  }
  if (frame.scan == wire::Scan::kNeedMore || bytes.size() < frame.size) return Want::kMore;
  consumed = frame.size;
  auto body = bytes.substr(wire::kHeaderSize, frame.size - wire::kHeaderSize);
  switch (state_) {
    case State::kSaslInitial:
      return sasl_initial(body, out);
    case State::kSaslFinal:
      return sasl_final(body, out);
    case State::kClearText:
      return clear_text(body, out);
    default:
      return md5(body, out);
  }
}

ClientLogin::Want ClientLogin::startup(std::string_view packet, std::string& out) {
  auto parsed = wire::parse_startup(packet);
  if (auto bad = std::get_if<wire::BadStartup>(&parsed))
    return refuse(out, LoginResult::kProtocol, bad->sqlstate, bad->why);
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

  return start(std::get<wire::Startup>(parsed), out);
}

ClientLogin::Want ClientLogin::direct_tls() {
  std::string nobody_reads;  // the client expects TLS
  if (!policy_.tls_available || policy_.unix_socket)
    return refuse(nobody_reads, LoginResult::kProtocol, "08P01", "TLS without asking, where no TLS is to be had");
  direct_ = true;
  return Want::kStartTls;
}

ClientLogin::Want ClientLogin::tls_established(ClientTls tls, std::string& out) {
  tls_ = true;
  client_tls_ = std::move(tls);
  if (direct_ && !client_tls_.alpn)
    return refuse(out, LoginResult::kProtocol, "08P01",
                  "received direct SSL connection request without ALPN protocol negotiation extension",
                  "Send the ALPN protocol \"postgresql\", or ask for TLS with an SSLRequest first.");
  return Want::kMore;
}

ClientLogin::Want ClientLogin::start(const wire::Startup& start, std::string& out) {
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
  minor_ = std::min(start.minor, kNewestMinor);
  if (start.minor > kNewestMinor || !unknown_extensions.empty())
    wire::negotiate_protocol_version(out, 3u << 16 | minor_, unknown_extensions);
  if (user_.empty())
    return refuse(out, LoginResult::kProtocol, "28000", "no PostgreSQL user name specified in startup packet");
  if (!read_replication(replication))
    return refuse(out, LoginResult::kProtocol, "22023",
                  "invalid value for parameter \"replication\": \"" + std::string(replication) + "\"",
                  "Valid values are: \"false\", 0, \"true\", 1, \"database\".");
  if (!replication_.empty()) parameters_.emplace_back("replication", replication_);
  if (database_.empty()) database_ = user_;
  return check_access(out);
}

// As PostgreSQL reads a boolean: any beginning of a word that is of one meaning only.
bool ClientLogin::read_replication(std::string_view value) {
  std::string word(value);
  for (char& c : word) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  const auto begins = [&](std::string_view whole, std::size_t least = 1) {
    return word.size() >= least && whole.starts_with(word);
  };
  if (value == "database") {
    replication_ = "database";
  } else if (begins("true") || begins("yes") || begins("on", 2) || word == "1") {
    replication_ = "true";
  } else if (!word.empty() && !begins("false") && !begins("no") && !begins("off", 2) && word != "0") {
    return false;
  }
  return true;
}

ClientLogin::Want ClientLogin::check_access(std::string& out) {
  if (!policy_.deleted.empty())
    return refuse(out, LoginResult::kDeleted, "57P03", policy_.deleted, policy_.deleted_hint);
  if (policy_.too_many_clients) {
    return refuse(out, LoginResult::kTooManyClients, "53300", "sorry, too many clients already",
                  "The sidecar is at its maximum of client connections: close idle ones, or use fewer.");
  }
  if (policy_.unix_socket) return begin_authentication(out);
  const bool wants_cert = policy_.client_cert != config::ClientCertMode::kNone;
  if ((policy_.require_tls || wants_cert) && !tls_) {
    return refuse(out, LoginResult::kTlsRequired, "28000",
                  wants_cert ? "this endpoint requires TLS with a client certificate (clientCert)"
                             : "this endpoint requires TLS (requireTLS: true)",
                  "Connect with sslmode=require or stronger, or through the Unix socket.");
  }
  if (wants_cert && !client_tls_.verified) {
    return refuse(out, LoginResult::kCertificate, "28000", "connection requires a valid client certificate",
                  "Connect with sslcert and sslkey of a certificate from the authority in clientCert.caRef.");
  }
  if (policy_.client_cert == config::ClientCertMode::kVerifyFull && client_tls_.common_name != user_) {
    return refuse(out, LoginResult::kCertificate, "28000", "the client certificate is not for user \"" + user_ + "\"",
                  "With clientCert.mode: verify-full the certificate's common name has to be the user's name.");
  }
  return begin_authentication(out);
}

ClientLogin::Want ClientLogin::begin_authentication(std::string& out) {
  credential_ = policy_.find(user_);
  if (policy_.pod_identity != PodIdentity::kOff) method_ = "pod-identity";
  if (policy_.pod_identity == PodIdentity::kElsewhere) {
    return refuse(out, LoginResult::kPodIdentity, "28000", "this endpoint knows its clients by their pod (PodIdentity)",
                  "Connect through the Unix socket of the pod.");
  }
  if (policy_.pod_identity == PodIdentity::kTrusted) {
    if (credential_) return succeed(out);
    return refuse(out, LoginResult::kPodIdentity, "28000",
                  "clients of this pod are another user than \"" + user_ + "\" (PodIdentity)",
                  "Connect as the user in spec.auth of the DBProxy.");
  }
  const bool iam = credential_ && credential_->user->iam_auth != config::IamAuth::kDisabled;
  if (iam || (!credential_ && policy_.mock_clear_text)) {
    method_ = "iam";
    if (!tls_ && !policy_.unix_socket)
      return refuse(out, LoginResult::kTlsRequired, "28000", "tokens of IAM are taken over TLS only (iamAuth)",
                    "Connect with sslmode=require or stronger, or through the Unix socket.");
    state_ = State::kClearText;
    wire::authentication(out, 3);
    return Want::kMore;
  }
  if (credential_ && credential_->password().empty()) credential_.reset();  // there is none to prove
  // An unknown user is asked just as a known one is, so that names cannot be found by trying.
  if (credential_ && credential_->user->client_password_auth_type == config::PasswordAuthType::kPostgresMd5) {
    policy_.random(md5_salt_);
    state_ = State::kMd5;
    method_ = "md5";
    wire::authentication(out, 5, {reinterpret_cast<const char*>(md5_salt_.data()), md5_salt_.size()});
    return Want::kMore;
  }
  if (!credential_) mock_keys_ = auth::mock_scram_keys(user_, policy_.process_secret);
  auto mode = credential_ ? auth::ScramServer::Mode::kVerify : auth::ScramServer::Mode::kMock;
  scram_.emplace(credential_ ? credential_->scram_keys.get() : &mock_keys_, auth::make_scram_nonce(policy_.random),
                 mode, client_tls_.end_point);
  if (credential_ && credential_->other_password() != nullptr && credential_->other_scram_keys)
    scram_->also_take(*credential_->other_scram_keys);
  state_ = State::kSaslInitial;
  method_ = "scram-sha-256";
  std::array<std::string_view, 2> mechanisms = {auth::kScramPlusMechanism, auth::kScramMechanism};
  wire::authentication_sasl(out, std::span(mechanisms).subspan(client_tls_.end_point.empty() ? 1 : 0));
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
  const bool plus = mechanism == auth::kScramPlusMechanism && !client_tls_.end_point.empty();
  if (!plus && mechanism != auth::kScramMechanism) {
    return refuse(out, LoginResult::kProtocol, "08P01", "client selected an invalid SASL authentication mechanism");
  }
  if (plus) method_ = "scram-sha-256-plus";
  auto reply = scram_->on_client_first(data, plus);
  if (!reply) return bad_scram(out, reply.error());
  state_ = State::kSaslFinal;
  wire::authentication(out, 11, *reply);
  return Want::kMore;
}

ClientLogin::Want ClientLogin::sasl_final(std::string_view body, std::string& out) {
  auto reply = scram_->on_client_final(body);
  if (!reply) {
    if (reply.error() == auth::Error::kWrongProof) return wrong_password(out);
    return bad_scram(out, reply.error());
  }
  wire::authentication(out, 12, *reply);
  return succeed(out, scram_->took_other());
}

ClientLogin::Want ClientLogin::bad_scram(std::string& out, const ErrorCode& error) {
  // Not a mistake of the client's program: somebody stands between it and us.
  if (error == auth::Error::kBindingDowngrade || error == auth::Error::kBindingMismatch)
    return refuse(out, LoginResult::kProtocol, "28000", error.message(),
                  "What the client saw of this server is not what this server sent: something between them has "
                  "changed the list of mechanisms or the certificate.");
  return refuse(out, LoginResult::kProtocol, "08P01", "malformed SCRAM message: " + error.message());
}

ClientLogin::Want ClientLogin::md5(std::string_view body, std::string& out) {
  wire::Reader reader(body);
  auto response = reader.cstring();
  if (!reader.ok() || !reader.rest().empty()) {
    return refuse(out, LoginResult::kProtocol, "08P01", "malformed password message");
  }
  const Secret* const other = credential_->other_password();
  const bool current = static_cast<bool>(auth::md5_verify(response, credential_->password(), user_, md5_salt_));
  if (!current && (other == nullptr || !auth::md5_verify(response, *other, user_, md5_salt_)))
    return wrong_password(out);
  return succeed(out, !current);
}

// The token, or with ENABLED the password.
ClientLogin::Want ClientLogin::clear_text(std::string_view body, std::string& out) {
  wire::Reader reader(body);
  const auto text = reader.cstring();
  if (!reader.ok() || !reader.rest().empty())
    return refuse(out, LoginResult::kProtocol, "08P01", "malformed password message");
  if (!credential_) return wrong_password(out);
  const config::User& user = *credential_->user;
  Secret given{std::string(text)};
  if (auth::looks_like_iam_token(text)) {
    token_ = std::move(given);
    state_ = State::kVerifying;
    return Want::kVerify;
  }
  if (user.iam_auth == config::IamAuth::kRequired)
    return refuse(out, LoginResult::kIamToken, "28000",
                  "only a token of IAM lets in user \"" + user_ + "\" (iamAuth: REQUIRED)",
                  "Give a token in the password's place: dbproxyctl token makes it.");
  method_ = "password";
  const Secret& password = credential_->password();
  const Secret* const other = credential_->other_password();
  const bool current = !password.empty() && given == password;
  if (!current && (other == nullptr || !(given == *other))) return wrong_password(out);
  return succeed(out, !current);
}

ClientLogin::Want ClientLogin::verified(const std::string& why, std::string& out) {
  token_ = {};
  if (why.empty()) return succeed(out);
  return refuse(out, LoginResult::kIamToken, "28000", "IAM authentication failed for user \"" + user_ + "\": " + why);
}

std::string ClientLogin::method() const {
  const bool certificate = client_tls_.verified && policy_.client_cert != config::ClientCertMode::kNone;
  return std::string(method_) + (certificate && !method_.empty() ? "+certificate" : "");
}

ClientLogin::Want ClientLogin::succeed(std::string& out, bool with_previous) {
  wire::authentication(out, 0);
  state_ = State::kDone;
  with_previous = with_previous || (credential_ && credential_->by_previous_name);
  result_ = with_previous ? LoginResult::kSuccessPrevious : LoginResult::kSuccess;
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
