#include "operator/kubernetes/client.hpp"

#include <fstream>
#include <gtest/gtest.h>
#include <thread>

#include "tests/unit/kubernetes/scripted_server.hpp"

namespace dbproxy::kubernetes {
namespace {

using Kind = Failure::Kind;
using std::chrono::milliseconds;

Request get(milliseconds timeout = milliseconds(5000)) {
  Request request;
  request.target = "/api";
  request.timeout = timeout;
  return request;
}

TEST(Client, KeepsAConnectionAndReplacesAClosedOne) {
  ScriptedServer server([](const Asked& asked, ScriptedServer::Peer& peer) {
    peer.answer(200, "{}");
    if (asked.has("last")) peer.close();
  });
  Client client(server.config());
  EXPECT_TRUE(client.send(get()).has_value());
  EXPECT_TRUE(client.send(get()).has_value());
  EXPECT_EQ(server.connections(), 1);
  Request last = get();
  last.target = "/last";
  EXPECT_TRUE(client.send(last).has_value());
  EXPECT_TRUE(client.send(get()).has_value());
  EXPECT_EQ(server.connections(), 2);
}

TEST(Client, SendsBodyTokenAndTypes) {
  ScriptedServer server([](const Asked&, ScriptedServer::Peer& peer) { peer.answer(201, R"({"a":1})"); });
  Config config = server.config();
  config.base_path = "/behind";
  config.token_file = "/tmp/dbproxy-token-" + std::to_string(::getpid());
  std::ofstream(config.token_file) << "first\n";
  Client client(config);
  Request request;
  request.method = "PATCH";
  request.target = "/x";
  request.body = "{}";
  request.content_type = "application/apply-patch+yaml";
  const auto answer = client.send_json(request);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(integer_at(*answer, {"a"}), 1);
  std::ofstream(config.token_file) << "second";
  EXPECT_TRUE(client.send(request).has_value());
  const auto asked = server.asked();
  EXPECT_EQ(asked[0].method, "PATCH");
  EXPECT_EQ(asked[0].target, "/behind/x");
  EXPECT_EQ(asked[0].header("Authorization"), "Bearer first");
  EXPECT_EQ(asked[0].header("Content-Type"), "application/apply-patch+yaml");
  EXPECT_EQ(asked[1].header("Authorization"), "Bearer second");
  ::unlink(config.token_file.c_str());
  EXPECT_EQ(client.send(request).error().kind, Kind::kConfig);
}

TEST(Client, HonoursRetryAfterWithinItsTime) {
  std::atomic<int> count{0};
  ScriptedServer server([&](const Asked&, ScriptedServer::Peer& peer) {
    if (++count == 1) {
      peer.answer(429, "slow down", "Retry-After: 1\r\n");
    } else if (count == 2) {
      peer.answer(200, "{}");
    } else {
      peer.answer(429, "slow down", "Retry-After: 30\r\n");
    }
  });
  Client client(server.config());
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(client.send(get()).has_value());
  EXPECT_GE(std::chrono::steady_clock::now() - began, milliseconds(1000));
  const auto later = client.send(get());
  ASSERT_TRUE(later.has_error());
  EXPECT_TRUE(later.error().status(429));
  EXPECT_EQ(later.error().retry_after, milliseconds(30'000));
}

TEST(Client, TellsFailuresApart) {
  std::atomic<int> count{0};
  ScriptedServer server([&](const Asked& asked, ScriptedServer::Peer& peer) {
    if (asked.has("silent")) peer.hold();
    if (asked.has("garbage")) peer.raw("SSH-2.0-x\r\n\r\n");
    if (asked.has("cut")) peer.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    if (asked.has("cut") || asked.has("garbage")) peer.close();
    if (asked.has("large")) peer.answer(200, std::string(5000, 'x'));
    if (asked.has("header")) peer.answer(200, "", "X: " + std::string(200'000, 'x') + "\r\n");
    if (asked.has("text")) peer.answer(200, "[]");
    if (asked.has("missing")) peer.answer(404, R"({"kind":"Status","reason":"NotFound","code":404})");
  });
  Client client(server.config());
  const auto kind_of = [&](const std::string& target) {
    Request request = get(milliseconds(target == "/silent" ? 100 : 5000));
    request.target = target;
    request.max_body = 1000;
    return client.send_json(request).error().kind;
  };
  EXPECT_EQ(kind_of("/silent"), Kind::kTimeout);
  EXPECT_EQ(kind_of("/garbage"), Kind::kMalformed);
  EXPECT_EQ(kind_of("/cut"), Kind::kTransport);
  EXPECT_EQ(kind_of("/large"), Kind::kTooLarge);
  EXPECT_EQ(kind_of("/header"), Kind::kMalformed);
  EXPECT_EQ(kind_of("/text"), Kind::kMalformed);
  EXPECT_EQ(kind_of("/missing"), Kind::kStatus);
  Config nowhere = server.config();
  nowhere.port = 1;
  EXPECT_EQ(Client(nowhere).send(get()).error().kind, Kind::kTransport);
}

TEST(Client, CanBeCancelled) {
  ScriptedServer server([](const Asked&, ScriptedServer::Peer& peer) { peer.hold(); });
  Client client(server.config());
  Canceller canceller;
  std::thread other([&] {
    eventually([&] { return !server.asked().empty(); });
    canceller.cancel();
  });
  EXPECT_EQ(client.send(get(milliseconds(60'000)), &canceller).error().kind, Kind::kCancelled);
  EXPECT_EQ(client.send(get(milliseconds(60'000)), &canceller).error().kind, Kind::kCancelled);
  other.join();
}

TEST(LineStream, GivesLinesHoweverTheyAreCut) {
  ScriptedServer server([](const Asked&, ScriptedServer::Peer& peer) {
    peer.begin_stream();
    peer.chunk("one\ntw");
    peer.chunk("o\n\n");
    peer.chunk(std::string(300'000, 'x') + "\n");
    peer.end_stream();
  });
  Client client(server.config());
  auto stream = client.open(get());
  ASSERT_TRUE(stream.has_value());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  EXPECT_EQ(*stream->next(deadline), "one");
  EXPECT_EQ(*stream->next(deadline), "two");
  EXPECT_EQ((*stream->next(deadline))->size(), 300'000U);
  EXPECT_EQ(*stream->next(deadline), std::nullopt);
}

TEST(LineStream, BoundsALineAndNoticesACut) {
  ScriptedServer server([](const Asked& asked, ScriptedServer::Peer& peer) {
    peer.begin_stream();
    if (asked.has("cut")) {
      peer.line("one");
      peer.close();
      return;
    }
    for (int i = 0; i < 40; ++i) peer.chunk(std::string(512 * 1024, 'x'));
    peer.hold();
  });
  Client client(server.config());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  auto stream = client.open(get());
  ASSERT_TRUE(stream.has_value());
  EXPECT_EQ(stream->next(deadline).error().kind, Kind::kTooLarge);
  Request cut = get();
  cut.target = "/cut";
  auto second = client.open(cut);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(*second->next(deadline), "one");
  EXPECT_EQ(second->next(deadline).error().kind, Kind::kTransport);
}

}  // namespace
}  // namespace dbproxy::kubernetes
