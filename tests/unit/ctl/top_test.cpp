#include "operator/ctl/top.hpp"

#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <numeric>
#include <sstream>

#include "operator/ctl/top_view.hpp"

namespace dbproxy::ctl {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr std::chrono::steady_clock::time_point kThen{};

boost::json::value sidecar(int queries, int waiting) {
  return boost::json::parse(R"({
    "dbproxies":{"source":"sidecar","items":[{"namespace":"shop","name":"orders","engine":"POSTGRESQL","ready":true,
      "targets":{"available":2,"total":2,"writer":"orders-1"},"connections":{"open":16,"inUse":12,"pinned":4,"limit":32},
      "clients":{"connected":1000,"active":12,"waiting":)" +
                            std::to_string(waiting) + R"(}}]},
    "pins":{"items":[{"proxy":"shop/orders","user":"app","reasons":["temporary_object"],
      "statementDigest":"CREATE TEMP TABLE \u001b[31mt","pinnedSeconds":5}]},
    "latency":{"bounds":[0.001,0.002,0.004],"items":[{"proxy":"shop/orders","query":[0,)" +
                            std::to_string(queries) + R"(,0,0],"borrow":[1,0,0,0]}]}})");
}

std::string text(const std::vector<std::string>& lines) {
  return std::accumulate(lines.begin(), lines.end(), std::string(),
                         [](std::string all, const std::string& line) { return all + line + "\n"; });
}

TEST(TopView, ShowsASidecarsDBProxyWithItsBudget) {
  TopView view("", "");
  const auto lines = view.frame(sidecar(10, 0), kThen, {});
  EXPECT_TRUE(view.found());
  EXPECT_THAT(lines, Contains("shop/orders  ready  POSTGRESQL  writer orders-1  2 of 2 targets available"));
  EXPECT_THAT(lines, Contains("  connections [########PPPP----                ] 16 of 32, 12 in use, 4 pinned"));
  EXPECT_THAT(lines, Contains("  clients     1000 connected, 12 active, 0 waiting"));
  EXPECT_THAT(text(lines),
              HasSubstr("queries p50 1.50 ms, p99 1.99 ms; waiting for a connection p99 0.99 ms, since the start"));
  EXPECT_THAT(text(lines), HasSubstr("temporary_object   CREATE TEMP TABLE \\x1b[31mt"));
  EXPECT_THAT(text(lines), Not(HasSubstr("\x1b"))) << "what a client sent steers no terminal";
}

TEST(TopView, LatencyIsOfTheLastMinuteAndWaitingIsACurve) {
  TopView view("", "");
  view.frame(sidecar(10, 0), kThen, {});
  view.frame(sidecar(10, 7), kThen + std::chrono::seconds(2), {});
  const auto lines = text(view.frame(sidecar(10, 14), kThen + std::chrono::seconds(4), {}));
  EXPECT_THAT(lines, HasSubstr("queries p50 -, p99 -; waiting for a connection p99 -, in the last 4 s"));
  EXPECT_THAT(lines, HasSubstr("14 waiting  ▁▄█"));
  // Counts that began anew are those of another life.
  EXPECT_THAT(text(view.frame(sidecar(3, 0), kThen + std::chrono::seconds(6), {})), HasSubstr("p50 1.50 ms"));
}

TEST(TopView, AWindowBoundsIt) {
  TopView view("", "");
  TopFormat format;
  format.width = 20;
  format.height = 3;
  format.colour = true;
  const auto lines = view.frame(sidecar(10, 0), kThen, format);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], "\x1b[1mshop/orders  ready  \x1b[0m");
  EXPECT_EQ(lines[2], "… more than fits: a ");
}

TEST(TopView, ShowsAnOperatorsFleetWithWhatIsWrong) {
  TopView view("", "");
  const auto news = boost::json::parse(R"({"notice":"this replica does not lead",
    "dbproxies":{"source":"operator","total":300,"items":[{"namespace":"shop","name":"orders","engine":"POSTGRESQL",
      "ready":false,"targets":{"available":0,"total":1,"writer":""},"connections":{"open":0,"limit":0},
      "clients":{"connected":0,"waiting":0},"sidecars":{"connected":4,"updated":3,"rejected":1},
      "conditions":[{"type":"TargetsAvailable","status":"False","message":"no writer"}]}]},
    "sidecars":{"total":2000,"items":[{"identity":"shop/pod-1","proxy":"shop/orders","error":"port taken"}]},
    "events":{"items":[{"ageSeconds":7200,"about":"DBProxy shop/orders","reason":"TargetUnavailable","message":"m","count":2}]}})");
  const std::string lines = text(view.frame(news, kThen, {}));
  for (const char* part : {"! this replica does not lead\n", "NOT READY", "writer none", "0 of ?, 0 in use",
                           "4 connected, 1 behind, 1 refuse", "! TargetsAvailable: no writer", "DBProxies (1 of 300,",
                           "SIDECARS (1 of 2000,", "TargetUnavailable"}) {
    EXPECT_THAT(lines, HasSubstr(part));
  }
}

TEST(TopView, TakesWhatAnotherVersionSends) {
  for (const char* odd : {"7", "{}", R"({"dbproxies":[]})", R"({"dbproxies":{"items":[1,{"connections":"x"}]}})",
                          R"({"latency":{"items":[{"query":["x",-5]}],"bounds":["y"]},"sidecars":{"total":-1}})"}) {
    TopView view("", "");
    EXPECT_FALSE(view.frame(boost::json::parse(odd), kThen, {}).empty()) << odd;
  }
}

class Top : public testing::Test {
 protected:
  int go() {
    options.command = "top";
    EXPECT_EQ(choose_servers({}, "top", options.servers), "");
    TopOptions how;
    how.once = true;
    const Transport transport = [this](const Server&, const http::ClientRequest& what) {
      EXPECT_EQ(what.path, "/events");
      http::ClientResponse answer;
      answer.response.status = status;
      answer.response.body = body;
      return answer;
    };
    return top(options, how, transport, out, err);
  }
  Options options;
  unsigned status = 200;
  std::string body = "retry: 2000\ndata: " + boost::json::serialize(sidecar(1, 0)) + "\n\n";
  std::ostringstream out, err;
};

TEST_F(Top, OncePrintsOneFrame) {
  EXPECT_EQ(go(), kOk);
  EXPECT_THAT(out.str(), testing::StartsWith("shop/orders  ready"));
}

TEST_F(Top, ANameThatIsNotThereIsAnError) {
  options.name = "other";
  EXPECT_EQ(go(), kRefused);
  EXPECT_EQ(err.str(), "error: there is no DBProxy other\n");
}

TEST_F(Top, ScriptsGetTheDocument) {
  options.output = Output::kJson;
  EXPECT_EQ(go(), kOk);
  EXPECT_EQ(boost::json::parse(out.str()), sidecar(1, 0));
}

TEST_F(Top, WhatIsNoAnswerIsNamed) {
  status = 401;
  EXPECT_EQ(go(), kRefused);
  EXPECT_THAT(err.str(), HasSubstr("--token-file"));
  status = 404;
  EXPECT_EQ(go(), kRefused);
  EXPECT_THAT(err.str(), HasSubstr("older version"));
  status = 200;
  body = "data: {";
  EXPECT_EQ(go(), kUnreachable);
  body = "<html>";
  EXPECT_EQ(go(), kUnreachable);
}

}  // namespace
}  // namespace dbproxy::ctl
