#include "proxy/backend/mysql_login.hpp"

#include <gtest/gtest.h>

#include "proxy/auth/mysql.hpp"

namespace dbproxy::backend::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;
namespace client = dbproxy::wire::mysql::client;
using namespace std::string_view_literals;

constexpr std::string_view kNonce = "abcdefghijklmnopqrst";
const Secret kPassword("pencil");

LoginOptions options(config::TlsMode tls = config::TlsMode::kDisable) {
  LoginOptions made;
  made.user = "alice";
  made.schema = "shop";
  made.password = kPassword;
  made.tls = tls;
  made.attributes = {{"program_name", "test"}};
  return made;
}

std::string greeting(std::string_view plugin = auth::kMysqlCachingSha2, std::uint32_t flags = ~0u) {
  std::string out;
  wire::greeting(out, {"8.0.15", 42, std::string(kNonce), flags, 45, 2, std::string(plugin)});
  return out;
}
std::string ok(std::uint8_t sequence) {
  std::string out;
  wire::ok(out, sequence, kBaseCapabilities, {});
  return out;
}
std::string more(std::uint8_t sequence, std::string_view data) {
  std::string out;
  wire::auth_more_data(out, sequence, data);
  return out;
}
std::string error(std::uint8_t sequence, std::uint16_t code = 1045) {
  std::string out;
  wire::error_packet(out, sequence, {code, "28000", "no"});
  return out;
}

// One log-in, and what it sent last.
struct Exchange {
  explicit Exchange(LoginOptions made = options()) : login(std::move(made)) { login.start(sent); }
  Want take(std::string_view bytes) {
    sent.clear();
    std::size_t consumed = 0;
    const Want want = login.feed(bytes, consumed, sent);
    left = bytes.size() - consumed;
    return want;
  }
  std::string_view payload() const { return std::string_view(sent).substr(std::min(sent.size(), wire::kHeaderSize)); }
  wire::HandshakeResponse response() const {
    wire::HandshakeResponse read;
    EXPECT_TRUE(wire::read_handshake_response(payload(), read));
    return read;
  }
  Login login;
  std::string sent;
  std::size_t left = 0;
};

TEST(MysqlLogin, FastCachingSha2) {
  Exchange exchange;
  EXPECT_TRUE(exchange.sent.empty());
  EXPECT_EQ(exchange.take(greeting()), Want::kRead);
  const auto response = exchange.response();
  EXPECT_EQ(exchange.sent[3], 1);
  EXPECT_EQ(response.user, "alice");
  EXPECT_EQ(response.schema, "shop");
  EXPECT_EQ(response.auth_plugin, "caching_sha2_password");
  EXPECT_EQ(response.auth_response, *auth::mysql_sha2_response(kPassword, kNonce));
  EXPECT_EQ(wire::read_attributes(response.attributes), (wire::Attributes{{"program_name", "test"}}));
  EXPECT_EQ(exchange.take(more(2, "\x03") + ok(3)), Want::kDone);
  EXPECT_EQ(exchange.login.connection_id(), 42u);
  EXPECT_EQ(exchange.login.status(), wire::status::kAutocommit);
  EXPECT_TRUE(exchange.login.capabilities() & client::kDeprecateEof);
  EXPECT_FALSE(exchange.login.capabilities() & client::kFoundRows);
}

TEST(MysqlLogin, EverySplitOfItsBytesIsTheSame) {
  const std::string all = more(2, "\x03") + ok(3);
  for (std::size_t cut = 0; cut < all.size(); ++cut) {
    Exchange exchange;
    const std::string hello = greeting();
    for (std::size_t i = 0; i < hello.size(); ++i) EXPECT_EQ(exchange.take(hello.substr(0, i)), Want::kRead);
    exchange.take(hello);
    EXPECT_EQ(exchange.take(all.substr(0, cut)), Want::kRead);
    EXPECT_EQ(exchange.take(all.substr(cut - exchange.left)), Want::kDone);
  }
}

TEST(MysqlLogin, AsksForWhatChangesMeaningOnlyWhenTold) {
  LoginOptions made = options();
  made.capabilities = client::kFoundRows | client::kCompress | client::kLocalFiles;
  Exchange exchange(made);
  exchange.take(greeting());
  EXPECT_TRUE(exchange.response().capabilities & client::kFoundRows);
  EXPECT_TRUE(exchange.response().capabilities & client::kLocalFiles);
  EXPECT_FALSE(exchange.response().capabilities & client::kCompress);
  Exchange lesser(made);
  lesser.take(greeting(auth::kMysqlNativePassword, ~client::kFoundRows & ~client::kSsl & ~client::kDeprecateEof));
  EXPECT_FALSE(lesser.response().capabilities & (client::kFoundRows | client::kDeprecateEof));
}

TEST(MysqlLogin, AnotherPluginIsUsedWithItsNonce) {
  Exchange exchange;
  exchange.take(greeting());
  std::string request;
  wire::auth_switch(request, 2, auth::kMysqlNativePassword, "tsrqponmlkjihgfedcba");
  EXPECT_EQ(exchange.take(request), Want::kRead);
  EXPECT_EQ(exchange.payload(), *auth::mysql_native_response(kPassword, "tsrqponmlkjihgfedcba"));
  EXPECT_EQ(exchange.sent[3], 3);
  EXPECT_EQ(exchange.take(ok(4)), Want::kDone);
}

