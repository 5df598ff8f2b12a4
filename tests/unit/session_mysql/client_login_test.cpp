#include "proxy/session/mysql/client_login.hpp"

#include <gtest/gtest.h>

#include "proxy/auth/mysql.hpp"

namespace dbproxy::session::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;
namespace flags = dbproxy::wire::mysql::client;
using Want = ClientLogin::Want;
using namespace std::string_view_literals;

const Secret kPassword("pencil");

LoginPolicy policy() {
  LoginPolicy made;
  made.server.server_version = "8.0.15";
  made.server.capabilities = ~0u;
  made.connection_id = 77;
  made.tls_available = true;
  made.random = [](std::span<std::uint8_t> out) {
    static std::uint8_t next = 1;
    for (auto& byte : out) byte = next++;
  };
  made.find = [](std::string_view name) -> std::optional<Credential> {
    if (name != "alice" && name != "native") return std::nullopt;
    config::User user;
    user.name = name;
    user.password = kPassword;
    user.client_password_auth_type = name == "native" ? config::PasswordAuthType::kMysqlNativePassword
                                                      : config::PasswordAuthType::kMysqlCachingSha2Password;
    return Credential{std::make_shared<const config::User>(user)};
  };
  return made;
}

struct Exchange {
  explicit Exchange(LoginPolicy made = policy()) : login(std::move(made)) {
    login.begin(out);
    EXPECT_TRUE(wire::read_greeting(payload(), greeting));
    next = 1;
  }
  Want send(std::string_view payload_to_send) {
    std::string bytes;
    next = static_cast<std::uint8_t>(wire::packet(bytes, next, payload_to_send) + 1);
    return raw(bytes);
  }
  Want raw(std::string_view bytes) {
    out.clear();
    std::size_t consumed = 0;
    return login.feed(bytes, consumed, out);
  }
  std::string_view payload() const { return std::string_view(out).substr(std::min(out.size(), wire::kHeaderSize)); }
  std::uint16_t code() const {
    wire::Error error;
    EXPECT_TRUE(wire::read_error(payload(), error));
    return error.code;
  }
  ClientLogin login;
  std::string out;
  wire::Greeting greeting;
  std::uint8_t next = 0;
};

std::string response(std::string_view user, std::string_view plugin, std::string_view proof, std::uint32_t extra = 0,
                     std::uint8_t collation = 45) {
  wire::HandshakeResponse made;
  made.capabilities = flags::kProtocol41 | flags::kSecureConnection | flags::kPluginAuth | flags::kLenencAuthData |
                      flags::kConnectWithDb | flags::kDeprecateEof | flags::kConnectAttributes | extra;
  made.collation = collation;
  made.user = user;
  made.schema = "shop";
  made.auth_plugin = plugin;
  made.auth_response = proof;
  const std::string attributes = wire::write_attributes({{"program_name", "test"}});
  made.attributes = attributes;
  std::string out;
  wire::handshake_response(out, 1, made);
  return out.substr(wire::kHeaderSize);
}

TEST(MysqlClientLogin, ThePasswordItselfIsTakenWhereNobodyElseCanReadIt) {
  Exchange plain;
  EXPECT_EQ(plain.send(response("alice", "mysql_clear_password", "pencil\0"sv)), Want::kMore);  // another plugin
  LoginPolicy local = policy();
  local.unix_socket = true;
  for (const auto& [proof, want] :
       {std::pair{"pencil\0"sv, Want::kAuthenticated}, std::pair{"pencil"sv, Want::kAuthenticated},
        std::pair{"pen\0"sv, Want::kRefuse}, std::pair{""sv, Want::kRefuse}}) {
    Exchange exchange(local);
    EXPECT_EQ(exchange.send(response("alice", "mysql_clear_password", proof)), want) << proof;
  }
  Exchange nobody(local);
  EXPECT_EQ(nobody.send(response("bob", "mysql_clear_password", "pencil\0"sv)), Want::kRefuse);
}

