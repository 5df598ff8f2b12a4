#include <atomic>
#include <boost/json.hpp>
#include <gmock/gmock.h>

#include "proxy/admin/admin.hpp"
#include "proxy/http/client.hpp"
#include "tests/unit/metrics/promtool.hpp"

namespace dbproxy::admin {
namespace {

using testing::HasSubstr;
using testing::Not;

class SidecarAdmin : public testing::Test {
 protected:
  void SetUp() override {
    Source source;
    source.proxies = [this] { return proxies; };
    source.targets = [this] { return targets; };
    source.pools = [this] { return pools; };
    source.pins = [this] { return pins; };
    source.configured = [this] { return configured.load(); };
    source.listening = [this] { return configured.load(); };
    source.draining = [this] { return drain_timeout.count() >= 0; };
    source.drained = [] { return false; };
    source.drain = [this](std::chrono::milliseconds timeout) { drain_timeout = timeout; };
    AdminOptions options;
    options.identity = "shop/pod-1";
    admin = std::make_unique<Admin>(options, source, registry);
    ASSERT_EQ(admin->start(), "");
  }
  http::Response call(const std::string& path, const std::string& method = "GET") {
    http::ClientRequest what;
    what.method = method;
    what.path = path;
    const http::ClientResponse answer = http::request({"127.0.0.1", admin->port()}, what);
    EXPECT_EQ(answer.error, "");
    return answer.response;
  }
  boost::json::value items(const std::string& path) {
    const http::Response answer = call(path);
    EXPECT_EQ(answer.content_type, "application/json");
    const boost::json::value page = boost::json::parse(answer.body);
    EXPECT_EQ(page.at("source").as_string(), "sidecar");
    return page.at("items");
  }

