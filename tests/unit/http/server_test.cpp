#include "proxy/http/server.hpp"

#include <cstdlib>
#include <gmock/gmock.h>
#include <stdexcept>
#include <sys/stat.h>
#include <thread>

#include "proxy/http/client.hpp"
#include "tests/unit/http/raw_socket.hpp"

namespace dbproxy::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

Response echo(const Request& request) {
  Response response;
  response.body = request.method + " " + request.path + " " + request.query + " " + request.body;
  return response;
}

class ServerTest : public testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    server = std::make_unique<Server>(std::move(options));
    server->route("GET", "/echo", echo);
    server->route("POST", "/echo", echo);
    server->route("GET", "/boom", [](const Request&) -> Response { throw std::runtime_error("boom"); });
    server->route("GET", "/big", [](const Request&) {
      Response response;
      response.body = std::string(1'000'000, 'x');
      return response;
    });
    server->route("POST", "/private", echo, {Access::kPrivate, {}});
    server->route("GET", "/secret", echo, {Access::kPublic, [](std::string_view token) { return token == "t0ken"; }});
    ASSERT_EQ(server->start(), "");
  }
  Response get(const std::string& path, const std::string& token = {}) {
    ClientRequest what;
    what.path = path;
    what.bearer_token = token;
    const ClientResponse answer = request({"127.0.0.1", server->port()}, what);
    EXPECT_EQ(answer.error, "");
    return answer.response;
  }
  std::string raw(const std::string& bytes) {
    RawSocket socket(server->port());
    EXPECT_TRUE(socket.connected());
    socket.send(bytes);
    return socket.receive_all();
  }

  std::unique_ptr<Server> server;
};

TEST_F(ServerTest, RoutesByPathAndMethod) {
  start();
  EXPECT_EQ(get("/echo?a=1&b=2").body, "GET /echo a=1&b=2 ");
  ClientRequest post;
  post.method = "POST";
  post.path = "/echo";
  post.body = "hello";
  EXPECT_EQ(request({"127.0.0.1", server->port()}, post).response.body, "POST /echo  hello");
  EXPECT_EQ(get("/none").status, 404U);
  EXPECT_EQ(get("/echo/").status, 404U);
  const std::string wrong_method = raw("DELETE /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(wrong_method, StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(wrong_method, HasSubstr("Allow: GET, HEAD, POST"));
}

TEST_F(ServerTest, HeadHasLengthAndNoBody) {
  start();
  const std::string answer = raw("HEAD /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 1000000\r\n"));
  EXPECT_LT(answer.size(), 1000U);
}