TEST(MysqlClientLogin, CachingSha2TakesItsFastPath) {
  Exchange exchange;
  EXPECT_EQ(exchange.greeting.connection_id, 77u);
  EXPECT_EQ(exchange.greeting.auth_plugin, "caching_sha2_password");
  EXPECT_TRUE(exchange.greeting.capabilities & flags::kCompress);
  EXPECT_TRUE(exchange.greeting.capabilities & flags::kZstd);
  EXPECT_EQ(
      exchange.send(response("alice", "caching_sha2_password",
                             *auth::mysql_sha2_response(kPassword, exchange.greeting.nonce), flags::kOptionalMetadata)),
      Want::kAuthenticated);
  EXPECT_EQ(exchange.out, "\x02\0\0\x02\x01\x03"sv);
  exchange.out.clear();
  exchange.login.finish(exchange.out);
  EXPECT_EQ(exchange.out, "\x07\0\0\x03\0\0\0\x02\0\0\0"sv);
  EXPECT_EQ(exchange.login.result(), LoginResult::kSuccess);
  EXPECT_EQ(exchange.login.method(), "caching_sha2_password");
  EXPECT_EQ(exchange.login.schema(), "shop");
  EXPECT_EQ(exchange.login.attributes().at(0).second, "test");
  EXPECT_FALSE(exchange.login.capabilities() & flags::kOptionalMetadata);
  EXPECT_FALSE(exchange.login.compression());
}

TEST(MysqlClientLogin, CompressionIsAgreedOn) {
  for (const auto& [asked, level, agreed] :
       {std::tuple{flags::kCompress, 0, true}, std::tuple{flags::kZstd, 1, true}, std::tuple{flags::kZstd, 22, true},
        std::tuple{flags::kZstd, 0, false}, std::tuple{flags::kZstd, 23, false}}) {
    Exchange exchange;
    const std::string proof = *auth::mysql_sha2_response(kPassword, exchange.greeting.nonce);
    wire::HandshakeResponse made;
    made.capabilities = flags::kProtocol41 | flags::kPluginAuth | flags::kLenencAuthData | asked;
    made.user = "alice";
    made.auth_plugin = "caching_sha2_password";
    made.auth_response = proof;
    made.zstd_level = static_cast<std::uint8_t>(level);
    std::string packet;
    wire::handshake_response(packet, 1, made);
    EXPECT_EQ(exchange.raw(packet), agreed ? Want::kAuthenticated : Want::kRefuse) << asked << ' ' << level;
    if (agreed) EXPECT_TRUE(exchange.login.compression()) << asked;
  }
}

TEST(MysqlClientLogin, ItMayStillBeRefusedWhenItIsKnown) {
  Exchange exchange;
  exchange.send(
      response("alice", "caching_sha2_password", *auth::mysql_sha2_response(kPassword, exchange.greeting.nonce)));
  exchange.out.clear();
  exchange.login.finish(exchange.out, 1049, "42000", "Unknown database 'shop'");
  EXPECT_EQ(exchange.code(), 1049);
  EXPECT_EQ(exchange.out[3], 3);
}

TEST(MysqlClientLogin, AnotherPluginIsAskedForWithANonceOfItsOwn) {
  Exchange exchange;
  EXPECT_EQ(exchange.send(response("native", "caching_sha2_password", std::string(32, 'x'))), Want::kMore);
  wire::AuthSwitch request;
  ASSERT_TRUE(wire::read_auth_switch(exchange.payload(), request));
  EXPECT_EQ(request.plugin, "mysql_native_password");
  EXPECT_NE(request.data, exchange.greeting.nonce);
  const std::string proof = *auth::mysql_native_response(kPassword, request.data);
  EXPECT_EQ(exchange.send(proof), Want::kAuthenticated);
  EXPECT_TRUE(exchange.out.empty());
  exchange.login.finish(exchange.out);
  EXPECT_EQ(exchange.out[3], 4);
}

TEST(MysqlClientLogin, WhoDoesNotHaveTheGreetingsPluginWaitsToBeAsked) {
  Exchange exchange;
  EXPECT_EQ(exchange.send(response("native", "mysql_native_password", "")), Want::kMore);
  wire::AuthSwitch request;
  ASSERT_TRUE(wire::read_auth_switch(exchange.payload(), request));
  EXPECT_EQ(request.plugin, "mysql_native_password");
  EXPECT_EQ(exchange.send(*auth::mysql_native_response(kPassword, request.data)), Want::kAuthenticated);
  Exchange empty;
  empty.send(response("native", "mysql_native_password", ""));
  EXPECT_EQ(empty.send(""), Want::kRefuse);
  EXPECT_NE(empty.login.refusal().find("using password: NO"), std::string::npos);
}

