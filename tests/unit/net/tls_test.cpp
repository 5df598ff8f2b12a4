// TLS between two Streams on a socket pair: what a server must show to be believed, in libpq's four modes.
#include "proxy/net/tls.hpp"

#include <csignal>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "proxy/net/stream.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::net {
namespace {

using config::ServerTls;
using config::TlsMode;

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() { std::signal(SIGPIPE, SIG_IGN); }  // as the programs do
  static pki::Authority authority(const std::string& name) {
    SystemClock clock;
    auto made = pki::make_authority(name, 1, clock);
    return made ? *made : pki::Authority{};
  }
  static SslContext server(const pki::Authority& by, std::vector<std::string> names,
                           std::vector<std::string> addresses = {}) {
    SystemClock clock;
    pki::LeafRequest leaf{.common_name = "db", .dns_names = std::move(names), .addresses = std::move(addresses)};
    auto identity = pki::issue(by, leaf, clock);
    std::string error;
    auto context = identity ? make_server_context(identity->certificate_pem, identity->key_pem, error) : nullptr;
    EXPECT_TRUE(context) << error;
    return context;
  }
  static SslContext client(TlsMode mode, const std::string& ca) {
    std::string error;
    ServerTls settings;
    settings.mode = mode;
    settings.ca_pem = ca;
    auto context = make_client_context(settings, error);
    EXPECT_TRUE(context) << error;
    return context;
  }

  // "" when both sides agree, else what the client says is wrong.
  std::string shake_hands(const SslContext& server_context, const SslContext& client_context, TlsMode mode,
                          const std::string& host) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    here = Stream(ends[0]);
    there = Stream(ends[1]);
    here.start_tls(new_client_side(client_context, here.fd(), mode, host));
    there.start_tls(new_server_side(server_context, there.fd()));
    Io mine, theirs;
    for (int i = 0; i < 20 && !(mine.status == IoStatus::kOk && theirs.status == IoStatus::kOk); ++i) {
      if (mine.status != IoStatus::kOk) mine = here.handshake();
      if (mine.status == IoStatus::kError || mine.status == IoStatus::kClosed) return tls_failure(here.ssl());
      if (theirs.status != IoStatus::kOk) theirs = there.handshake();
    }
    return mine.status == IoStatus::kOk && theirs.status == IoStatus::kOk ? "" : "the handshake did not end";
  }

  static inline const pki::Authority ours = authority("ours");
  static inline const pki::Authority another = authority("another");
  Stream here, there;
};

TEST_F(TlsTest, VerifyFullTakesOnlyTheNameThatWasAskedFor) {
  auto context = server(ours, {"db.example.com", "*.cluster.example.com"}, {"192.0.2.7", "2001:db8::7"});
  auto verify = client(TlsMode::kVerifyFull, ours.certificate_pem);
  for (auto host : {"db.example.com", "DB.example.com", "one.cluster.example.com", "192.0.2.7", "2001:db8::7"}) {
    EXPECT_EQ(shake_hands(context, verify, TlsMode::kVerifyFull, host), "") << host;
  }
  for (auto host : {"other.example.com", "example.com", "a.b.cluster.example.com", "cluster.example.com"}) {
    EXPECT_EQ(shake_hands(context, verify, TlsMode::kVerifyFull, host),
              "certificate verification failed: hostname mismatch")
        << host;
  }
  EXPECT_EQ(shake_hands(context, verify, TlsMode::kVerifyFull, "192.0.2.8"),
            "certificate verification failed: IP address mismatch");
}

TEST_F(TlsTest, AnotherAuthorityIsRefusedUnlessNothingIsVerified) {
  auto context = server(another, {"db.example.com"});
  for (auto mode : {TlsMode::kVerifyFull, TlsMode::kVerifyCa}) {
    auto failure = shake_hands(context, client(mode, ours.certificate_pem), mode, "db.example.com");
    EXPECT_TRUE(failure.starts_with("certificate verification failed: ")) << failure;
  }
  EXPECT_EQ(shake_hands(context, client(TlsMode::kRequire, ""), TlsMode::kRequire, "db.example.com"), "");
}

