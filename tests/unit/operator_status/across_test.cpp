#include "operator/status/across.hpp"

#include <gtest/gtest.h>

namespace dbproxy::operator_status {
namespace {

Facts facts(const std::string& host, std::uint32_t percent, std::uint16_t port) {
  auto snapshot = std::make_shared<config::Snapshot>();
  config::Target target;
  target.id = "a";
  target.host = host;
  target.port = 5432;
  snapshot->targets = {target};
  snapshot->endpoints = {{"default", port, config::TargetRole::kReadWrite, false}};
  snapshot->pool.max_connections_percent = percent;
  Facts out;
  out.snapshot = snapshot;
  return out;
}

TEST(Across, SharesOfOneDatabaseAreAddedUp) {
  std::map<std::string, Facts> all{{"shop/a", facts("db.example", 60, 1)},
                                   {"shop/b", facts("DB.example", 50, 2)},
                                   {"shop/c", facts("other.example", 100, 3)},
                                   {"shop/d", Facts()}};
  compare(all, {});
  EXPECT_EQ(all["shop/a"].degraded.reason, "Overcommitted");
  EXPECT_NE(all["shop/b"].degraded.message.find("db.example:5432 (shop/a, shop/b) want 110 percent"),
            std::string::npos);
  EXPECT_TRUE(all["shop/c"].degraded.reason.empty());
  const auto shown = conditions(all["shop/a"]);
  EXPECT_EQ(shown.back().type, "Degraded");
  EXPECT_EQ(conditions(all["shop/c"]).back().type, "Ready");
  const auto told = notes(facts("db.example", 60, 1), all["shop/a"]);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].reason, "Overcommitted");
  EXPECT_TRUE(notes(all["shop/a"], all["shop/a"]).empty());
}

TEST(Across, TwoNamesOfOneServerAreOneDatabase) {
  std::map<std::string, Facts> all{{"shop/a", facts("writer.example", 60, 1)}, {"shop/b", facts("DB.example", 50, 2)}};
  compare(all, {}, {{"db.example:5432", "one"}, {"writer.example:5432", "two"}});
  EXPECT_TRUE(all["shop/a"].degraded.reason.empty());
  compare(all, {}, {{"db.example:5432", "one"}, {"writer.example:5432", "one"}});
  EXPECT_EQ(all["shop/a"].degraded.reason, "Overcommitted");
  EXPECT_NE(all["shop/b"].degraded.message.find(
                "db.example:5432, writer.example:5432, which are one server (shop/a, shop/b) want 110 percent"),
            std::string::npos);
}

TEST(Across, OthersThatHaveTooManyConnectionsAreToldOf) {
  std::map<std::string, Facts> all{{"shop/a", facts("db", 60, 1)}};
  all["shop/a"].crowded = true;
  compare(all, {});
  EXPECT_EQ(all["shop/a"].degraded.reason, "ConnectionsTaken");
}

TEST(Across, AHundredPercentTogetherIsFine) {
  std::map<std::string, Facts> all{{"shop/a", facts("db", 60, 1)}, {"shop/b", facts("db", 40, 2)}};
  compare(all, {{"shop/web-1", {"shop/a", "shop/b"}}});
  EXPECT_TRUE(all["shop/a"].degraded.reason.empty());
}

TEST(Across, OnePortForTwoInOnePod) {
  std::map<std::string, Facts> all{{"shop/a", facts("x", 60, 5432)}, {"shop/b", facts("y", 40, 5432)}};
  compare(all, {{"shop/web-1", {"shop/a"}}, {"shop/web-2", {"shop/b"}}});
  EXPECT_TRUE(all["shop/a"].degraded.reason.empty()) << "no pod has both";
  compare(all, {{"shop/web-1", {"shop/a", "shop/b", "shop/gone"}}});
  EXPECT_EQ(all["shop/a"].degraded.reason, "PortConflict");
  EXPECT_EQ(
      all["shop/b"].degraded.message,
      "port 5432 is that of DBProxy shop/a too, and the pod shop/web-1 is bound to both; give one of them another "
      "port");
}

}  // namespace
}  // namespace dbproxy::operator_status