TEST(MysqlClientLogin, WrongPasswordsAndUnknownUsersAreTheSame) {
  std::string refusals[2];
  for (const auto& [user, index] : {std::pair("alice", 0), std::pair("malice", 1)}) {
    Exchange exchange;
    EXPECT_EQ(exchange.send(response(user, "caching_sha2_password", std::string(32, 'x'))), Want::kRefuse);
    EXPECT_EQ(exchange.code(), 1045);
    refusals[index] = exchange.login.refusal();
    EXPECT_EQ(exchange.login.result(), index == 0 ? LoginResult::kWrongPassword : LoginResult::kUnknownUser);
  }
  EXPECT_EQ(refusals[1].replace(refusals[1].find("malice"), 6, "alice"), refusals[0]);
  // An empty proof is none.
  for (const auto proof : {""sv, "\0"sv}) {
    Exchange exchange;
    EXPECT_EQ(exchange.send(response("alice", "caching_sha2_password", proof)), Want::kRefuse);
    EXPECT_NE(exchange.login.refusal().find("using password: NO"), std::string::npos);
  }
  // What was right for the greeting's nonce is not right for another.
  Exchange replayed;
  replayed.send(response("native", "caching_sha2_password", ""));
  EXPECT_EQ(replayed.send(*auth::mysql_native_response(kPassword, replayed.greeting.nonce)), Want::kRefuse);
}

TEST(MysqlClientLogin, ThePodsOwnClientsNeedNoPassword) {
  LoginPolicy trusting = policy();
  trusting.unix_socket = true;
  trusting.pod_identity = PodIdentity::kTrusted;
  Exchange without(trusting);
  EXPECT_EQ(without.send(response("alice", "caching_sha2_password", "")), Want::kAuthenticated);
  EXPECT_EQ(without.out, "");
  Exchange with(trusting);  // its proof is answered, or it would wait
  EXPECT_EQ(with.send(response("alice", "caching_sha2_password", "whatever it is")), Want::kAuthenticated);
  EXPECT_EQ(with.out, "\x02\0\0\x02\x01\x03"sv);
  Exchange other(trusting);
  EXPECT_EQ(other.send(response("bob", "mysql_native_password", "")), Want::kRefuse);
  EXPECT_EQ(other.code(), 1045);
  EXPECT_EQ(other.login.result(), LoginResult::kPodIdentity);
}

TEST(MysqlClientLogin, NobodyElsewhereIsAskedForAPassword) {
  LoginPolicy elsewhere = policy();
  elsewhere.pod_identity = PodIdentity::kElsewhere;
  Exchange exchange(elsewhere);
  const auto proof = *auth::mysql_sha2_response(kPassword, exchange.greeting.nonce);
  EXPECT_EQ(exchange.send(response("alice", "caching_sha2_password", proof)), Want::kRefuse);
  EXPECT_EQ(exchange.code(), 1045);
}

LoginPolicy iam_policy(config::IamAuth mode) {
  LoginPolicy made = policy();
  made.unix_socket = true;
  made.find = [mode](std::string_view name) -> std::optional<Credential> {
    config::User user;
    user.name = name;
    user.password = kPassword;
    user.iam_auth = mode;
    return Credential{std::make_shared<const config::User>(user)};
  };
  return made;
}