TEST_F(ServerTest, KeepsTheConnectionAndAnswersPipelinedRequestsInOrder) {
  start();
  const std::string answer =
      raw("GET /echo?1 HTTP/1.1\r\nHost: x\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::size_t first = answer.find("GET /echo 1");
  ASSERT_NE(first, std::string::npos);
  EXPECT_NE(answer.find("GET /echo 2", first), std::string::npos);
}

TEST_F(ServerTest, BigAnswersArriveWhole) {
  start();
  EXPECT_EQ(get("/big").body.size(), 1'000'000U);
}

TEST_F(ServerTest, GarbageIsABadRequest) {
  start();
  EXPECT_THAT(raw("\x16\x03\x01\x02\x00\x01garbage\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(raw("GET /echo HTTP/9.9\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(raw("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(get("/echo").status, 200U);
}

TEST_F(ServerTest, HeaderAndBodyAreBounded) {
  start();
  EXPECT_THAT(raw("GET /echo HTTP/1.1\r\nX: " + std::string(9000, 'a') + "\r\n\r\n"), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(raw("GET /" + std::string(200'000, 'a')), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(raw("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n" + std::string(65537, 'b')),
              StartsWith("HTTP/1.1 413"));
  const std::string fits = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 65536\r\n\r\n";
  EXPECT_THAT(raw(fits + std::string(65536, 'b')), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, AHandlerThatThrowsIsAnInternalError) {
  start();
  EXPECT_EQ(get("/boom").status, 500U);
  EXPECT_EQ(get("/echo").status, 200U);
}

TEST_F(ServerTest, BearerTokenGuardsARoute) {
  start();
  EXPECT_EQ(get("/secret").status, 401U);
  EXPECT_EQ(get("/secret", "wrong").status, 401U);
  EXPECT_EQ(get("/secret", "t0ken").status, 200U);
}

TEST_F(ServerTest, SilentPeersAreDropped) {
  ServerOptions options;
  options.timeout = 100ms;
  start(options);
  RawSocket silent(server->port()), slow(server->port());
  slow.send("GET /echo HT");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(silent.receive(), "");
  EXPECT_EQ(slow.receive_all(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
}

TEST_F(ServerTest, TooManyConnectionsCloseTheOneSilentForLongest) {
  ServerOptions options;
  options.max_connections = 3;
  start(options);
  RawSocket first(server->port()), second(server->port()), third(server->port());
  for (RawSocket* socket : {&first, &second, &third, &first}) {  // the first spoke again, so the second is the oldest
    ASSERT_TRUE(socket->send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"));
    ASSERT_THAT(socket->receive(), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_EQ(get("/echo").status, 200U);
  EXPECT_EQ(second.receive(), "");
  ASSERT_TRUE(first.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(first.receive(), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, PrivateRoutesRefuseWebPages) {
  start();
  const std::string tail = "\r\nConnection: close\r\nContent-Length: 0\r\n";
  EXPECT_THAT(raw("POST /private HTTP/1.1\r\nHost: 127.0.0.1:1" + tail + "\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(raw("POST /private HTTP/1.1\r\nHost: evil.example" + tail + "\r\n"), StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(raw("POST /private HTTP/1.1\r\nHost: localhost" + tail + "Origin: http://evil.example\r\n\r\n"),
              StartsWith("HTTP/1.1 403"));
}

TEST_F(ServerTest, BeyondLoopbackPrivateRoutesAreOnTheUnixSocketOnly) {
  char directory[] = "/tmp/dbproxy-http-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/admin.sock";
  ServerOptions options;
  options.listen.host = "0.0.0.0";
  options.unix_path = path;
  start(options);
  ClientRequest post;
  post.method = "POST";
  post.path = "/private";
  EXPECT_EQ(request({"127.0.0.1", server->port()}, post).response.status, 403U);
  EXPECT_EQ(request({}, post, path).response.status, 200U);
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);

  Server second(options);  // the socket is alive: it is not taken over
  EXPECT_THAT(second.start(), HasSubstr(path));
  EXPECT_EQ(request({}, post, path).response.status, 200U);
  server->stop();
  EXPECT_NE(stat(path.c_str(), &info), 0);
  rmdir(directory);
}

TEST_F(ServerTest, APortInUseIsNamed) {
  start();
  ServerOptions options;
  options.listen.port = server->port();
  Server second(options);
  const std::string error = second.start();
  EXPECT_THAT(error, HasSubstr("127.0.0.1:" + std::to_string(server->port())));
  EXPECT_THAT(error, HasSubstr("in use"));
}

TEST(Client, SaysWhyThereIsNoAnswer) {
  std::uint16_t free_port = 0;
  {
    Server server{ServerOptions{}};
    ASSERT_EQ(server.start(), "");
    free_port = server.port();
  }
  EXPECT_THAT(request({"127.0.0.1", free_port}, {}).error, HasSubstr("refused"));
  EXPECT_NE(request({}, {}, "/nonexistent/socket").error, "");
}

TEST(Client, WaitsNoLongerThanItsTimeout) {
  Server server{ServerOptions{}};
  server.route("GET", "/", [](const Request&) {
    std::this_thread::sleep_for(500ms);
    return Response{};
  });
  ASSERT_EQ(server.start(), "");
  ClientRequest what;
  what.timeout = 100ms;
  EXPECT_EQ(request({"127.0.0.1", server.port()}, what).error, "no answer in time");
}

}  // namespace
}  // namespace dbproxy::http
