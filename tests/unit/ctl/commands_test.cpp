#include "operator/ctl/commands.hpp"

#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <map>
#include <sstream>

namespace dbproxy::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kProxies = R"({"source":"operator","items":[
  {"namespace":"shop","name":"orders","engine":"POSTGRESQL","ready":true,"version":3,
   "targets":{"available":2,"total":2,"writer":"orders-1"},"sidecars":{"connected":4,"updated":3,"rejected":1},
   "connections":{"open":12,"limit":90},"conditions":[{"type":"Accepted","status":"True","reason":"Valid","message":""}],
   "endpoints":[{"name":"default","address":"127.0.0.1","port":5432,"targetRole":"READ_WRITE"}],"errors":["e.yaml:1: bad"]},
  {"namespace":"dev","name":"orders","engine":"POSTGRESQL","ready":false,"version":0,
   "targets":{"available":0,"total":0,"writer":""},"sidecars":{"connected":0,"updated":0,"rejected":0},
   "connections":{"open":0,"limit":0},
   "conditions":[{"type":"ResolvedRefs","status":"False","reason":"SecretNotFound","message":"secret orders-app is missing"}],
   "endpoints":[],"errors":[]}]})";
constexpr const char* kSidecars = R"({"source":"operator","items":[
  {"identity":"shop/pod-1","proxy":"shop/orders","connected":true,"updated":false,"version":2,"clients":10,
   "clientsWaiting":0,"servers":5,"serversInUse":1,"pinned":0,"error":"port 5432 is in use","peer":"10.0.0.1:1",
   "softwareVersion":"0.1.0","connectedSeconds":90.5}]})";
constexpr const char* kTargets = R"({"source":"operator","items":[
  {"proxy":"shop/orders","id":"orders-1","host":"db","port":5432,"role":"READ_WRITE","health":"AVAILABLE","reason":"",
   "maxConnections":100,"limit":90,"servers":12,"lagSeconds":0}]})";

class Commands : public testing::Test {
 protected:
  int go(const std::string& command, const std::string& name = {}) {
    options.command = command;
    options.name = name;
    if (options.servers.empty()) {
      EXPECT_EQ(choose_servers({}, command, options.servers), "");
    }
    out.str("");
    err.str("");
    const Transport transport = [this](const Server& server, const http::ClientRequest& what) {
      asked.push_back(server.what + what.path);
      http::ClientResponse answer;
      if (server.what != alive) {
        answer.error = "Connection refused";
        return answer;
      }
      const auto found = pages.find(what.path);
      answer.response.status = found == pages.end() ? 404 : status;
      answer.response.body = found == pages.end() ? "there is no such page\n" : found->second;
      return answer;
    };
    return run(options, transport, out, err);
  }

  std::string alive = "the operator";
  unsigned status = 200;
  std::map<std::string, std::string> pages{
      {"/api/v1/dbproxies", kProxies}, {"/api/v1/sidecars", kSidecars}, {"/api/v1/targets", kTargets}};
  Options options;
  std::ostringstream out, err;
  std::vector<std::string> asked;
};

TEST_F(Commands, GetPrintsATable) {
  EXPECT_EQ(go("get"), kOk);
  EXPECT_EQ(out.str(),
            "NAMESPACE   NAME     ENGINE       READY   TARGETS   SIDECARS   CONNECTIONS   VERSION\n"
            "shop        orders   POSTGRESQL   True    2/2       3/4        12/90         3\n"
            "dev         orders   POSTGRESQL   False   0/?       0/0        0/?           0\n");
  EXPECT_EQ(err.str(), "\nshop/orders has errors; version 3 stays in force:\n  e.yaml:1: bad\n");
}