TEST(MysqlClientLogin, TokensAreForSomebodyElseToLookAt) {
  Exchange exchange(iam_policy(config::IamAuth::kRequired));
  EXPECT_EQ(exchange.send(response("alice", "caching_sha2_password", "x")), Want::kMore);  // another plugin
  EXPECT_EQ(exchange.send("host/?X-Amz-Signature=00\0"sv), Want::kVerify);
  EXPECT_EQ(exchange.login.token().reveal(), "host/?X-Amz-Signature=00");
  EXPECT_EQ(exchange.raw("whatever"), Want::kMore);
  std::string out;
  EXPECT_EQ(exchange.login.verified("", out), Want::kAuthenticated);
  EXPECT_TRUE(exchange.login.token().empty());

  Exchange refused(iam_policy(config::IamAuth::kEnabled));
  EXPECT_EQ(refused.send(response("alice", "mysql_clear_password", "host/?X-Amz-Signature=00\0"sv)), Want::kVerify);
  EXPECT_EQ(refused.login.verified("it has expired", refused.out), Want::kRefuse);
  EXPECT_EQ(refused.login.result(), LoginResult::kIamToken);
  EXPECT_NE(refused.login.refusal().find("it has expired"), std::string::npos);
}

TEST(MysqlClientLogin, ThePasswordFromBeforeARotationIsTaken) {
  for (const bool grace : {true, false}) {
    for (const auto type :
         {config::PasswordAuthType::kMysqlCachingSha2Password, config::PasswordAuthType::kMysqlNativePassword}) {
      LoginPolicy made = policy();
      made.unix_socket = true;
      made.find = [=](std::string_view) {
        config::User user;
        user.password = Secret("new");
        user.previous_password = kPassword;
        user.client_password_auth_type = type;
        return std::optional(Credential{std::make_shared<const config::User>(user), grace});
      };
      const auto result = grace ? LoginResult::kSuccessPrevious : LoginResult::kWrongPassword;
      Exchange exchange(made);
      const bool native = type == config::PasswordAuthType::kMysqlNativePassword;
      if (native) {
        exchange.send(response("alice", "caching_sha2_password", "x"));
        const auto nonce = exchange.out.substr(exchange.out.size() - 21, 20);
        exchange.send(*auth::mysql_native_response(kPassword, nonce));
      } else {
        exchange.send(
            response("alice", "caching_sha2_password", *auth::mysql_sha2_response(kPassword, exchange.greeting.nonce)));
      }
      EXPECT_EQ(exchange.login.result(), result) << native;
      Exchange clear(made);
      clear.send(response("alice", "mysql_clear_password", "pencil\0"sv));
      EXPECT_EQ(clear.login.result(), result);
      Exchange current(made);
      current.send(response("alice", "mysql_clear_password", "new\0"sv));
      EXPECT_EQ(current.login.result(), LoginResult::kSuccess);
    }
  }
}

TEST(MysqlClientLogin, APasswordIsTakenWhereIamIsEnabledOnly) {
  Exchange enabled(iam_policy(config::IamAuth::kEnabled));
  EXPECT_EQ(enabled.send(response("alice", "mysql_clear_password", "pencil\0"sv)), Want::kAuthenticated);
  Exchange wrong(iam_policy(config::IamAuth::kEnabled));
  EXPECT_EQ(wrong.send(response("alice", "mysql_clear_password", "pen\0"sv)), Want::kRefuse);
  Exchange required(iam_policy(config::IamAuth::kRequired));
  EXPECT_EQ(required.send(response("alice", "mysql_clear_password", "pencil\0"sv)), Want::kRefuse);
  EXPECT_EQ(required.login.result(), LoginResult::kIamToken);
  LoginPolicy plain = iam_policy(config::IamAuth::kEnabled);
  plain.unix_socket = false;
  Exchange readable(plain);
  EXPECT_EQ(readable.send(response("alice", "mysql_clear_password", "pencil\0"sv)), Want::kRefuse);
  EXPECT_EQ(readable.code(), 3159);
}

