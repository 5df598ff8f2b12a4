#include "proxy/backend/postgres_login.hpp"

#include <algorithm>
#include <array>

#include "proxy/auth/md5.hpp"
#include "proxy/wire/postgres/frame.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::backend {
namespace {

namespace wire = dbproxy::wire::postgres;

constexpr std::size_t kMaxLoginMessage = 64 * 1024;
constexpr std::size_t kMaxLogin = 1024 * 1024;
constexpr std::size_t kMaxCancelKey = 256;
constexpr std::uint32_t kProtocol30 = 3u << 16;
constexpr std::uint32_t kProtocol32 = kProtocol30 | 2;

// AuthenticationXXX.
enum : std::uint32_t { kOk = 0, kCleartext = 3, kMd5 = 5, kSasl = 10, kSaslContinue = 11, kSaslFinal = 12 };

std::string method_name(std::uint32_t code) {
  switch (code) {
    case 2:
      return "Kerberos V5";
    case 6:
      return "SCM credentials";
    case 7:
      return "GSSAPI";
    case 8:
      return "GSSAPI continuation";
    case 9:
      return "SSPI";
    default:
      return "number " + std::to_string(code);
  }
}

}  // namespace

Login::Login(LoginOptions options, const auth::RandomBytes& random)
    : options_(std::move(options)), scram_(auth::make_scram_nonce(random)) {}

Want Login::fail(FailureKind kind, std::string message) {
  failure_.kind = kind;
  failure_.message = std::move(message);
  state_ = State::kOver;
  return wants(Want::kFailed);
}

void Login::send_startup(std::string& out) {
  wire::Parameters parameters = {{"user", options_.user}, {"database", options_.database}};
  parameters.insert(parameters.end(), options_.parameters.begin(), options_.parameters.end());
  wire::startup_message(out, options_.protocol_3_2 ? kProtocol32 : kProtocol30, parameters);
  state_ = State::kAuthentication;
}

Want Login::start(std::string& out) {
  if (state_ != State::kNew) return want_;
  if (options_.tls == config::TlsMode::kDisable || options_.unix_socket) {
    send_startup(out);
  } else if (options_.direct_tls) {
    state_ = State::kTlsHandshake;
    return wants(Want::kStartTls);
  } else {
    wire::ssl_request(out);
    state_ = State::kTlsAnswer;
  }
  return wants(Want::kRead);
}

// One byte without a frame. Whatever came with it is from somebody who wants it to be taken for the server's words
// inside of TLS.
Want Login::tls_answer(std::string_view bytes, std::size_t& consumed) {
  if (bytes.empty()) return want_;
  consumed = 1;
  if (bytes[0] == 'N')
    return fail(FailureKind::kTls, "the server does not offer TLS, which the mode " +
                                       std::string(config::to_string(options_.tls)) + " asks for");
  if (bytes[0] != 'S') return fail(FailureKind::kTls, "the server did not understand the request for TLS");
  if (bytes.size() > 1) return fail(FailureKind::kTls, "plain bytes were received before TLS started");
  state_ = State::kTlsHandshake;
  return wants(Want::kStartTls);
}

Want Login::tls_established(std::string& out, std::string end_point) {
  if (state_ != State::kTlsHandshake) return want_;
  end_point_ = std::move(end_point);
  tls_up_ = true;
  send_startup(out);
  return wants(Want::kRead);
}

Want Login::feed(std::string_view bytes, std::size_t& consumed, std::string& out) {
  consumed = 0;
  if (want_ != Want::kRead || state_ == State::kNew) return want_;
  if (state_ == State::kTlsAnswer) return tls_answer(bytes, consumed);
  while (want_ == Want::kRead) {
    const std::string_view rest = bytes.substr(consumed);
    const wire::Frame frame = wire::scan_frame(rest);
    if (frame.scan == wire::Scan::kBad) return fail(FailureKind::kProtocol, "a message with an impossible length");
    if (frame.scan == wire::Scan::kNeedMore) break;
    if (frame.size > kMaxLoginMessage) return fail(FailureKind::kProtocol, "a message over 64 KB during log-in");
    if (frame.size > rest.size()) break;
    taken_ += frame.size;
    if (taken_ > kMaxLogin) return fail(FailureKind::kProtocol, "more than 1 MB during log-in");
    consumed += frame.size;
    message(frame.type, rest.substr(0, frame.size), out);
  }
  return want_;
}

Want Login::message(char type, std::string_view whole, std::string& out) {
  const std::string_view body = whole.substr(wire::kHeaderSize);
  switch (type) {
    case 'E':
      return server_error(whole);
    case 'N':  // notices are for people; nobody is there
      return want_;
    case 'v':
      if (state_ == State::kAuthentication) return negotiated(body);
      break;
    case 'R':
      if (state_ != State::kGreeting) return authentication(body, out);
      break;
    default:
      if (state_ == State::kGreeting) return greeting(type, body);
      break;
  }
  return fail(FailureKind::kProtocol,
              std::string("unexpected message '") + (type >= ' ' && type < 0x7f ? type : '?') + "' during log-in");
}

// What was asked for is more than the server knows. Nothing that was asked for is needed.
Want Login::negotiated(std::string_view body) {
  wire::Reader reader(body);
  const std::uint32_t newest = reader.u32();
  const std::uint32_t unknown = reader.u32();
  // Servers before 18 name the minor version only.
  const std::uint32_t version = newest >> 16 == 0 ? kProtocol30 | newest : newest;
  if (!reader.ok() || unknown != 0 || version < kProtocol30 || version > kProtocol32)
    return fail(FailureKind::kProtocol, "the server wants a version of the protocol that was not asked for");
  return want_;
}