  metrics::Registry registry;
  std::vector<worker::ProxyRow> proxies;
  std::vector<worker::TargetRow> targets;
  std::vector<worker::PoolRow> pools;
  std::vector<worker::PinRow> pins;
  std::atomic<bool> configured{false};
  std::chrono::milliseconds drain_timeout{-1};
  std::unique_ptr<Admin> admin;
};

config::SnapshotPtr snapshot(std::map<std::string, std::string> tags) {
  auto out = std::make_shared<config::Snapshot>();
  out->name_space = "shop";
  out->name = "orders";
  out->tags = std::move(tags);
  return out;
}

TEST_F(SidecarAdmin, ProbesFollowTheConfigurationAndHealthDoesNot) {
  EXPECT_EQ(call("/healthz").status, 200U);
  EXPECT_EQ(call("/readyz").status, 503U);
  EXPECT_EQ(call("/startupz").status, 503U);
  configured = true;
  EXPECT_EQ(call("/readyz").status, 200U);
  EXPECT_EQ(call("/startupz").status, 200U);
  EXPECT_EQ(call("/drain", "POST").status, 202U);
  EXPECT_EQ(call("/healthz").status, 200U);
  EXPECT_EQ(call("/readyz").status, 200U);
}

TEST_F(SidecarAdmin, DrainTakesATimeoutWithinReason) {
  EXPECT_EQ(call("/drain").status, 405U);
  EXPECT_EQ(drain_timeout.count(), -1);
  for (const char* wrong : {"-1", "x", "1s", "86401", "99999999999999999999"}) {
    EXPECT_EQ(call(std::string("/drain?timeout=") + wrong, "POST").status, 400U) << wrong;
  }
  EXPECT_EQ(drain_timeout.count(), -1);
  call("/drain?timeout=7", "POST");
  EXPECT_EQ(drain_timeout.count(), 7000);
  call("/drain", "POST");
  EXPECT_EQ(drain_timeout.count(), 25'000);
}

TEST_F(SidecarAdmin, MetricsHaveTagsAndPleasePromtool) {
  registry.counter("dbproxy_a_total", "A.").add();
  std::map<std::string, std::string> tags{{"team", "shop \"x\""}, {"cost-center", "1"}, {"cost.center", "2"}};
  for (int i = 0; i < 50; ++i) tags["z" + std::to_string(i)] = "v";
  admin->put(snapshot(tags));
  const http::Response answer = call("/metrics");
  EXPECT_EQ(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(answer.body, HasSubstr("dbproxy_a_total 1"));
  EXPECT_THAT(answer.body,
              HasSubstr("dbproxy_proxy_info{proxy=\"shop/orders\",engine=\"POSTGRESQL\",tag_cost_center=\"1\""));
  EXPECT_THAT(answer.body, HasSubstr("tag_team=\"shop \\\"x\\\"\""));
  EXPECT_THAT(answer.body, Not(HasSubstr("tag_z9=")));
  EXPECT_THAT(answer.body, HasSubstr("dbproxy_build_info{"));
  EXPECT_THAT(answer.body, HasSubstr("process_resident_memory_bytes "));
  if (metrics::have_promtool()) {
    EXPECT_EQ(metrics::promtool_complaints(answer.body), "");
  }
  admin->remove("shop/orders");
  EXPECT_THAT(call("/metrics").body, Not(HasSubstr("dbproxy_proxy_info")));
}

TEST_F(SidecarAdmin, PgBouncersNamesAreThereForDashboardsThatExist) {
  registry.counter("dbproxy_queries_total", "Queries.", {{"proxy", "shop/orders"}}).add(7);
  pools.resize(2);
  for (auto& row : pools) {
    row.database = "shop";
    row.user = "app";
    row.clients_active = 2;
    row.servers_active = row.servers_pinned = 1;
  }
  pools[1].longest_wait_seconds = 1.5;
  targets.resize(1);
  targets[0].proxy = "shop/orders";
  targets[0].id = "orders-1";
  targets[0].host = "db";
  targets[0].port = 5432;
  targets[0].limit = 20;
  const std::string page = call("/metrics?format=pgbouncer").body;
  for (const char* line :
       {"pgbouncer_up 1\n", "pgbouncer_pools_client_active_connections{database=\"shop\",user=\"app\"} 4\n",
        "pgbouncer_pools_server_active_connections{database=\"shop\",user=\"app\"} 4\n",
        "pgbouncer_pools_client_maxwait_seconds{database=\"shop\",user=\"app\"} 1.5\n",
        "pgbouncer_stats_queries_pooled_total{database=\"shop/orders\"} 7\n",
        "pgbouncer_databases_max_connections{name=\"shop/orders\",host=\"db\",port=\"5432\",database=\"orders-1\"} "
        "20\n"}) {
    EXPECT_THAT(page, HasSubstr(line));
  }
  EXPECT_THAT(page, Not(HasSubstr("dbproxy_")));
  if (metrics::have_promtool()) {
    EXPECT_EQ(metrics::promtool_complaints(page), "");
  }
  EXPECT_EQ(call("/metrics?format=influx").status, 400U);
}

TEST_F(SidecarAdmin, ThePageIsToldTheNews) {
  targets.resize(1);
  targets[0].id = "a\nb";
  const http::Response page = call("/");
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  EXPECT_THAT(page.body, HasSubstr("new EventSource(\"events\")"));
  EXPECT_EQ(page.body.find("http://"), page.body.find("http://www.w3.org")) << "nothing is loaded from elsewhere";
  const http::Response news = call("/events");
  EXPECT_EQ(news.content_type, "text/event-stream");
  ASSERT_THAT(news.body, testing::StartsWith("retry: 2000\ndata: {"));
  ASSERT_THAT(news.body, testing::EndsWith("}\n\n"));
  const auto told = boost::json::parse(news.body.substr(news.body.find('{')));
  EXPECT_EQ(told.at("targets").at("items").at(0).at("id").as_string(), "a\nb");
  for (const char* name : {"dbproxies", "pools", "pins", "sidecars"}) EXPECT_TRUE(told.at(name).at("items").is_array());
}

TEST_F(SidecarAdmin, LatencyIsToldByBuckets) {
  metrics::Histogram& query = registry.histogram("dbproxy_query_seconds", "Q.", {{"proxy", "shop/orders"}});
  query.observe(std::chrono::microseconds(60));
  query.observe(std::chrono::microseconds(90));
  query.observe(std::chrono::seconds(1000));
  registry.histogram("dbproxy_borrow_seconds", "B.", {{"proxy", "shop/orders"}}).observe(Duration{});
  const auto page = boost::json::parse(call("/api/v1/latency").body);
  const auto& row = page.at("items").at(0);
  EXPECT_EQ(row.at("proxy").as_string(), "shop/orders");
  ASSERT_EQ(row.at("query").as_array().size(), page.at("bounds").as_array().size() + 1);
  EXPECT_EQ(row.at("query").at(0).to_number<int>(), 0);
  EXPECT_EQ(row.at("query").at(1).to_number<int>(), 2);
  EXPECT_EQ(row.at("query").at(metrics::Histogram::kBuckets).to_number<int>(), 1);
  EXPECT_EQ(row.at("borrow").at(0).to_number<int>(), 1);
  EXPECT_NEAR(page.at("bounds").at(0).to_number<double>(), 50e-6, 1e-12);
}

TEST_F(SidecarAdmin, RowsComeAsJson) {
  configured = true;
  worker::ProxyRow row;
  row.proxy = "shop/orders";
  row.version = 4;
  row.endpoints = {{"default", 5432, config::TargetRole::kReadWrite, false}};
  row.clients = 9;
  row.servers = 3;
  proxies = {row};
  worker::TargetRow target;
  target.proxy = "shop/orders";
  target.id = "orders-1";
  target.role = "READ_WRITE";
  target.health = "AVAILABLE";
  target.limit = 90;
  targets = {target};
  targets.push_back(target);
  targets.back().proxy = "shop/other";
  admin->put(snapshot({{"team", "shop"}}));

  const auto proxy = items("/api/v1/dbproxies").at(0);
  EXPECT_EQ(proxy.at("namespace").as_string(), "shop");
  EXPECT_EQ(proxy.at("name").as_string(), "orders");
  EXPECT_EQ(proxy.at("engine").as_string(), "POSTGRESQL");
  EXPECT_TRUE(proxy.at("ready").as_bool());
  EXPECT_EQ(proxy.at("targets").at("total").to_number<int>(), 1);
  EXPECT_EQ(proxy.at("targets").at("writer").as_string(), "orders-1");
  EXPECT_EQ(proxy.at("connections").at("limit").to_number<int>(), 90);
  EXPECT_EQ(proxy.at("endpoints").at(0).at("port").to_number<int>(), 5432);
  EXPECT_EQ(proxy.at("tags").at("team").as_string(), "shop");
  EXPECT_EQ(items("/api/v1/targets").as_array().size(), 2U);
  EXPECT_EQ(items("/api/v1/sidecars").at(0).at("identity").as_string(), "shop/pod-1");
}

TEST_F(SidecarAdmin, WhatClientsSentIsMadeValidAndListsAreBounded) {
  worker::PinRow pin;
  pin.user = "u\xff\xc0\x80\xed\xa0\x80\xc3\xa9";
  pin.reasons = {"SET"};
  pins.assign(6000, pin);
  const boost::json::value page = boost::json::parse(call("/api/v1/pins").body);
  EXPECT_TRUE(page.at("truncated").as_bool());
  EXPECT_EQ(page.at("items").as_array().size(), 5000U);
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(page.at("items").at(0).at("user").as_string(), "u" + bad + bad + bad + bad + bad + bad + "\xc3\xa9");
  EXPECT_EQ(items("/api/v1/pools").as_array().size(), 0U);
}

}  // namespace
}  // namespace dbproxy::admin