TEST(MysqlClientLogin, Tls) {
  LoginPolicy made = policy();
  made.require_tls = true;
  Exchange plain(made);
  EXPECT_EQ(plain.send(response("alice", "caching_sha2_password", "")), Want::kRefuse);
  EXPECT_EQ(plain.code(), wire::error::kSecureTransportRequired);
  made.unix_socket = true;
  Exchange local(made);
  EXPECT_EQ(local.send(response("alice", "caching_sha2_password",
                                *auth::mysql_sha2_response(kPassword, local.greeting.nonce))),
            Want::kAuthenticated);
  made.unix_socket = false;

  wire::HandshakeResponse head;
  head.capabilities = flags::kProtocol41 | flags::kSsl;
  std::string request;
  wire::ssl_request(request, 1, head);
  Exchange tls(made);
  EXPECT_EQ(tls.raw(request), Want::kStartTls);
  EXPECT_EQ(tls.login.tls_established(), Want::kMore);
  tls.next = 2;
  EXPECT_EQ(
      tls.send(response("alice", "caching_sha2_password", *auth::mysql_sha2_response(kPassword, tls.greeting.nonce))),
      Want::kAuthenticated);
  EXPECT_TRUE(tls.login.tls());

  Exchange early(made);
  EXPECT_EQ(early.raw(request + "x"), Want::kRefuse);
  made.tls_available = made.require_tls = false;
  Exchange without(made);
  EXPECT_FALSE(without.greeting.capabilities & flags::kSsl);
  EXPECT_EQ(without.raw(request), Want::kRefuse);
}

TEST(MysqlClientLogin, Refusals) {
  LoginPolicy full = policy();
  full.too_many_clients = true;
  Exchange many(full);
  EXPECT_EQ(many.send(response("alice", "caching_sha2_password", "")), Want::kRefuse);
  EXPECT_EQ(many.code(), 1040);
  Exchange wide;
  EXPECT_EQ(wide.send(response("alice", "caching_sha2_password", "", 0, 35)), Want::kRefuse);
  EXPECT_EQ(wide.code(), 1231);
  Exchange garbage;
  EXPECT_EQ(garbage.send("GET / HTTP/1.1"), Want::kRefuse);
  EXPECT_EQ(garbage.login.result(), LoginResult::kProtocol);
  Exchange order;
  order.next = 3;
  EXPECT_EQ(order.send(response("alice", "caching_sha2_password", "")), Want::kRefuse);
  Exchange huge;
  EXPECT_EQ(huge.raw("\xff\xff\xff\x01"), Want::kRefuse);
}

TEST(MysqlClientLogin, ChangeOfUserIsProvedAfresh) {
  Exchange exchange;
  exchange.send(
      response("alice", "caching_sha2_password", *auth::mysql_sha2_response(kPassword, exchange.greeting.nonce)));
  exchange.login.finish(exchange.out);
  exchange.out.clear();
  ClientLogin again(policy());
  EXPECT_EQ(again.change_user("\x11native\0\0billing\0\x2d\0mysql_native_password\0"sv, exchange.login.capabilities(),
                              false, {}, exchange.out),
            Want::kMore);
  EXPECT_EQ(exchange.out[3], 1);
  wire::AuthSwitch request;
  ASSERT_TRUE(wire::read_auth_switch(exchange.payload(), request));
  std::string proof, out;
  wire::packet(proof, 2, *auth::mysql_native_response(kPassword, request.data));
  std::size_t consumed = 0;
  EXPECT_EQ(again.feed(proof, consumed, out), Want::kAuthenticated);
  EXPECT_EQ(again.user(), "native");
  EXPECT_EQ(again.schema(), "billing");
  EXPECT_EQ(again.sequence(), 3);
}

TEST(MysqlClientLogin, TheDefaultBeforeAnOldMariaDbIsItsOwn) {
  LoginPolicy made = policy();
  made.server.server_version = "5.5.5-10.11.4-MariaDB";
  Exchange chosen(made);
  EXPECT_EQ(chosen.greeting.auth_plugin, "mysql_native_password");
  EXPECT_EQ(chosen.send(response("alice", "mysql_native_password", "x")), Want::kMore);  // asked for the other one
  made.find = [](std::string_view) {
    config::User user;
    user.password = kPassword;
    user.auth_type_chosen = false;
    user.client_password_auth_type = config::PasswordAuthType::kMysqlCachingSha2Password;
    return std::optional(Credential{std::make_shared<const config::User>(user)});
  };
  Exchange defaulted(made);
  const auto proof = *auth::mysql_native_response(kPassword, defaulted.greeting.nonce);
  EXPECT_EQ(defaulted.send(response("alice", "mysql_native_password", proof)), Want::kAuthenticated);
  made.server.server_version = "8.0.15";
  EXPECT_EQ(Exchange(made).greeting.auth_plugin, "caching_sha2_password");
}

}  // namespace
}  // namespace dbproxy::session::mysql