Want Login::server_error(std::string_view whole) {
  const wire::ErrorFields fields = wire::read_error(whole.substr(wire::kHeaderSize));
  fail(FailureKind::kServerError, std::string(fields.message));
  failure_.sqlstate = fields.sqlstate.size() == 5 ? std::string(fields.sqlstate) : "XX000";
  failure_.raw = whole;
  return want_;
}

Want Login::authentication(std::string_view body, std::string& out) {
  wire::Reader reader(body);
  const std::uint32_t code = reader.u32();
  if (!reader.ok()) return fail(FailureKind::kProtocol, "a truncated authentication message");
  const std::string_view data = reader.rest();

  if (code == kOk) {
    // In mid-exchange it would let somebody in who cannot prove that he knows the password.
    if (state_ != State::kAuthentication && state_ != State::kPasswordSent && state_ != State::kScramVerified)
      return fail(FailureKind::kAuthExchange, "the server ended SCRAM without proving that it knows the password");
    state_ = State::kGreeting;
    return want_;
  }
  if (code == kSaslContinue && state_ == State::kScramFirst) {
    auto challenge = scram_.on_server_first(data);
    if (!challenge) return fail(FailureKind::kAuthExchange, challenge.error().message());
    challenge_ = std::move(*challenge);
    state_ = State::kScramKeys;
    return wants(Want::kDeriveKeys);
  }
  if (code == kSaslFinal && state_ == State::kScramFinal) {
    const auto verified = scram_.on_server_final(data);
    if (!verified) return fail(FailureKind::kAuthExchange, verified.error().message());
    state_ = State::kScramVerified;
    return want_;
  }
  if (state_ != State::kAuthentication) return fail(FailureKind::kProtocol, "an authentication message out of order");
  if (options_.token && (code == kMd5 || code == kSasl))
    return fail(FailureKind::kAuthUnsupported,
                "the database asks user \"" + options_.user + "\" for a password, and not for a token of IAM: " +
                    "GRANT rds_iam TO it, and turn IAM authentication on for the cluster");

  switch (code) {
    case kCleartext: {
      const auto what = options_.token ? config::ClearText::kToken : config::ClearText::kPassword;
      const auto mode = tls_up_ ? options_.tls : config::TlsMode::kDisable;
      if (const auto why = config::clear_text_refusal(mode, options_.ca_owner, what); !why.empty()) {
        return fail(FailureKind::kClearText,
                    "the database asks for the password in clear text, which is given " + std::string(why));
      }
      wire::password_message(out, options_.password.reveal());
      state_ = State::kPasswordSent;
      return want_;
    }
    case kMd5: {
      std::array<std::uint8_t, 4> salt;
      if (data.size() != salt.size()) return fail(FailureKind::kProtocol, "a malformed md5 request");
      std::copy(data.begin(), data.end(), salt.begin());
      const auto response = auth::md5_response(options_.password, options_.user, salt);
      if (!response) return fail(FailureKind::kAuthUnsupported, response.error().message());
      wire::password_message(out, *response);
      state_ = State::kPasswordSent;
      return want_;
    }
    case kSasl:
      return sasl(data, out);
    case kSaslContinue:
    case kSaslFinal:
      return fail(FailureKind::kProtocol, "an authentication message out of order");
    default:
      return fail(FailureKind::kAuthUnsupported,
                  "the server asks for authentication by " + method_name(code) + ", which is not supported");
  }
}

Want Login::sasl(std::string_view mechanisms, std::string& out) {
  wire::Reader reader(mechanisms);
  bool found = false;
  bool plus = false;
  for (std::string_view name = reader.cstring(); reader.ok() && !name.empty(); name = reader.cstring()) {
    found |= name == auth::kScramMechanism;
    plus |= name == auth::kScramPlusMechanism;
  }
  if (!reader.ok()) return fail(FailureKind::kProtocol, "a malformed list of SASL mechanisms");
  if (plus && !tls_up_) return fail(FailureKind::kAuthExchange, "the server offers channel binding without TLS");
  found |= plus && !end_point_.empty();
  if (!found) return fail(FailureKind::kAuthUnsupported, "the server offers no SASL mechanism that is supported");
  const std::string_view mechanism = scram_.bind(end_point_, plus);
  wire::sasl_initial_response(out, mechanism, scram_.client_first());
  state_ = State::kScramFirst;
  return want_;
}

Want Login::keys_derived(const auth::ScramKeys& keys, std::string& out) {
  if (state_ != State::kScramKeys) return want_;
  const std::string final = scram_.client_final(keys);
  if (final.empty()) return fail(FailureKind::kProtocol, "keys for another challenge");
  wire::sasl_response(out, final);
  state_ = State::kScramFinal;
  return wants(Want::kRead);
}

Want Login::greeting(char type, std::string_view body) {
  wire::Reader reader(body);
  switch (type) {
    case 'S': {
      const std::string_view name = reader.cstring();
      const std::string_view value = reader.cstring();
      if (!reader.ok()) break;
      parameters_.emplace_back(name, value);
      return want_;
    }
    case 'K':
      process_id_ = reader.u32();
      if (!reader.ok() || reader.rest().size() < 4 || reader.rest().size() > kMaxCancelKey) break;
      cancel_key_ = reader.rest();
      return want_;
    case 'Z':
      if (body != "I") break;
      state_ = State::kOver;
      return wants(Want::kDone);
    default:
      return fail(FailureKind::kProtocol,
                  std::string("unexpected message '") + (type >= ' ' && type < 0x7f ? type : '?') + "' during log-in");
  }
  return fail(FailureKind::kProtocol, std::string("a malformed message '") + type + "' during log-in");
}

}  // namespace dbproxy::backend
