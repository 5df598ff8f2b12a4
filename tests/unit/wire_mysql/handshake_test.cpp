#include "proxy/wire/mysql/handshake.hpp"

#include <gtest/gtest.h>

namespace dbproxy::wire::mysql {
namespace {

using namespace std::string_view_literals;

std::string_view payload(const std::string& packet) {
  return std::string_view(packet).substr(kHeaderSize);
}

TEST(Greeting, IsReadBack) {
  Greeting greeting{"8.0.mysql_aurora.3.05.2", 77, "abcdefghijklmnopqrst", kOfferedFlags, 255, 2,
                    "caching_sha2_password"};
  std::string out;
  wire::mysql::greeting(out, greeting);
  Greeting read;
  ASSERT_TRUE(read_greeting(payload(out), read));
  EXPECT_EQ(read.server_version, greeting.server_version);
  EXPECT_EQ(read.connection_id, 77u);
  EXPECT_EQ(read.nonce, greeting.nonce);
  EXPECT_EQ(read.capabilities, kOfferedFlags);
  EXPECT_EQ(read.collation, 255);
  EXPECT_EQ(read.auth_plugin, "caching_sha2_password");
  EXPECT_FALSE(read.mariadb());
  EXPECT_FALSE(read_greeting("\x09"sv, read));
  EXPECT_FALSE(read_greeting(""sv, read));
}

TEST(Response, IsReadBackWithEveryField) {
  HandshakeResponse response;
  response.capabilities = client::kProtocol41 | client::kSecureConnection | client::kLenencAuthData |
                          client::kConnectWithDb | client::kPluginAuth | client::kConnectAttributes;
  response.user = "app";
  const std::string token(2000, 't');
  response.auth_response = token;
  response.schema = "orders";
  response.auth_plugin = "mysql_clear_password";
  const std::string attributes = write_attributes({{"_client_name", "libmysql"}, {"empty", ""}});
  response.attributes = attributes;
  std::string out;
  EXPECT_EQ(handshake_response(out, 1, response), 2);
  HandshakeResponse read;
  ASSERT_TRUE(read_handshake_response(payload(out), read));
  EXPECT_EQ(read.user, "app");
  EXPECT_EQ(read.auth_response, token);
  EXPECT_EQ(read.schema, "orders");
  EXPECT_EQ(read.auth_plugin, "mysql_clear_password");
  EXPECT_EQ(read_attributes(read.attributes), (Attributes{{"_client_name", "libmysql"}, {"empty", ""}}));
}

TEST(Response, CutAnywhereIsNeverReadBeyondItsEnd) {
  HandshakeResponse response;
  response.capabilities =
      client::kProtocol41 | client::kSecureConnection | client::kConnectWithDb | client::kPluginAuth;
  response.user = "app";
  response.auth_response = "12345678901234567890";
  response.schema = "orders";
  response.auth_plugin = "mysql_native_password";
  std::string out;
  handshake_response(out, 1, response);
  HandshakeResponse read;
  for (std::size_t n = 0; n < 32; ++n) EXPECT_FALSE(read_handshake_response(payload(out).substr(0, n), read)) << n;
  for (std::size_t n = 33; n < 57; ++n) EXPECT_FALSE(read_handshake_response(payload(out).substr(0, n), read)) << n;
  // A last zero byte that is missing is forgiven.
  ASSERT_TRUE(read_handshake_response(payload(out).substr(0, out.size() - kHeaderSize - 1), read));
  EXPECT_EQ(read.auth_plugin, "mysql_native_password");
}

TEST(Response, ThatAsksForTlsHasNoMore) {
  HandshakeResponse response;
  response.capabilities = client::kProtocol41 | client::kSsl;
  std::string out;
  ssl_request(out, 1, response);
  EXPECT_EQ(payload(out).size(), kSslRequestPayload);
  HandshakeResponse read;
  ASSERT_TRUE(read_handshake_response(payload(out), read));
  EXPECT_TRUE(read.capabilities & client::kSsl);
}

TEST(Response, FromBefore41IsRefused) {
  HandshakeResponse read;
  EXPECT_FALSE(read_handshake_response("\x85\x24\0\0\0app\0\0"sv, read));
  EXPECT_FALSE(read_handshake_response(std::string(40, '\0'), read));
}

TEST(ChangeUser, IsRead) {
  ChangeUser read;
  constexpr std::uint32_t kAll = client::kSecureConnection | client::kPluginAuth | client::kConnectAttributes;
  ASSERT_TRUE(
      read_change_user("\x11"
                       "app\0\x03xyzorders\0\x2d\0mysql_native_password\0\x04\x01"
                       "a\x01"
                       "b"sv,
                       kAll, read));
  EXPECT_EQ(read.user, "app");
  EXPECT_EQ(read.auth_response, "xyz");
  EXPECT_EQ(read.schema, "orders");
  EXPECT_EQ(read.collation, 45);
  EXPECT_EQ(read.auth_plugin, "mysql_native_password");
  EXPECT_EQ(read_attributes(read.attributes), (Attributes{{"a", "b"}}));
  ASSERT_TRUE(
      read_change_user("\x11"
                       "app\0\0\0"sv,
                       kAll, read));
  EXPECT_FALSE(
      read_change_user("\x11"
                       "app\0\x20x"sv,
                       kAll, read));
}

TEST(Attributes, AreBounded) {
  std::string many;
  for (int i = 0; i < 600; ++i)
    many +=
        "\x01"
        "a\x01"
        "b";
  EXPECT_FALSE(read_attributes(many));
  EXPECT_FALSE(
      read_attributes("\x05"
                      "a"sv));
  EXPECT_EQ(read_attributes(""), Attributes{});
}

TEST(AuthSwitch, IsReadBack) {
  std::string out;
  EXPECT_EQ(auth_switch(out, 2, "mysql_native_password", "abcdefghijklmnopqrst"), 3);
  AuthSwitch read;
  ASSERT_TRUE(read_auth_switch(payload(out), read));
  EXPECT_EQ(read.plugin, "mysql_native_password");
  EXPECT_EQ(read.data, "abcdefghijklmnopqrst");
  ASSERT_TRUE(read_auth_switch("\xfe"sv, read));
  EXPECT_EQ(read.plugin, "mysql_old_password");
}

}  // namespace
}  // namespace dbproxy::wire::mysql
