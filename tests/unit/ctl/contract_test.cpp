// Both ends of the JSON: what operator and sidecar print is what dbproxyctl looks for. A field that one side renames
// turns up as <none> here.
#include <gmock/gmock.h>
#include <sstream>

#include "operator/admin/json.hpp"
#include "operator/ctl/commands.hpp"
#include "proxy/admin/json.hpp"

namespace dbproxy::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string print(const std::string& command, const std::map<std::string, std::string>& pages,
                  const std::string& name = {}, Output output = Output::kWide) {
  Options options;
  options.command = command;
  options.name = name;
  options.output = output;
  options.servers = {{"the server", {"127.0.0.1", 1}, {}}};
  std::ostringstream out, err;
  const Transport transport = [&](const Server&, const http::ClientRequest& what) {
    http::ClientResponse answer;
    const auto page = pages.find(what.path.substr(std::string("/api/v1/").size()));
    answer.response.status = page == pages.end() ? 404 : 200;
    if (page != pages.end()) answer.response.body = page->second;
    return answer;
  };
  EXPECT_EQ(run(options, transport, out, err), kOk) << err.str();
  return out.str() + err.str();
}

std::map<std::string, std::string> operator_pages() {
  operator_admin::OperatorView view;
  operator_admin::ProxyRow proxy;
  proxy.name_space = "shop";
  proxy.name = "orders";
  proxy.engine = "POSTGRESQL";
  proxy.version = 3;
  proxy.conditions = {{"Programmed", "False", "Rejected", "a sidecar refused it"}};
  proxy.endpoints = {{"default", "127.0.0.1", 5432, "READ_WRITE"}};
  proxy.errors = {"orders.yaml:3: wrong"};
  proxy.sidecars = {4, 3, 1};
  proxy.targets = 2;
  proxy.targets_available = 1;
  proxy.writer = "orders-1";
  proxy.connections = 12;
  proxy.connections_limit = 90;
  view.proxies = {proxy};
  view.targets.resize(1);
  view.targets[0] = {
      "shop/orders", "orders-1", "db", "READ_ONLY", "UNAVAILABLE", "AUTH_FAILURE", 5432, 100, 90, 7, 8, 9, 0, 0.5};
  view.sidecars = {
      {"shop/pod-1", "shop/orders", "10.0.0.1:9", "0.1.0", true, 2, false, "port in use", 90, 1, 2, 3, 4, 5}};
  view.pins = {{"shop/orders", {"LISTEN", "TEMP_TABLE"}, "LISTEN ?", 7, 3, 90}};
  view.diagnostics = {{"orders.yaml", 7, 0, "DBProxy shop/orders", "spec.port", "is wrong", false}};
  return {{"dbproxies", proxies_json(view)},
          {"targets", targets_json(view)},
          {"sidecars", sidecars_json(view)},
          {"pins", pins_json(view)},
          {"diagnostics", diagnostics_json(view)}};
}

std::map<std::string, std::string> sidecar_pages() {
  worker::ProxyRow proxy;
  proxy.proxy = "shop/orders";
  proxy.version = 3;
  proxy.draining = true;
  proxy.endpoints = {{"default", 5432, config::TargetRole::kReadWrite, false}};
  proxy.clients = 9;
  worker::TargetRow target;
  target.proxy = "shop/orders";
  target.id = "orders-1";
  target.host = "db";
  target.role = "READ_WRITE";
  target.health = "UNAVAILABLE";
  target.reason = "UNREACHABLE";
  worker::PoolRow pool;
  pool.proxy = "shop/orders";
  pool.target = "orders-1";
  pool.role = "READ_WRITE";
  pool.user = "app";
  pool.database = "db";
  worker::PinRow pin;
  pin.proxy = "shop/orders";
  pin.endpoint = "default";
  pin.client = "127.0.0.1:5";
  pin.user = "app";
  pin.database = "db";
  pin.target = "orders-1";
  pin.application_name = "psql";
  pin.reasons = {"LISTEN", "TEMP_TABLE"};
  pin.statement_digest = "LISTEN ?";
  const admin::SidecarState state{"shop/pod-1", true, true};
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->tags = {{"team", "shop"}};
  return {{"dbproxies", admin::proxies_json({proxy}, {target}, {{"shop/orders", snapshot}}, state)},
          {"targets", admin::targets_json({target})},
          {"pools", admin::pools_json({pool})},
          {"pins", admin::pins_json({pin})},
          {"sidecars", admin::sidecars_json({proxy}, state)}};
}

TEST(Contract, OperatorPagesFillEveryColumn) {
  const auto pages = operator_pages();
  for (const char* command : {"get", "targets", "sidecars", "pins"}) {
    EXPECT_THAT(print(command, pages), Not(HasSubstr("<none>"))) << command;
  }
  EXPECT_THAT(print("get", pages), HasSubstr("orders.yaml:7: DBProxy shop/orders: spec.port: is wrong"));
  EXPECT_THAT(print("describe", pages, "orders"), Not(HasSubstr("<none>")));
}

TEST(Contract, SidecarPagesFillEveryColumn) {
  const auto pages = sidecar_pages();
  for (const char* command : {"get", "targets", "pools", "pins"}) {
    EXPECT_THAT(print(command, pages), Not(HasSubstr("<none>"))) << command;
  }
  EXPECT_THAT(print("get", pages), HasSubstr("Draining"));
  EXPECT_THAT(print("pins", pages), HasSubstr("LISTEN,TEMP_TABLE"));
  EXPECT_THAT(print("pins", pages, {}, Output::kTable), HasSubstr("LISTEN ?"));
  const std::string described = print("describe", pages, "orders");
  EXPECT_THAT(described, Not(HasSubstr("<none>")));
  EXPECT_THAT(described, HasSubstr("Tags:         team=shop"));
}

}  // namespace
}  // namespace dbproxy::ctl