TEST_F(TlsTest, VerifyCaTakesAnyName) {
  auto context = server(ours, {"db.example.com"});
  EXPECT_EQ(shake_hands(context, client(TlsMode::kVerifyCa, ours.certificate_pem), TlsMode::kVerifyCa, "192.0.2.1"),
            "");
}

TEST_F(TlsTest, AnyAuthorityOfABundleWillDo) {
  auto context = server(another, {"db.example.com"});
  auto bundle = client(TlsMode::kVerifyFull, ours.certificate_pem + another.certificate_pem);
  EXPECT_EQ(shake_hands(context, bundle, TlsMode::kVerifyFull, "db.example.com"), "");
}

TEST_F(TlsTest, ANameIsSentAlongAndAnAddressIsNot) {
  auto context = server(ours, {"db.example.com"});
  auto any = client(TlsMode::kRequire, "");
  ASSERT_EQ(shake_hands(context, any, TlsMode::kRequire, "db.example.com"), "");
  EXPECT_STREQ(SSL_get_servername(there.ssl(), TLSEXT_NAMETYPE_host_name), "db.example.com");
  for (auto host : {"127.0.0.1", "::1", "/run/postgresql"}) {
    ASSERT_EQ(shake_hands(context, any, TlsMode::kRequire, host), "");
    EXPECT_EQ(SSL_get_servername(there.ssl(), TLSEXT_NAMETYPE_host_name), nullptr) << host;
  }
}

TEST_F(TlsTest, NothingOlderThanOnePointTwo) {
  auto context = server(ours, {"db.example.com"});
  auto any = client(TlsMode::kRequire, "");
  SSL_CTX_set_security_level(context.get(), 0);  // so that only our own bound is left
  SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context.get(), TLS1_1_VERSION);
  EXPECT_NE(shake_hands(context, any, TlsMode::kRequire, "db.example.com"), "");
  SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
  EXPECT_EQ(shake_hands(context, any, TlsMode::kRequire, "db.example.com"), "");
}

TEST_F(TlsTest, BytesGoBothWaysAndTheEndIsSeen) {
  auto context = server(ours, {"db.example.com"});
  ASSERT_EQ(shake_hands(context, client(TlsMode::kRequire, ""), TlsMode::kRequire, "db.example.com"), "");
  EXPECT_EQ(here.write(std::string_view("question")).bytes, 8u);
  char buffer[64];
  auto io = there.read(buffer, sizeof buffer);
  ASSERT_EQ(io.status, IoStatus::kOk);
  EXPECT_EQ(std::string_view(buffer, io.bytes), "question");
  EXPECT_EQ(there.read(buffer, sizeof buffer).status, IoStatus::kBlocked);
  here.close();
  EXPECT_EQ(there.read(buffer, sizeof buffer).status, IoStatus::kClosed);
}

TEST_F(TlsTest, WhatCannotBeUsedIsSaidInWords) {
  std::string error;
  ServerTls settings;
  settings.ca_pem = "garbage";
  EXPECT_FALSE(make_client_context(settings, error));
  EXPECT_EQ(error, "tls.caRef holds no PEM certificate");
  EXPECT_FALSE(make_server_context("garbage", Secret("garbage"), error));
  EXPECT_TRUE(error.starts_with("the listener's certificate is not PEM")) << error;
  EXPECT_FALSE(make_server_context(ours.certificate_pem, another.key_pem, error));
  EXPECT_TRUE(error.starts_with("the listener's private key does not belong to its certificate")) << error;
  EXPECT_FALSE(make_server_context(ours.certificate_pem, Secret("garbage"), error));
  EXPECT_EQ(error.find("garbage"), std::string::npos);
}

}  // namespace
}  // namespace dbproxy::net