TEST_F(Commands, GetShowsTheErrorsOfBrokenFiles) {
  pages["/api/v1/diagnostics"] = R"({"source":"operator","items":[{"file":"orders.yaml","line":7,"column":0,
    "object":"DBProxy shop/orders","field":"spec.port","message":"70000 is not a port; use 1 to 65535","severity":"error"}]})";
  EXPECT_EQ(go("get"), kOk);
  EXPECT_THAT(out.str(), Not(HasSubstr("70000")));
  EXPECT_THAT(err.str(),
              HasSubstr("orders.yaml:7: DBProxy shop/orders: spec.port: 70000 is not a port; use 1 to 65535"));
  options.output = Output::kJson;
  EXPECT_EQ(go("get"), kOk);
  EXPECT_EQ(boost::json::parse(out.str()).at("diagnostics").as_array().size(), 1U);
  EXPECT_EQ(err.str(), "");
}

TEST_F(Commands, WideHasWriterAndReason) {
  options.output = Output::kWide;
  options.headers = false;
  EXPECT_EQ(go("get"), kOk);
  EXPECT_THAT(out.str(), Not(HasSubstr("NAMESPACE")));
  EXPECT_THAT(out.str(), HasSubstr("orders-1"));
  EXPECT_THAT(out.str(), HasSubstr("SecretNotFound"));
}

TEST_F(Commands, NamesSelect) {
  options.output = Output::kJson;
  EXPECT_EQ(go("get", "shop/orders"), kOk);
  EXPECT_EQ(boost::json::parse(out.str()).at("namespace").as_string(), "shop");
  EXPECT_EQ(go("get", "orders"), kOk);
  EXPECT_EQ(boost::json::parse(out.str()).at("items").as_array().size(), 2U);
  options.name_space = "dev";
  EXPECT_EQ(go("get", "orders"), kOk);
  EXPECT_EQ(boost::json::parse(out.str()).at("namespace").as_string(), "dev");
  EXPECT_EQ(go("get", "nothing"), kRefused);
  EXPECT_EQ(out.str(), "");
  EXPECT_EQ(err.str(), "error: there is no DBProxy nothing in namespace dev; there are: shop/orders, dev/orders\n");
}

TEST_F(Commands, AListOfADBProxyMayBeEmptyButTheDBProxyMustExist) {
  EXPECT_EQ(go("targets", "shop/orders"), kOk);
  EXPECT_EQ(go("targets", "dev/orders"), kOk);
  EXPECT_EQ(err.str(), "No targets found.\n");
  EXPECT_EQ(go("targets", "nope"), kRefused);
}

TEST_F(Commands, SidecarsShowRejectionsUnderTheTable) {
  EXPECT_EQ(go("sidecars"), kOk);
  EXPECT_THAT(out.str(), HasSubstr("shop/pod-1   shop/orders   True        False     2"));
  EXPECT_EQ(err.str(), "\nshop/pod-1 rejected shop/orders: port 5432 is in use\n");
}

TEST_F(Commands, DescribeHasSections) {
  EXPECT_EQ(go("describe", "shop/orders"), kOk);
  EXPECT_THAT(out.str(), testing::StartsWith("Name:         orders\nNamespace:    shop\n"));
  for (const char* part :
       {"Sidecars:     4 connected, 3 updated, 1 rejected", "Connections:  12 open, limit 90", "Endpoints:\n  NAME",
        "Targets:\n  ID", "Conditions:\n  TYPE", "Rejections:\n  shop/pod-1: port",
        "Errors (an older version stays in force):\n  e.yaml:1: bad"}) {
    EXPECT_THAT(out.str(), HasSubstr(part));
  }
  EXPECT_EQ(go("describe", "nope"), kRefused);
}

