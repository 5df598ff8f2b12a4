#include <functional>
#include <gtest/gtest.h>
#include <optional>

#include "proxy/auth/md5.hpp"
#include "proxy/backend/postgres_login.hpp"

namespace dbproxy::backend {
namespace {

namespace wire = dbproxy::wire::postgres;

auth::RandomBytes fixed_random() {
  return [](std::span<std::uint8_t> out) { std::fill(out.begin(), out.end(), std::uint8_t{7}); };
}
const std::string kNonce = auth::make_scram_nonce(fixed_random());

LoginOptions options(config::TlsMode tls = config::TlsMode::kDisable) {
  LoginOptions made;
  made.user = "alice";
  made.database = "shop";
  made.parameters = {{"application_name", "test"}};
  made.password = Secret("pencil");
  made.tls = tls;
  return made;
}

std::string ok() {
  std::string out;
  wire::authentication(out, 0);
  return out;
}

std::string sasl() {
  std::string out;
  const std::string_view mechanisms[] = {"SCRAM-SHA-1", "SCRAM-SHA-256"};
  wire::authentication_sasl(out, mechanisms);
  return out;
}

std::string greeting() {
  std::string out;
  wire::parameter_status(out, "server_version", "15.6");
  wire::notice_response(out, {.severity = "WARNING", .sqlstate = "01000", .message = "hello"});
  wire::parameter_status(out, "TimeZone", "UTC");
  wire::backend_key_data(out, 4711, "abcd");
  wire::ready_for_query(out, 'I');
  return out;
}

std::string error(std::string_view sqlstate) {
  std::string out;
  wire::error_response(out, {.severity = "FATAL", .sqlstate = sqlstate, .message = "no"});
  return out;
}

// A server that follows the rules of SCRAM, with a chosen password.
struct ScramPeer {
  explicit ScramPeer(const std::string& password)
      : keys(auth::derive_scram_keys(Secret(password), "0123456789abcdef", 64)), server(&keys, "servernonce") {}
  auth::ScramKeys keys;
  auth::ScramServer server;
};

// Runs a log-in against a server made of a function: the client's bytes in, the server's answer out, handed to the
// machine in pieces that are cut at `cut` (whole where it is beyond the end).
struct Outcome {
  Want want;
  std::string sent;
  LoginFailure failure;
  wire::Parameters parameters;
  std::uint32_t process_id;
  std::string cancel_key;
};

Outcome run(LoginOptions login_options, const std::function<std::string(const std::string&)>& server, std::size_t cut) {
  Login login(std::move(login_options), fixed_random());
  Outcome result;
  std::string out;
  std::string input;
  std::size_t arrived = 0;  // of all that the server ever sent
  Want want = login.start(out);
  const auto feed = [&] {
    std::size_t consumed = 0;
    want = login.feed(input, consumed, out);
    EXPECT_LE(consumed, input.size());
    input.erase(0, consumed);
  };
  for (int step = 0; step < 50 && want != Want::kDone && want != Want::kFailed; ++step) {
    std::string reply;
    if (!out.empty()) {
      result.sent += out;
      reply = server(out);
      out.clear();
    }
    if (want == Want::kStartTls) {
      want = login.tls_established(out);
      continue;
    }
    if (want == Want::kDeriveKeys) {
      const auto challenge = login.scram_challenge();
      want = login.keys_derived(auth::derive_scram_keys(Secret("pencil"), challenge.salt, challenge.iterations), out);
      continue;
    }
    if (cut >= arrived && cut < arrived + reply.size()) {
      input += reply.substr(0, cut - arrived);
      feed();
      input += reply.substr(cut - arrived);
    } else {
      input += reply;
    }
    arrived += reply.size();
    if (want == Want::kRead) feed();
    if (want == Want::kRead && out.empty() && reply.empty()) break;  // nothing more will come
  }
  result.want = want;
  result.sent += out;
  result.failure = login.failure();
  result.parameters = login.parameters();
  result.process_id = login.process_id();
  result.cancel_key = login.cancel_key();
  return result;
}

// The same result whole and cut in two at every byte.
Outcome run_all(const std::function<LoginOptions()>& make,
                const std::function<std::function<std::string(const std::string&)>()>& server) {
  std::size_t total = 0;
  const auto counted = [&, inner = server()](const std::string& bytes) {
    const std::string reply = inner(bytes);
    total += reply.size();
    return reply;
  };
  Outcome whole = run(make(), counted, SIZE_MAX);
  for (std::size_t cut = 0; cut < total; ++cut) {
    const Outcome split = run(make(), server(), cut);
    EXPECT_EQ(split.want, whole.want) << cut;
    EXPECT_EQ(split.sent, whole.sent) << cut;
    EXPECT_EQ(split.failure.kind, whole.failure.kind) << cut;
    EXPECT_EQ(split.failure.message, whole.failure.message) << cut;
    EXPECT_EQ(split.failure.raw, whole.failure.raw) << cut;
    EXPECT_EQ(split.parameters, whole.parameters) << cut;
    EXPECT_EQ(split.cancel_key, whole.cancel_key) << cut;
  }
  return whole;
}

// One reply after the other, whatever the client says.
std::function<std::string(const std::string&)> script(std::vector<std::string> replies) {
  return [replies, at = std::size_t{0}](const std::string&) mutable {
    return at < replies.size() ? replies[at++] : std::string();
  };
}

std::function<std::string(const std::string&)> scram_server(std::string password, std::string after_final) {
  return [peer = std::make_shared<ScramPeer>(password), after_final, step = 0](const std::string& bytes) mutable {
    std::string out;
    const std::size_t header = std::string("p....SCRAM-SHA-256").size() + 1 + 4;
    switch (step++) {
      case 0:
        return sasl();
      case 1:
        wire::authentication(out, 11, peer->server.on_client_first(bytes.substr(header)).value());
        return out;
      case 2: {
        const auto final = peer->server.on_client_final(bytes.substr(5));
        if (!final) return error("28P01");
        wire::authentication(out, 12, *final);
        return out + after_final;
      }
      default:
        return std::string();
    }
  };
}

TEST(Login, TrustEndsReady) {
  const Outcome done = run_all([] { return options(); }, [] { return script({ok() + greeting()}); });
  EXPECT_EQ(done.want, Want::kDone);
  std::string startup;
  wire::startup_message(startup, 196608, {{"user", "alice"}, {"database", "shop"}, {"application_name", "test"}});
  EXPECT_EQ(done.sent, startup);
  EXPECT_EQ(done.parameters, (wire::Parameters{{"server_version", "15.6"}, {"TimeZone", "UTC"}}));
  EXPECT_EQ(done.process_id, 4711u);
  EXPECT_EQ(done.cancel_key, "abcd");
}

TEST(Login, Md5) {
  std::string request;
  wire::authentication(request, 5, std::string("\x01\x02\x03\x04", 4));
  const Outcome done = run_all([] { return options(); }, [&] { return script({request, ok() + greeting()}); });
  EXPECT_EQ(done.want, Want::kDone);
  constexpr std::array<std::uint8_t, 4> kSalt = {1, 2, 3, 4};
  EXPECT_NE(done.sent.find(auth::md5_response(Secret("pencil"), "alice", kSalt).value()), std::string::npos);
}

TEST(Login, Scram) {
  const Outcome done = run_all([] { return options(); }, [] { return scram_server("pencil", ok() + greeting()); });
  EXPECT_EQ(done.want, Want::kDone);
  EXPECT_EQ(done.parameters.size(), 2u);
  const Outcome wrong = run_all([] { return options(); }, [] { return scram_server("other", ok() + greeting()); });
  EXPECT_EQ(wrong.want, Want::kFailed);
  EXPECT_TRUE(wrong.failure.is_auth_failure());
  EXPECT_EQ(wrong.failure.raw, error("28P01"));
}

TEST(Login, CleartextOnlyInsideOfTls) {
  std::string request;
  wire::authentication(request, 3);
  const Outcome plain = run_all([] { return options(); }, [&] { return script({request}); });
  EXPECT_EQ(plain.failure.kind, FailureKind::kClearText);
  EXPECT_EQ(plain.sent.find("pencil"), std::string::npos);
  for (const auto mode : {config::TlsMode::kRequire, config::TlsMode::kVerifyCa}) {
    const Outcome anybody = run_all([mode] { return options(mode); }, [&] { return script({"S", request}); });
    EXPECT_EQ(anybody.failure.kind, FailureKind::kClearText);
    EXPECT_EQ(anybody.sent.find("pencil"), std::string::npos);
  }
  const Outcome safe = run_all([] { return options(config::TlsMode::kVerifyFull); },
                               [&] {
                                 return script({"S", request, ok() + greeting()});
                               });
  EXPECT_EQ(safe.want, Want::kDone);
  EXPECT_NE(safe.sent.find("pencil"), std::string::npos);
}

TEST(Login, CleartextOnlyOnTheInstallationsWord) {
  std::string request;
  wire::authentication(request, 3);
  using config::CaOwner;
  for (const auto& [owner, token, given] :
       {std::tuple(CaOwner::kInstallation, false, true), std::tuple(CaOwner::kInstallation, true, true),
        std::tuple(CaOwner::kNamespace, false, false), std::tuple(CaOwner::kNamespace, true, false),
        std::tuple(CaOwner::kUnsaid, false, false), std::tuple(CaOwner::kUnsaid, true, true)}) {
    LoginOptions made = options(config::TlsMode::kVerifyFull);
    made.ca_owner = owner;
    made.token = token;
    const Outcome asked = run_all([&] { return made; }, [&] { return script({"S", request, ok() + greeting()}); });
    EXPECT_EQ(asked.want, given ? Want::kDone : Want::kFailed);
    EXPECT_EQ(asked.sent.find("pencil") != std::string::npos, given);
    if (given) continue;
    EXPECT_EQ(asked.failure.kind, FailureKind::kClearText);
    EXPECT_FALSE(asked.failure.is_auth_failure());
    const char* remedy = owner == CaOwner::kNamespace ? "have the CA added to rdsCA" : "upgrade the operator";
    EXPECT_NE(asked.failure.message.find(remedy), std::string::npos) << asked.failure.message;
  }
}

TEST(Login, TlsIsNotNegotiable) {
  for (const auto mode : {config::TlsMode::kRequire, config::TlsMode::kVerifyCa, config::TlsMode::kVerifyFull}) {
    for (const std::string& answer :
         {std::string("N"), error("08P01"), std::string("X"), std::string("SX"), "S" + ok() + greeting()}) {
      const Outcome refused = run(options(mode), script({answer}), SIZE_MAX);
      EXPECT_EQ(refused.want, Want::kFailed) << answer;
      EXPECT_EQ(refused.failure.kind, FailureKind::kTls);
      EXPECT_EQ(refused.sent.size(), 8u);  // only the SSLRequest: no name, no password
      EXPECT_EQ(refused.failure.raw, "");  // nobody vouches for these bytes
    }
  }
  LoginOptions local = options(config::TlsMode::kVerifyFull);
  local.unix_socket = true;
  EXPECT_EQ(run(local, script({ok() + greeting()}), SIZE_MAX).want, Want::kDone);
}

TEST(Login, ServersErrorsArePassedOn) {
  const Outcome missing = run_all([] { return options(); }, [] { return script({ok() + error("3D000")}); });
  EXPECT_EQ(missing.failure.kind, FailureKind::kServerError);
  EXPECT_EQ(missing.failure.sqlstate, "3D000");
  EXPECT_EQ(missing.failure.message, "no");
  EXPECT_EQ(missing.failure.raw, error("3D000"));
  EXPECT_FALSE(missing.failure.is_auth_failure());
  // No SQLSTATE in it.
  std::string bare;
  wire::MessageWriter(bare, 'E').u8('M').cstring("words").u8(0);
  EXPECT_EQ(run(options(), script({bare}), SIZE_MAX).failure.sqlstate, "XX000");
}

TEST(Login, RefusesWhatWouldSkipTheProof) {
  // AuthenticationOk instead of the challenge, of the server's signature, and with a wrong signature.
  EXPECT_EQ(run(options(), script({sasl(), ok() + greeting()}), SIZE_MAX).failure.kind, FailureKind::kAuthExchange);
  std::string challenge;
  wire::authentication(challenge, 11, "r=" + kNonce + "x,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=64");
  EXPECT_EQ(run(options(), script({sasl(), challenge, ok() + greeting()}), SIZE_MAX).failure.kind,
            FailureKind::kAuthExchange);
  std::string lie;
  wire::authentication(lie, 12, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
  EXPECT_EQ(run(options(), script({sasl(), challenge, lie + ok() + greeting()}), SIZE_MAX).failure.kind,
            FailureKind::kAuthExchange);
  // ReadyForQuery without any AuthenticationOk.
  EXPECT_EQ(run(options(), script({greeting()}), SIZE_MAX).failure.kind, FailureKind::kProtocol);
  // A second method after the first.
  std::string md5;
  wire::authentication(md5, 5, "abcd");
  EXPECT_EQ(run(options(), script({md5, sasl()}), SIZE_MAX).failure.kind, FailureKind::kProtocol);
  EXPECT_EQ(run(options(), script({sasl(), md5}), SIZE_MAX).failure.kind, FailureKind::kProtocol);
  EXPECT_EQ(run(options(), script({ok() + md5}), SIZE_MAX).failure.kind, FailureKind::kProtocol);
  // Bounds of the challenge.
  std::string huge;
  wire::authentication(huge, 11, "r=" + kNonce + "x,s=MDEy,i=100000000");
  EXPECT_EQ(run(options(), script({sasl(), huge}), SIZE_MAX).failure.kind, FailureKind::kAuthExchange);
}

TEST(Login, RefusesMalformedMessages) {
  const auto message = [](char type, std::string_view body) {
    std::string out;
    wire::MessageWriter(out, type).bytes(body);
    return out;
  };
  for (const std::string& bytes : {
           std::string("R\0\0\0\3", 5),
           std::string("R\xff\xff\xff\xff", 5),
           std::string("R\0\1\0\5", 5),
           message('R', "abc"),
           message('R', std::string_view("\0\0\0\5xyz", 7)),
           message('Z', "I"),
           message('T', ""),
           message('R', std::string_view("\0\0\0\nSCRAM", 9)),
           ok() + message('Z', "T"),
           ok() + message('Z', ""),
           ok() + message('S', "name"),
           ok() + message('K', "abc"),
           ok() + message('K', std::string(4 + 257, 'k')),
           ok() + message('K', "abcdxyz"),
           ok() + message('D', ""),
           ok() + ok(),
           std::string("HTTP/1.1 400 Bad Request\r\n"),
       }) {
    const Outcome refused = run(options(), script({bytes}), SIZE_MAX);
    EXPECT_EQ(refused.want, Want::kFailed);
    EXPECT_EQ(refused.failure.kind, FailureKind::kProtocol) << testing::PrintToString(bytes);
  }
  std::string flood = ok();
  for (int i = 0; i < 30; ++i) wire::parameter_status(flood, "x", std::string(60'000, 'x'));
  EXPECT_EQ(run(options(), script({flood}), SIZE_MAX).failure.kind, FailureKind::kProtocol);
}

TEST(Login, NamesWhatItDoesNotSpeak) {
  std::string gss;
  wire::authentication(gss, 7);
  const Outcome refused = run(options(), script({gss}), SIZE_MAX);
  EXPECT_EQ(refused.failure.kind, FailureKind::kAuthUnsupported);
  EXPECT_NE(refused.failure.message.find("GSSAPI"), std::string::npos);
  std::string other;
  const std::string_view mechanisms[] = {"OAUTHBEARER"};
  wire::authentication_sasl(other, mechanisms);
  EXPECT_EQ(run(options(), script({other}), SIZE_MAX).failure.kind, FailureKind::kAuthUnsupported);
}

TEST(Login, TakesLongCancelKeys) {
  std::string bytes;
  wire::negotiate_protocol_version(bytes, 0, {});
  bytes += ok();
  wire::backend_key_data(bytes, 1, std::string(256, 'k'));
  wire::ready_for_query(bytes, 'I');
  const Outcome done = run(options(), script({bytes}), SIZE_MAX);
  EXPECT_EQ(done.want, Want::kDone);
  EXPECT_EQ(done.cancel_key.size(), 256u);
}

// A log-in under TLS up to the mechanism that it chooses; `end_point` as the certificate gave it.
std::string chosen(const std::string& end_point, std::vector<std::string_view> offered, bool tls = true) {
  auto login_options = options(tls ? config::TlsMode::kRequire : config::TlsMode::kDisable);
  login_options.direct_tls = true;
  Login login(login_options, fixed_random());
  std::string out;
  std::size_t consumed = 0;
  if (login.start(out) == Want::kStartTls) login.tls_established(out, end_point);
  std::string reply;
  wire::authentication_sasl(reply, offered);
  out.clear();
  if (login.feed(reply, consumed, out) == Want::kFailed) return login.failure().message;
  const std::string_view sent = std::string_view(out).substr(5);
  const auto end = sent.find('\0');
  return std::string(sent.substr(0, end)) + " " + std::string(sent.substr(end + 5, sent.find(',', end) - end - 5));
}

TEST(Login, BindsToTheChannelWhereItCan) {
  EXPECT_EQ(chosen("hash", {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}), "SCRAM-SHA-256-PLUS p=tls-server-end-point");
  EXPECT_EQ(chosen("hash", {"SCRAM-SHA-256-PLUS"}), "SCRAM-SHA-256-PLUS p=tls-server-end-point");
  EXPECT_EQ(chosen("hash", {"SCRAM-SHA-256"}), "SCRAM-SHA-256 y");
  EXPECT_EQ(chosen("", {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}), "SCRAM-SHA-256 n");
  EXPECT_EQ(chosen("", {"SCRAM-SHA-256"}, false), "SCRAM-SHA-256 n");
  EXPECT_EQ(chosen("", {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}, false),
            "the server offers channel binding without TLS");
  EXPECT_EQ(chosen("", {"SCRAM-SHA-256-PLUS"}), "the server offers no SASL mechanism that is supported");
}

std::string version_answer(std::uint32_t version, std::span<const std::string_view> unknown = {}) {
  std::string out;
  wire::negotiate_protocol_version(out, version, unknown);
  return out;
}

TEST(Login, AsksForProtocol32AndTakesLess) {
  const auto newer = [] {
    auto made = options();
    made.protocol_3_2 = true;
    return made;
  };
  for (const std::string& answer : {std::string(), version_answer(196608), version_answer(196610), version_answer(0)}) {
    const Outcome outcome = run_all(newer, [&] { return script({answer + ok() + greeting()}); });
    EXPECT_EQ(outcome.want, Want::kDone);
    EXPECT_EQ(outcome.sent.substr(4, 4), std::string("\0\3\0\2", 4));
  }
  const std::string_view unknown[] = {"_pq_.x"};
  for (const std::string& answer : {version_answer(196611), version_answer(131072), version_answer(196608, unknown),
                                    ok() + version_answer(196608), std::string("v\0\0\0\6\0\0", 7)}) {
    const Outcome outcome = run_all(newer, [&] { return script({answer + ok() + greeting()}); });
    EXPECT_EQ(outcome.want, Want::kFailed);
    EXPECT_EQ(outcome.failure.kind, FailureKind::kProtocol);
  }
}

}  // namespace
}  // namespace dbproxy::backend
