#include <boost/json.hpp>
#include <gmock/gmock.h>

#include "operator/admin/admin.hpp"
#include "operator/admin/json.hpp"
#include "proxy/http/client.hpp"
#include "tests/unit/metrics/promtool.hpp"

namespace dbproxy::operator_admin {
namespace {

class OperatorAdmin : public testing::Test {
 protected:
  void start(std::function<bool(std::string_view)> authorize = {}) {
    AdminOptions options;
    options.http.listen.port = 0;
    options.authorize = std::move(authorize);
    admin = std::make_unique<Admin>(
        options, [this] { return view; }, registry);
    ASSERT_EQ(admin->start(), "");
  }
  http::Response get(const std::string& path, const std::string& token = {}) {
    http::ClientRequest what;
    what.path = path;
    what.bearer_token = token;
    const http::ClientResponse answer = http::request({"127.0.0.1", admin->port()}, what);
    EXPECT_EQ(answer.error, "");
    return answer.response;
  }

  metrics::Registry registry;
  OperatorView view;
  std::unique_ptr<Admin> admin;
};

TEST_F(OperatorAdmin, ProbesAndMetrics) {
  registry.counter("dbproxy_operator_manifest_errors_total", "Errors in manifests.").add(2);
  start();
  EXPECT_EQ(get("/healthz").status, 200U);
  EXPECT_EQ(get("/readyz").status, 503U);
  view.ready = true;
  EXPECT_EQ(get("/readyz").status, 200U);
  const std::string page = get("/metrics").body;
  EXPECT_THAT(page, testing::HasSubstr("dbproxy_operator_manifest_errors_total 2"));
  EXPECT_THAT(page, testing::HasSubstr("dbproxy_build_info"));
  if (metrics::have_promtool()) {
    EXPECT_EQ(metrics::promtool_complaints(page), "");
  }
}

TEST_F(OperatorAdmin, ShowsTheViewAsJson) {
  ProxyRow proxy;
  proxy.name_space = "shop";
  proxy.name = "orders";
  proxy.engine = "POSTGRESQL";
  proxy.version = 3;
  proxy.conditions = {{"Accepted", "False", "Invalid", "fix it"}};
  proxy.endpoints = {{"default", "127.0.0.1", 5432, "READ_WRITE"}};
  proxy.errors = {"orders.yaml:3: wrong"};
  proxy.sidecars = {4, 3, 1};
  proxy.targets = 2;
  proxy.targets_available = 1;
  proxy.writer = "orders-1";
  proxy.connections = 12;
  proxy.connections_limit = 90;
  proxy.connections_granted = 40;
  proxy.connections_in_use = 5;
  proxy.pinned = 2;
  proxy.clients = 70;
  proxy.clients_waiting = 1;
  view.proxies = {proxy};
  TargetRow target;
  target.id = "orders-1";
  target.max_connections = 100;
  view.targets = {target};
  SidecarRow sidecar;
  sidecar.identity = "shop/pod-1";
  sidecar.error = "port 5432 is in use";
  view.sidecars = {sidecar};
  DiagnosticRow diagnostic;
  diagnostic.file = "orders.yaml";
  diagnostic.line = 3;
  view.diagnostics = {diagnostic};
  start();
  const auto page = boost::json::parse(get("/api/v1/dbproxies").body);
  EXPECT_EQ(page.at("source").as_string(), "operator");
  const auto& row = page.at("items").at(0);
  EXPECT_EQ(boost::json::serialize(row),
            R"({"namespace":"shop","name":"orders","engine":"POSTGRESQL","ready":false,"paused":false,"version":3,)"
            R"("targets":{"available":1,"total":2,"writer":"orders-1"},)"
            R"("sidecars":{"connected":4,"updated":3,"rejected":1},"connections":{"open":12,"inUse":5,"pinned":2,)"
            R"("limit":90,"granted":40,"exhaustedSeconds":0E0},)"
            R"("clients":{"connected":70,"waiting":1},)"
            R"("conditions":[{"type":"Accepted","status":"False","reason":"Invalid","message":"fix it"}],)"
            R"("endpoints":[{"name":"default","address":"127.0.0.1","port":5432,"targetRole":"READ_WRITE"}],)"
            R"("errors":["orders.yaml:3: wrong"]})");
  EXPECT_EQ(boost::json::parse(get("/api/v1/targets").body).at("items").at(0).at("maxConnections").to_number<int>(),
            100);
  EXPECT_EQ(boost::json::parse(get("/api/v1/sidecars").body).at("items").at(0).at("error").as_string(),
            "port 5432 is in use");
  EXPECT_EQ(boost::json::parse(get("/api/v1/diagnostics").body).at("items").at(0).at("line").to_number<int>(), 3);
}

TEST_F(OperatorAdmin, AnAuthorizerGuardsTheJsonButNotTheProbes) {
  start([](std::string_view token) { return token == "good"; });
  EXPECT_EQ(get("/api/v1/dbproxies").status, 401U);
  EXPECT_EQ(get("/api/v1/dbproxies", "good").status, 200U);
  EXPECT_EQ(get("/metrics").status, 200U);
  EXPECT_EQ(get("/healthz").status, 200U);
}

TEST_F(OperatorAdmin, ThePageIsEmptyWithoutATokenAndMayBeOff) {
  view.notice = "does not lead";
  start([](std::string_view token) { return token == "good"; });
  EXPECT_EQ(get("/").status, 200U);
  EXPECT_EQ(get("/events").status, 401U);
  const std::string news = get("/events", "good").body;
  const auto told = boost::json::parse(news.substr(news.find('{')));
  EXPECT_EQ(told.at("notice").as_string(), "does not lead");
  EXPECT_TRUE(told.at("events").at("items").is_array());

  AdminOptions off;
  off.http.listen.port = 0;
  off.live_page = false;
  admin = std::make_unique<Admin>(
      off, [this] { return view; }, registry);
  ASSERT_EQ(admin->start(), "");
  EXPECT_EQ(get("/").status, 404U);
  EXPECT_EQ(get("/events").status, 200U);
}

TEST_F(OperatorAdmin, OfACrowdThePageIsToldWhatWantsToBeLookedAt) {
  for (int i = 0; i < 2000; ++i) {
    SidecarRow row;
    row.identity = "shop/pod-" + std::to_string(i);
    row.updated = i != 1234;
    row.clients_waiting = i == 777 ? 3 : 0;
    if (i == 1999) row.error = "port 5432 is in use";
    view.sidecars.push_back(row);
  }
  start();
  const std::string news = get("/events").body;
  EXPECT_LT(news.size(), 40'000U);
  const auto sidecars = boost::json::parse(news.substr(news.find('{'))).at("sidecars");
  EXPECT_EQ(sidecars.at("total").to_number<int>(), 2000);
  ASSERT_EQ(sidecars.at("items").as_array().size(), kShownSidecars);
  EXPECT_EQ(sidecars.at("items").at(0).at("identity").as_string(), "shop/pod-1999");
  EXPECT_EQ(sidecars.at("items").at(1).at("identity").as_string(), "shop/pod-1234");
  EXPECT_EQ(sidecars.at("items").at(2).at("identity").as_string(), "shop/pod-777");
  EXPECT_EQ(boost::json::parse(get("/api/v1/sidecars").body).at("items").as_array().size(), 2000U);
}

TEST_F(OperatorAdmin, AViewThatThrowsIsAnErrorAndNoCrash) {
  AdminOptions options;
  options.http.listen.port = 0;
  admin = std::make_unique<Admin>(
      options, []() -> OperatorView { throw std::runtime_error("view"); }, registry);
  ASSERT_EQ(admin->start(), "");
  EXPECT_EQ(get("/api/v1/targets").status, 500U);
  EXPECT_EQ(get("/healthz").status, 200U);
}

}  // namespace
}  // namespace dbproxy::operator_admin