TEST_F(Commands, TriesTheOperatorThenASidecar) {
  alive = "a sidecar";
  pages["/api/v1/dbproxies"] =
      R"({"source":"sidecar","items":[{"namespace":"shop","name":"orders","engine":"POSTGRESQL",
    "ready":true,"version":3,"targets":{"available":1,"total":1},"clients":{"connected":7,"active":1,"waiting":0},
    "connections":{"open":2,"inUse":1,"pinned":0,"limit":90}}]})";
  EXPECT_EQ(go("get"), kOk);
  EXPECT_THAT(out.str(), HasSubstr("CLIENTS"));
  EXPECT_THAT(asked, testing::ElementsAre("the operator/api/v1/dbproxies", "a sidecar/api/v1/dbproxies"));
  EXPECT_EQ(go("describe", "orders"), kOk);
  EXPECT_THAT(out.str(), HasSubstr("Clients:      7 connected, 1 active, 0 waiting"));
  EXPECT_THAT(out.str(), HasSubstr("Pins:"));
}

TEST_F(Commands, PoolsAskASidecarOnlyAndSayWhyAnOperatorCannotAnswer) {
  alive = "a sidecar";
  pages["/api/v1/pools"] = R"({"source":"sidecar","items":[]})";
  EXPECT_EQ(go("pools"), kOk);
  EXPECT_EQ(asked.size(), 1U);
  EXPECT_EQ(err.str(), "No pools found.\n");
  alive = "the operator";
  options.servers.clear();
  Where where;
  where.operator_address = "127.0.0.1:1";
  ASSERT_EQ(choose_servers(where, "pins", options.servers), "");
  EXPECT_EQ(go("pins"), kRefused);
  EXPECT_THAT(err.str(), HasSubstr("--sidecar HOST:PORT"));
}

TEST_F(Commands, NoServerIsSaidWithAddressesAndARemedy) {
  alive = "nobody";
  EXPECT_EQ(go("get"), kUnreachable);
  EXPECT_THAT(err.str(), HasSubstr("error: cannot reach the operator at 127.0.0.1:9932: Connection refused\n"));
  EXPECT_THAT(err.str(), HasSubstr("error: cannot reach a sidecar at 127.0.0.1:9930: Connection refused\n"));
  EXPECT_THAT(err.str(), HasSubstr("--operator HOST:PORT"));
}

TEST_F(Commands, StrangeAnswersAreNamed) {
  pages["/api/v1/dbproxies"] = "<html>";
  EXPECT_EQ(go("get"), kUnreachable);
  EXPECT_THAT(err.str(), HasSubstr("something else"));
  pages["/api/v1/dbproxies"] = R"({"source":"operator"})";
  EXPECT_EQ(go("get"), kOk);
  EXPECT_EQ(err.str(), "No DBProxies found.\n");
  pages["/api/v1/dbproxies"] = R"({"source":"operator","items":[7,{"name":[]}]})";
  EXPECT_EQ(go("get"), kOk);
  status = 401;
  EXPECT_EQ(go("get"), kRefused);
  EXPECT_THAT(err.str(), HasSubstr("--token-file"));
  status = 503;
  EXPECT_EQ(go("get"), kRefused);
  EXPECT_THAT(err.str(), HasSubstr("answered 503"));
}

TEST(ChooseServers, TakesFlagsThenTheEnvironmentThenTheDefaults) {
  std::vector<Server> servers;
  EXPECT_EQ(choose_servers({"h:1", "", "", "e:2"}, "get", servers), "");
  EXPECT_EQ(servers.at(0).address, (http::Address{"h", 1}));
  servers.clear();
  EXPECT_EQ(choose_servers({"", "", "", ":2"}, "get", servers), "");
  EXPECT_EQ(servers.at(0).address, (http::Address{"127.0.0.1", 2}));
  servers.clear();
  EXPECT_EQ(choose_servers({"", "", "/run/s", ""}, "get", servers), "");
  EXPECT_EQ(servers.at(0).unix_path, "/run/s");
  EXPECT_THAT(choose_servers({"h", "", "", ""}, "get", servers), HasSubstr("--operator: 'h' is not HOST:PORT"));
  EXPECT_THAT(choose_servers({"", "", "", "x:0"}, "get", servers), HasSubstr("DBPROXYCTL_SERVER"));
}

}  // namespace
}  // namespace dbproxy::ctl
