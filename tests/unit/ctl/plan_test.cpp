#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/ctl/plan_connections.hpp"
#include "operator/ctl/plan_ips.hpp"

namespace dbproxy::ctl {
namespace {

using testing::HasSubstr;

std::string ips(const AddressPlan& plan) {
  std::string error;
  const std::string text = plan_ips(plan, error);
  return error.empty() ? text : "error: " + error;
}

TEST(PlanIps, IsThatOfTheUserGuide) {
  EXPECT_THAT(ips({"db.r5.8xlarge", {"db.r5.2xlarge"}, 1}), HasSubstr("needs 63 addresses"));
  EXPECT_THAT(ips({"db.t3.medium", {}, 0}), HasSubstr("needs 10 addresses"));
  EXPECT_THAT(ips({"db.r6g.16xlarge", {"db.r6g.4xlarge", "db.r6g.xlarge"}, 2}), HasSubstr("needs 116 addresses"));
  EXPECT_THAT(ips({"db.r5.24xlarge", {"db.r5.16xlarge", "db.r5.2xlarge"}, 5}), HasSubstr("needs 215 addresses"));
}

TEST(PlanIps, RefusesInWords) {
  EXPECT_THAT(ips({"db.r5.24xlarge", {"db.r5.24xlarge"}, 0}),
              HasSubstr("this needs 220 addresses, and RDS Proxy takes at most 215"));
  EXPECT_THAT(ips({"db.r5.9xlarge", {}, 0}), HasSubstr("write it as in db.r5.8xlarge"));
  EXPECT_THAT(ips({"8xlarge", {}, 0}), HasSubstr("is not an instance class"));
  EXPECT_THAT(ips({"db.serverless", {}, 0}), HasSubstr("largest capacity"));
  EXPECT_THAT(ips({"db.r5.large", {}, 21}), HasSubstr("at most 20"));
}

std::string connections(const Load& load) {
  std::string error;
  const std::string text = plan_connections(load, error);
  return error.empty() ? text : "error: " + error;
}

TEST(PlanConnections, SaysWhatWillHappen) {
  Load load{.pods = 200, .clients_per_pod = 20, .transactions_per_second = 50, .max_connections = 1000, .percent = 90};
  EXPECT_THAT(connections(load),
              testing::AllOf(HasSubstr("4000  (200 pods × 20 clients, more than the database takes)"),
                             HasSubstr("busy on average                   100.0"), HasSubstr("It fits.")));
  load.transaction_milliseconds = 95;
  EXPECT_THAT(connections(load), HasSubstr("More work than connections"));
  EXPECT_THAT(connections(load), HasSubstr("951 connections would carry these"));
  load.transaction_milliseconds = 80;
  EXPECT_THAT(connections(load), HasSubstr("little left"));
  load.pinned_per_pod = 5;
  EXPECT_THAT(connections(load), HasSubstr("Pins alone take more than the limit"));
  EXPECT_THAT(connections({.pods = 300, .max_connections = 100}), HasSubstr("they take turns"));
  EXPECT_THAT(connections({.pods = 0, .max_connections = 100}), HasSubstr("error"));
  EXPECT_THAT(connections({.pods = 1, .max_connections = 100, .percent = 101}), HasSubstr("--percent"));
}

TEST(PlanConnections, KnowsErlang) {
  // Of tables of Erlang's C formula.
  EXPECT_NEAR(chance_to_wait(8, 10), 0.4092, 0.0005);
  EXPECT_NEAR(chance_to_wait(1, 2), 0.3333, 0.0005);
  EXPECT_EQ(chance_to_wait(10, 10), 1);
  EXPECT_EQ(chance_to_wait(0, 10), 0);
  EXPECT_NEAR(chance_to_wait(900, 1000), 0, 0.01);
}

}  // namespace
}  // namespace dbproxy::ctl
