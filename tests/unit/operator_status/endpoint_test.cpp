#include "operator/status/endpoint.hpp"

#include <gtest/gtest.h>

namespace dbproxy::operator_status {
namespace {

using kubernetes::text_at;

Facts proxy(bool writable) {
  auto snapshot = std::make_shared<config::Snapshot>();
  config::Target target;
  target.id = "a";
  target.role = config::TargetRole::kReadWrite;
  target.health = writable ? config::TargetHealth::kAvailable : config::TargetHealth::kUnavailable;
  snapshot->targets = {target};
  snapshot->endpoints = {{"default", 5432, config::TargetRole::kReadWrite, false},
                         {"reports", 5433, config::TargetRole::kReadOnly, false}};
  Facts out;
  out.snapshot = snapshot;
  return out;
}

EndpointFacts endpoint(std::optional<Facts> of) {
  EndpointFacts out;
  out.generation = 3;
  out.name_space = "shop";
  out.name = "reports";
  out.proxy = "orders";
  out.of_proxy = std::move(of);
  return out;
}

std::string status_of(const std::vector<Condition>& all, const std::string& type) {
  for (const Condition& each : all) {
    if (each.type == type) return each.status + " " + each.reason;
  }
  return "";
}

TEST(EndpointStatus, IsReadyWhereItsProxyIs) {
  const auto good = conditions(endpoint(proxy(true)));
  EXPECT_EQ(status_of(good, "Accepted"), "True Accepted");
  EXPECT_EQ(status_of(good, "ResolvedRefs"), "True ResolvedRefs");
  EXPECT_EQ(status_of(good, "Ready"), "True Ready");
  const auto status = make_status(endpoint(proxy(true)), nullptr, WallTime{});
  EXPECT_EQ(text_at(status, {"address"}), "127.0.0.1");
  EXPECT_EQ(kubernetes::integer_at(status, {"port"}), 5433);
  EXPECT_EQ(kubernetes::integer_at(status, {"observedGeneration"}), 3);
  EXPECT_EQ(status_of(conditions(endpoint(proxy(false))), "Ready"), "False DBProxyNotReady");
}

TEST(EndpointStatus, OfNoProxyHasNoAddress) {
  const auto lost = conditions(endpoint(std::nullopt));
  EXPECT_EQ(status_of(lost, "ResolvedRefs"), "False Unresolved");
  EXPECT_EQ(status_of(lost, "Ready"), "False NoDBProxy");
  EXPECT_EQ(make_status(endpoint(std::nullopt), nullptr, WallTime{}).if_contains("address"), nullptr);
}

TEST(EndpointStatus, ShowsWhatIsWrongWithItAlone) {
  Facts facts = proxy(true);
  manifest::Diagnostic own;
  own.object = "DBProxyEndpoint shop/reports";
  own.field = "spec.port";
  own.rule = "is taken";
  manifest::Diagnostic other = own;
  other.object = "DBProxyEndpoint shop/other";
  other.rule = "is something else";
  facts.diagnostics = {own, other};
  const auto shown = conditions(endpoint(facts));
  EXPECT_EQ(status_of(shown, "Accepted"), "False Invalid");
  EXPECT_NE(shown[0].message.find("is taken"), std::string::npos);
  EXPECT_EQ(shown[0].message.find("something else"), std::string::npos);
  EXPECT_NE(shown[0].message.find("last good version stays"), std::string::npos);
  EXPECT_EQ(status_of(shown, "Ready"), "True Ready");
}

TEST(EndpointStatus, OneThatIsNotInForceYetSaysSo) {
  EndpointFacts fresh = endpoint(proxy(true));
  fresh.name = "new";
  EXPECT_EQ(status_of(conditions(fresh), "Ready"), "False NotProgrammed");
}

}  // namespace
}  // namespace dbproxy::operator_status