TEST(MysqlLogin, FullCachingSha2OverTls) {
  Exchange exchange(options(config::TlsMode::kRequire));
  EXPECT_EQ(exchange.take(greeting()), Want::kStartTls);
  EXPECT_EQ(exchange.payload().size(), wire::kSslRequestPayload);
  exchange.sent.clear();
  EXPECT_EQ(exchange.login.tls_established(exchange.sent), Want::kRead);
  EXPECT_EQ(exchange.sent[3], 2);
  EXPECT_EQ(exchange.take(more(3, "\x04")), Want::kRead);
  EXPECT_EQ(exchange.payload(), "pencil\0"sv);
  EXPECT_EQ(exchange.take(ok(5)), Want::kDone);
}

TEST(MysqlLogin, WithoutTlsThePasswordIsNeverSentAsItIs) {
  Exchange exchange;
  exchange.take(greeting());
  EXPECT_EQ(exchange.take(more(2, "\x04")), Want::kRead);
  EXPECT_EQ(exchange.payload(), "\x02");
  EXPECT_EQ(exchange.take(more(4, "not a key")), Want::kFailed);
  EXPECT_EQ(exchange.login.failure().kind, FailureKind::kProtocol);

  for (const bool allowed : {false, true}) {
    LoginOptions made = options();
    made.clear_password = allowed;
    Exchange asked(made);
    asked.take(greeting());
    std::string request;
    wire::auth_switch(request, 2, auth::kMysqlClearPassword, "");
    EXPECT_EQ(asked.take(request), Want::kFailed);
    EXPECT_EQ(asked.login.failure().kind, FailureKind::kClearText);
    EXPECT_EQ(asked.sent.find("pencil"), std::string::npos);
  }
}

TEST(MysqlLogin, ClearTextOverTlsWhereItIsAllowed) {
  LoginOptions made = options(config::TlsMode::kRequire);
  for (const bool allowed : {false, true}) {
    made.clear_password = allowed;
    Exchange exchange(made);
    exchange.take(greeting());
    exchange.login.tls_established(exchange.sent);
    std::string request;
    wire::auth_switch(request, 3, auth::kMysqlClearPassword, "");
    EXPECT_EQ(exchange.take(request), allowed ? Want::kRead : Want::kFailed);
    EXPECT_EQ(exchange.payload() == "pencil\0"sv, allowed);
  }
}

TEST(MysqlLogin, TlsIsNotGivenUp) {
  Exchange exchange(options(config::TlsMode::kVerifyFull));
  EXPECT_EQ(exchange.take(greeting(auth::kMysqlNativePassword, ~client::kSsl)), Want::kFailed);
  EXPECT_EQ(exchange.login.failure().kind, FailureKind::kTls);
  Exchange early(options(config::TlsMode::kVerifyFull));
  EXPECT_EQ(early.take(greeting() + ok(2)), Want::kFailed);
  EXPECT_EQ(early.login.failure().kind, FailureKind::kTls);
}

TEST(MysqlLogin, ErrorsAreKept) {
  Exchange wrong;
  wrong.take(greeting());
  EXPECT_EQ(wrong.take(error(2)), Want::kFailed);
  EXPECT_TRUE(wrong.login.failure().is_auth_failure());
  EXPECT_EQ(wrong.login.failure().sqlstate, "28000");
  EXPECT_EQ(wrong.login.failure().raw.substr(0, 3), "\xff\x15\x04");
  // Where no place is left, that is said instead of the greeting, and without an SQLSTATE.
  Exchange full;
  std::string packet;
  wire::packet(packet, 0, "\xff\x10\x04Too many connections");
  EXPECT_EQ(full.take(packet), Want::kFailed);
  EXPECT_EQ(full.login.failure().code, wire::error::kTooManyConnections);
  EXPECT_FALSE(full.login.failure().is_auth_failure());
  EXPECT_EQ(full.login.failure().message, "Too many connections");
}

TEST(MysqlLogin, WhatTheProtocolDoesNotAllow) {
  const auto broken = [](std::string_view after) {
    Exchange exchange;
    exchange.take(greeting());
    return exchange.take(after) == Want::kFailed && exchange.login.failure().kind == FailureKind::kProtocol;
  };
  EXPECT_TRUE(broken("\0\0\0\x02"sv));
  EXPECT_TRUE(broken("\xff\xff\xff\x02"sv));
  EXPECT_TRUE(broken(ok(7)));
  EXPECT_TRUE(broken("\x01\0\0\x02\0"sv));
  EXPECT_TRUE(broken("\x01\0\0\x02\x42"sv));
  EXPECT_TRUE(broken(more(2, "\x07")));
  Exchange old;
  EXPECT_EQ(old.take(greeting("", client::kProtocol41)), Want::kFailed);
  Exchange none;
  EXPECT_EQ(none.take("\x04\0\0\0HTTP"sv), Want::kFailed);
  // Without end.
  Exchange endless;
  endless.take(greeting());
  Want want = Want::kRead;
  for (int i = 0; i < 40 && want == Want::kRead; ++i)
    want = endless.take(more(static_cast<std::uint8_t>(2 + i), "\x03"));
  EXPECT_EQ(want, Want::kFailed);
}

}  // namespace
}  // namespace dbproxy::backend::mysql
