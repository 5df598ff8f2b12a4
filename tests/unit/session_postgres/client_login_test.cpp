#include "proxy/session/postgres/client_login.hpp"

#include <gtest/gtest.h>

#include "proxy/auth/md5.hpp"
#include "proxy/session/postgres/cancel_key.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {
namespace {

namespace wire = dbproxy::wire::postgres;
using Want = ClientLogin::Want;

constexpr std::uint32_t k30 = 3u << 16;

auth::RandomBytes counting() {
  return [next = std::uint8_t{1}](std::span<std::uint8_t> out) mutable {
    for (auto& byte : out) byte = next++;
  };
}

LoginPolicy policy() {
  static const auto user = [] {
    auto made = std::make_shared<config::User>();
    made->name = "app";
    made->password = Secret("app-secret");
    return made;
  }();
  static const auto keys =
      std::make_shared<auth::ScramKeys>(auth::derive_scram_keys(user->password, "0123456789abcdef", 16));
  LoginPolicy made;
  made.tls_available = true;
  made.process_secret = "process secret";
  made.random = counting();
  made.find = [](std::string_view name) -> std::optional<Credential> {
    if (name != "app") return std::nullopt;
    return Credential{{user}, keys, nullptr};
  };
  return made;
}

std::string startup(std::uint32_t version = k30, wire::Parameters more = {}) {
  more.insert(more.begin(), {"user", "app"});
  std::string out;
  wire::startup_message(out, version, more);
  return out;
}

ClientTls shown(std::string end_point, bool alpn = false, bool verified = false, std::string common_name = {}) {
  return {std::move(end_point), alpn, verified, std::move(common_name)};
}

struct Answer {
  Want want;
  std::string out;
  wire::ErrorFields error() const {
    const auto at = out.find(std::string("SFATAL") + '\0');
    return at == std::string::npos ? wire::ErrorFields{} : wire::read_error(std::string_view(out).substr(at));
  }
};

Answer feed(ClientLogin& login, const std::string& bytes) {
  Answer answer{Want::kMore, {}};
  std::size_t consumed = 0;
  answer.want = login.feed(bytes, consumed, answer.out);
  return answer;
}

// The client's side, up to the end.
Want log_in(ClientLogin& login, const std::string& end_point, bool plus_seen = true) {
  auth::ScramClient client("clientnonce");
  const auto mechanism = client.bind(end_point, plus_seen);
  std::string message;
  wire::sasl_initial_response(message, mechanism, client.client_first());
  auto answer = feed(login, message);
  if (answer.want != Want::kMore) return answer.want;
  const auto challenge = client.on_server_first(std::string_view(answer.out).substr(9));
  if (!challenge) return Want::kRefuse;
  message.clear();
  wire::sasl_response(message, client.client_final(auth::derive_scram_keys(Secret("app-secret"), challenge->salt,
                                                                           challenge->iterations)));
  return feed(login, message).want;
}

TEST(ClientLogin, OffersChannelBindingUnderTlsOnly) {
  ClientLogin plain(policy());
  EXPECT_EQ(feed(plain, startup()).out.find("PLUS"), std::string::npos);
  EXPECT_EQ(log_in(plain, ""), Want::kAuthenticated);
  EXPECT_EQ(plain.method(), "scram-sha-256");

  std::string out;
  ClientLogin bound(policy());
  EXPECT_EQ(bound.tls_established(shown("hash"), out), Want::kMore);
  EXPECT_NE(feed(bound, startup()).out.find("SCRAM-SHA-256-PLUS"), std::string::npos);
  EXPECT_EQ(log_in(bound, "hash"), Want::kAuthenticated);
  EXPECT_EQ(bound.method(), "scram-sha-256-plus");

  ClientLogin other_certificate(policy());
  other_certificate.tls_established(shown("hash"), out);
  feed(other_certificate, startup());
  EXPECT_EQ(log_in(other_certificate, "what the client saw"), Want::kRefuse);
  EXPECT_EQ(other_certificate.refusal(), "SCRAM channel binding check failed");

  ClientLogin stripped(policy());
  stripped.tls_established(shown("hash"), out);
  feed(stripped, startup());
  EXPECT_EQ(log_in(stripped, "hash", false), Want::kRefuse);
  EXPECT_EQ(stripped.refusal(), "SCRAM channel binding negotiation error");
}

TEST(ClientLogin, NegotiatesTheVersionAsPostgresql18) {
  struct Case {
    std::uint32_t asked;
    wire::Parameters extensions;
    bool answered;
    std::uint32_t told;
    bool long_key;
  };
  for (const Case& c : std::vector<Case>{
           {k30, {}, false, 0, false},
           {k30 | 1, {}, false, 0, false},
           {k30 | 2, {}, false, 0, true},
           {k30 | 3, {}, true, k30 | 2, true},
           {k30 | 9999, {}, true, k30 | 2, true},
           {k30, {{"_pq_.x", "1"}}, true, k30, false},
           {k30 | 2, {{"_pq_.x", "1"}, {"_pq_.y", ""}}, true, k30 | 2, true},
       }) {
    ClientLogin login(policy());
    const auto answer = feed(login, startup(c.asked, c.extensions));
    EXPECT_EQ(answer.want, Want::kMore);
    EXPECT_EQ(answer.out[0] == 'v', c.answered) << c.asked;
    EXPECT_EQ(login.long_cancel_key(), c.long_key);
    if (!c.answered) continue;
    EXPECT_EQ(wire::load_u32(answer.out.data() + 5), c.told);
    EXPECT_EQ(wire::load_u32(answer.out.data() + 9), c.extensions.size());
  }
  ClientLogin two(policy());
  const auto answer = feed(two, startup(2u << 16));
  EXPECT_EQ(answer.want, Want::kRefuse);
  EXPECT_EQ(answer.error().sqlstate, "0A000");
}

TEST(ClientLogin, TakesDirectTlsWhereThereIsTls) {
  std::string out;
  ClientLogin login(policy());
  EXPECT_EQ(login.direct_tls(), Want::kStartTls);
  EXPECT_EQ(login.tls_established(shown({}, true), out), Want::kMore);
  EXPECT_EQ(feed(login, startup()).want, Want::kMore);

  ClientLogin no_alpn(policy());
  EXPECT_EQ(no_alpn.direct_tls(), Want::kStartTls);
  EXPECT_EQ(no_alpn.tls_established({}, out), Want::kRefuse);

  auto without = policy();
  without.tls_available = false;
  EXPECT_EQ(ClientLogin(without).direct_tls(), Want::kRefuse);
  auto on_socket = policy();
  on_socket.unix_socket = true;
  EXPECT_EQ(ClientLogin(on_socket).direct_tls(), Want::kRefuse);
}

TEST(ClientLogin, ChecksClientCertificates) {
  using Mode = config::ClientCertMode;
  struct Case {
    Mode mode;
    ClientTls tls;
    Want want;
  };
  for (const Case& c : std::vector<Case>{
           {Mode::kNone, {}, Want::kMore},
           {Mode::kVerifyCa, {}, Want::kRefuse},
           {Mode::kVerifyCa, shown({}, false, true, "other"), Want::kMore},
           {Mode::kVerifyFull, shown({}, false, true, "app"), Want::kMore},
           {Mode::kVerifyFull, shown({}, false, true, "other"), Want::kRefuse},
           {Mode::kVerifyFull, shown({}, false, true), Want::kRefuse},
           {Mode::kVerifyFull, shown({}, false, false, "app"), Want::kRefuse},
       }) {
    auto with = policy();
    with.client_cert = c.mode;
    std::string out;
    ClientLogin login(with);
    login.tls_established(c.tls, out);
    const auto answer = feed(login, startup());
    EXPECT_EQ(answer.want, c.want);
    if (c.want == Want::kRefuse) {
      EXPECT_EQ(answer.error().sqlstate, "28000");
      EXPECT_EQ(login.result(), LoginResult::kCertificate);
    }
  }
  auto plain = policy();
  plain.client_cert = Mode::kVerifyCa;
  ClientLogin in_clear(plain);
  EXPECT_EQ(feed(in_clear, startup()).want, Want::kRefuse);
  EXPECT_EQ(in_clear.result(), LoginResult::kTlsRequired);
  plain.unix_socket = true;
  ClientLogin over_socket(plain);
  EXPECT_EQ(feed(over_socket, startup()).want, Want::kMore);
}

// PgBouncer let a second start-up packet during SCRAM change who was being logged in.
TEST(ClientLogin, RefusesASecondStartUpPacketDuringScram) {
  ClientLogin login(policy());
  feed(login, startup());
  EXPECT_EQ(feed(login, startup()).want, Want::kRefuse);
  EXPECT_EQ(login.user(), "app");
}

TEST(ClientLogin, RefusesAFinalMessageWithoutNonce) {
  for (const char* final : {"c=biws,p=AAAA", "c=biws", "", "r=x,p=AAAA", "c=biws,r=,p=AAAA"}) {
    ClientLogin login(policy());
    feed(login, startup());
    std::string message;
    wire::sasl_initial_response(message, auth::kScramMechanism, "n,,n=,r=abc");
    ASSERT_EQ(feed(login, message).want, Want::kMore);
    message.clear();
    wire::sasl_response(message, final);
    EXPECT_EQ(feed(login, message).want, Want::kRefuse) << final;
  }
}

TEST(ClientLogin, DeclinesEncryptionInEitherOrder) {
  const std::string ssl("\0\0\0\x08\x04\xd2\x16\x2f", 8), gss("\0\0\0\x08\x04\xd2\x16\x30", 8);
  auto without = policy();
  without.tls_available = false;
  for (const auto& order : {std::pair{ssl, gss}, std::pair{gss, ssl}}) {
    ClientLogin login(without);
    EXPECT_EQ(feed(login, order.first).out, "N");
    EXPECT_EQ(feed(login, order.second).out, "N");
    EXPECT_EQ(feed(login, order.first).want, Want::kRefuse);
  }
  ClientLogin login(policy());
  EXPECT_EQ(feed(login, gss).out, "N");
  EXPECT_EQ(feed(login, ssl).want, Want::kStartTls);
}

TEST(CancelKey, CarriesTheWorkerAndFitsTheProtocol) {
  for (const std::uint32_t worker : {0u, 1u, 255u}) {
    const auto random = auth::system_random();
    const CancelKey short_key = make_cancel_key(worker, false, random);
    const CancelKey long_key = make_cancel_key(worker, true, random);
    EXPECT_EQ(worker_of(short_key.process_id()), worker);
    EXPECT_GT(static_cast<std::int32_t>(short_key.process_id()), 0);
    EXPECT_EQ(short_key.secret().size(), 4u);
    EXPECT_EQ(long_key.secret().size(), 32u);
    EXPECT_TRUE(long_key.matches(std::string(long_key.secret())));
    EXPECT_FALSE(long_key.matches(long_key.secret().substr(0, 4)));
    EXPECT_FALSE(long_key.matches(short_key.secret()));
    std::string wrong(long_key.secret());
    wrong.back() = static_cast<char>(wrong.back() ^ 1);
    EXPECT_FALSE(long_key.matches(wrong));
  }
  EXPECT_FALSE(CancelKey().matches(""));
}

TEST(ClientLogin, LetsThePodsOwnClientsInWithoutAPassword) {
  LoginPolicy trusting = policy();
  trusting.unix_socket = true;
  trusting.pod_identity = PodIdentity::kTrusted;
  ClientLogin login(trusting);
  const auto answer = feed(login, startup());
  EXPECT_EQ(answer.want, Want::kAuthenticated);
  EXPECT_EQ(answer.out, std::string("R\0\0\0\x08\0\0\0\0", 9));
  EXPECT_EQ(login.result(), LoginResult::kSuccess);
  EXPECT_EQ(login.method(), "pod-identity");
}

TEST(ClientLogin, LetsThemInAsTheConfiguredUserOnly) {
  LoginPolicy trusting = policy();
  trusting.unix_socket = true;
  trusting.pod_identity = PodIdentity::kTrusted;
  std::string other;
  wire::startup_message(other, k30, {{"user", "postgres"}});
  ClientLogin login(trusting);
  const auto answer = feed(login, other);
  EXPECT_EQ(answer.want, Want::kRefuse);
  EXPECT_EQ(answer.error().sqlstate, "28000");
}

TEST(ClientLogin, AsksNobodyElsewhereForAPassword) {
  LoginPolicy elsewhere = policy();
  elsewhere.pod_identity = PodIdentity::kElsewhere;
  ClientLogin login(elsewhere);
  const auto answer = feed(login, startup());
  EXPECT_EQ(answer.want, Want::kRefuse);
  EXPECT_EQ(answer.error().sqlstate, "28000");
  EXPECT_EQ(login.result(), LoginResult::kPodIdentity);
}

TEST(ClientLogin, WantsTlsOfTrustedClientsOverTcpTooWhereItIsRequired) {
  LoginPolicy trusting = policy();
  trusting.require_tls = true;
  trusting.pod_identity = PodIdentity::kTrusted;
  ClientLogin login(trusting);
  EXPECT_EQ(feed(login, startup()).want, Want::kRefuse);
  EXPECT_EQ(login.result(), LoginResult::kTlsRequired);
}

LoginPolicy iam_policy(config::IamAuth mode) {
  LoginPolicy made = policy();
  made.unix_socket = true;
  made.mock_clear_text = true;
  made.find = [mode](std::string_view name) -> std::optional<Credential> {
    if (name != "app") return std::nullopt;
    auto user = std::make_shared<config::User>();
    user->name = "app";
    user->password = Secret("app-secret");
    user->iam_auth = mode;
    return Credential{{user}, nullptr, nullptr};
  };
  return made;
}

std::string password(std::string_view text) {
  std::string out;
  wire::password_message(out, text);
  return out;
}

TEST(ClientLogin, TokensAreForSomebodyElseToLookAt) {
  for (const bool good : {true, false}) {
    ClientLogin login(iam_policy(config::IamAuth::kRequired));
    EXPECT_EQ(feed(login, startup()).out, std::string("R\0\0\0\x08\0\0\0\x03", 9));
    EXPECT_EQ(feed(login, password("host/?X-Amz-Signature=00")).want, Want::kVerify);
    EXPECT_EQ(login.token().reveal(), "host/?X-Amz-Signature=00");
    EXPECT_EQ(feed(login, password("more")).want, Want::kMore);
    std::string out;
    EXPECT_EQ(login.verified(good ? "" : "it has expired", out), good ? Want::kAuthenticated : Want::kRefuse);
    EXPECT_EQ(login.result(), good ? LoginResult::kSuccess : LoginResult::kIamToken);
    EXPECT_TRUE(login.token().empty());
    EXPECT_EQ(out.find("X-Amz"), std::string::npos);
  }
}

TEST(ClientLogin, APasswordIsTakenWhereIamIsEnabledOnly) {
  for (const auto& [mode, given, want] : {std::tuple{config::IamAuth::kEnabled, "app-secret", Want::kAuthenticated},
                                          std::tuple{config::IamAuth::kEnabled, "wrong", Want::kRefuse},
                                          std::tuple{config::IamAuth::kEnabled, "", Want::kRefuse},
                                          std::tuple{config::IamAuth::kRequired, "app-secret", Want::kRefuse}}) {
    ClientLogin login(iam_policy(mode));
    feed(login, startup());
    EXPECT_EQ(feed(login, password(given)).want, want) << given;
  }
  LoginPolicy plain = iam_policy(config::IamAuth::kEnabled);
  plain.unix_socket = false;
  ClientLogin login(plain);
  EXPECT_EQ(feed(login, startup()).want, Want::kRefuse);
  EXPECT_EQ(login.result(), LoginResult::kTlsRequired);
}

// A user whose secret was rotated; `previous`: clients may still use the one from before it.
LoginPolicy rotated_policy(bool previous, config::PasswordAuthType type, config::IamAuth iam = {}) {
  LoginPolicy made = policy();
  made.unix_socket = true;
  made.find = [=](std::string_view name) -> std::optional<Credential> {
    auto user = std::make_shared<config::User>();
    user->name = "app";
    user->password = Secret("new");
    user->previous_password = Secret("old");
    user->client_password_auth_type = type;
    user->iam_auth = iam;
    const auto keys = [](const Secret& of) {
      return std::make_shared<auth::ScramKeys>(auth::derive_scram_keys(of, "0123456789abcdef", 16));
    };
    return Credential{{user, previous, name == "app_old"},
                      keys(name == "app_old" ? user->previous_password : user->password),
                      keys(user->previous_password)};
  };
  return made;
}

struct LogInWith {
  std::string_view user, password;
  bool grace;
  LoginResult result;
};

class RotatedLogin : public ::testing::TestWithParam<LogInWith> {
 protected:
  void begin(ClientLogin& login) const {
    std::string out;
    wire::startup_message(out, k30, {{"user", std::string(GetParam().user)}});
    feed(login, out);
  }
};

TEST_P(RotatedLogin, ByScram) {
  ClientLogin login(rotated_policy(GetParam().grace, config::PasswordAuthType::kPostgresScramSha256));
  begin(login);
  auth::ScramClient client("clientnonce");
  std::string message;
  wire::sasl_initial_response(message, client.bind("", false), client.client_first());
  const auto first = feed(login, message);
  ASSERT_EQ(first.want, Want::kMore);
  const auto challenge = client.on_server_first(std::string_view(first.out).substr(9));
  ASSERT_TRUE(static_cast<bool>(challenge));
  std::string final;
  wire::sasl_response(final, client.client_final(auth::derive_scram_keys(Secret(std::string(GetParam().password)),
                                                                         challenge->salt, challenge->iterations)));
  const auto answer = feed(login, final);
  EXPECT_EQ(login.result(), GetParam().result);
  if (GetParam().result == LoginResult::kWrongPassword) return;
  ASSERT_EQ(answer.want, Want::kAuthenticated);
  const auto size = wire::scan_frame(answer.out).size;
  EXPECT_TRUE(static_cast<bool>(client.on_server_final(std::string_view(answer.out).substr(9, size - 9))))
      << "and it is proved to the client that its password is known";
}

TEST_P(RotatedLogin, ByMd5) {
  ClientLogin login(rotated_policy(GetParam().grace, config::PasswordAuthType::kPostgresMd5));
  std::string out;
  wire::startup_message(out, k30, {{"user", std::string(GetParam().user)}});
  const auto asked = feed(login, out).out;
  ASSERT_EQ(asked.size(), 13u);
  std::array<std::uint8_t, 4> salt{};
  std::copy(asked.begin() + 9, asked.end(), salt.begin());
  feed(login, password(*auth::md5_response(Secret(std::string(GetParam().password)), GetParam().user, salt)));
  EXPECT_EQ(login.result(), GetParam().result);
}

TEST_P(RotatedLogin, InClearText) {
  ClientLogin login(rotated_policy(GetParam().grace, {}, config::IamAuth::kEnabled));
  begin(login);
  feed(login, password(GetParam().password));
  EXPECT_EQ(login.result(), GetParam().result);
}

INSTANTIATE_TEST_SUITE_P(ClientLogin, RotatedLogin,
                         ::testing::Values(LogInWith{"app", "new", true, LoginResult::kSuccess},
                                           LogInWith{"app", "old", true, LoginResult::kSuccessPrevious},
                                           LogInWith{"app", "older", true, LoginResult::kWrongPassword},
                                           LogInWith{"app", "", true, LoginResult::kWrongPassword},
                                           LogInWith{"app", "old", false, LoginResult::kWrongPassword},
                                           LogInWith{"app", "new", false, LoginResult::kSuccess},
                                           LogInWith{"app_old", "old", true, LoginResult::kSuccessPrevious},
                                           LogInWith{"app_old", "new", true, LoginResult::kWrongPassword}));

TEST(ClientLogin, AnUnknownUserIsAskedAsOneWithIam) {
  ClientLogin login(iam_policy(config::IamAuth::kRequired));
  std::string nobody;
  wire::startup_message(nobody, k30, {{"user", "nobody"}});
  EXPECT_EQ(feed(login, nobody).out, std::string("R\0\0\0\x08\0\0\0\x03", 9));
  const auto answer = feed(login, password("host/?X-Amz-Signature=00"));
  EXPECT_EQ(answer.want, Want::kRefuse);
  EXPECT_EQ(answer.error().sqlstate, "28P01");
}

TEST(ClientLogin, NobodyProvesAPasswordThatIsNotThere) {
  LoginPolicy empty = policy();
  empty.find = [](std::string_view name) -> std::optional<Credential> {
    auto user = std::make_shared<config::User>();
    user->name = name;
    return Credential{
        {user},
        std::make_shared<auth::ScramKeys>(auth::derive_scram_keys(user->password, "0123456789abcdef", 16)),
        nullptr};
  };
  ClientLogin login(empty);
  feed(login, startup());
  auth::ScramClient client("clientnonce");
  std::string message;
  wire::sasl_initial_response(message, client.bind("", false), client.client_first());
  const auto first = feed(login, message);
  ASSERT_EQ(first.want, Want::kMore);
  const auto challenge = client.on_server_first(std::string_view(first.out).substr(9));
  ASSERT_TRUE(static_cast<bool>(challenge));
  std::string final;
  wire::sasl_response(final,
                      client.client_final(auth::derive_scram_keys(Secret(), challenge->salt, challenge->iterations)));
  EXPECT_EQ(feed(login, final).want, Want::kRefuse);
}

}  // namespace
}  // namespace dbproxy::session::postgres
