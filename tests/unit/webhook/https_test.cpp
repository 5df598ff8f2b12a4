#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "operator/webhook/base64.hpp"
#include "operator/webhook/https_server.hpp"

namespace dbproxy::webhook {
namespace {

using testing::HasSubstr;

// A TLS client on loopback that trusts nobody in particular: what is tested is the other side.
class TlsClient {
 public:
  explicit TlsClient(std::uint16_t port, bool tls = true) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    if (!tls) return;
    context_.reset(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), fd_);
    shaken_ = SSL_connect(ssl_.get()) == 1;
  }
  ~TlsClient() { ::close(fd_); }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  bool shaken() const { return shaken_; }
  void send(std::string_view text) { SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())); }
  void send_plain(std::string_view text) { [[maybe_unused]] auto n = ::send(fd_, text.data(), text.size(), 0); }
  std::string common_name() const {
    const std::unique_ptr<X509, decltype(&X509_free)> shown(SSL_get1_peer_certificate(ssl_.get()), X509_free);
    char name[64] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name, sizeof(name));
    return name;
  }
  // All until `end` has come, or the server has closed.
  std::string read(std::string_view end) {
    std::string out;
    char chunk[4096];
    while (out.find(end) == std::string::npos) {
      const int size =
          ssl_ ? SSL_read(ssl_.get(), chunk, sizeof(chunk)) : static_cast<int>(::recv(fd_, chunk, sizeof(chunk), 0));
      if (size <= 0) break;
      out.append(chunk, static_cast<std::size_t>(size));
    }
    return out;
  }

 private:
  int fd_ = -1;
  bool shaken_ = false;
  std::shared_ptr<SSL_CTX> context_;
  net::SslHandle ssl_;
};

pki::Identity identity(const char* name) {
  const SystemClock clock;
  const auto authority = pki::make_authority("test", 1, clock);
  return pki::issue(authority.value(), {.common_name = name, .dns_names = {"localhost"}}, clock).value();
}

class Https : public testing::Test {
 protected:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);  // as the operator does
    HttpsOptions options;
    options.listen = {"127.0.0.1", 0};
    options.max_body_bytes = 1000;
    options.timeout = std::chrono::seconds(2);
    server_ = std::make_unique<HttpsServer>(options, [](const http::Request& request) {
      if (request.path == "/throw") throw std::runtime_error("no");
      http::Response response;
      response.body = request.method + " " + request.path + " " + request.body + "\n";
      return response;
    });
    ASSERT_EQ(server_->start(), "");
  }
  std::unique_ptr<HttpsServer> server_;
};

TEST_F(Https, AnswersRequestAfterRequestOnOneConnection) {
  ASSERT_EQ(server_->set_identity(identity("first")), "");
  TlsClient client(server_->port());
  for (int i = 0; i < 3; ++i) {
    client.send("POST /inject?timeout=10s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
    client.send("llo");
    EXPECT_THAT(client.read("hello\n"), HasSubstr("200 OK"));
  }
  client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string both = client.read("never");
  EXPECT_THAT(both, HasSubstr("GET /a"));
  EXPECT_THAT(both, HasSubstr("GET /b"));
}

TEST_F(Https, ShowsTheNewestCertificate) {
  ASSERT_EQ(server_->set_identity(identity("first")), "");
  TlsClient before(server_->port());
  EXPECT_EQ(before.common_name(), "first");
  ASSERT_EQ(server_->set_identity(identity("second")), "");
  EXPECT_EQ(TlsClient(server_->port()).common_name(), "second");
  before.send("GET /still HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(before.read("/still"), HasSubstr("200"));
  EXPECT_NE(server_->set_identity({"nothing", Secret("nothing")}), "");
}

TEST_F(Https, HasNoPatienceForGarbage) {
  EXPECT_FALSE(TlsClient(server_->port()).shaken()) << "there is no certificate yet";
  ASSERT_EQ(server_->set_identity(identity("first")), "");
  TlsClient plain(server_->port(), false);
  plain.send_plain("GET / HTTP/1.1\r\n\r\n");
  plain.read("never");  // ends
  for (const std::string& text :
       {std::string("nonsense\r\n\r\n"), "POST / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'x'),
        "GET / HTTP/1.1\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n"}) {
    TlsClient client(server_->port());
    client.send(text);
    EXPECT_EQ(client.read("never"), "");
  }
  TlsClient client(server_->port());
  client.send("GET /throw HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.read("error\n"), HasSubstr("500"));
}

TEST_F(Https, StopsWhileConnectionsAreOpen) {
  ASSERT_EQ(server_->set_identity(identity("first")), "");
  TlsClient idle(server_->port());
  ASSERT_TRUE(idle.shaken());
  server_->stop();
  EXPECT_EQ(idle.read("never"), "");
}

TEST(Base64, GoesBothWays) {
  for (const char* text : {"a", "ab", "abc", "abcd"}) EXPECT_EQ(decode_base64(encode_base64(text)), text);
  EXPECT_EQ(encode_base64("abcd"), "YWJjZA==");
  for (const char* bad : {"", "abc", "ab!=", "a==="}) EXPECT_FALSE(decode_base64(bad) && *bad != 'a') << bad;
}

}  // namespace
}  // namespace dbproxy::webhook
