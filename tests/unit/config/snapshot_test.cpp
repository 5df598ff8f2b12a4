#include "proxy/config/snapshot.hpp"

#include <gtest/gtest.h>

namespace dbproxy::config {
namespace {

Target target_with(std::uint32_t max_connections, std::uint32_t reserved) {
  Target target;
  target.max_connections = max_connections;
  target.reserved_connections = reserved;
  return target;
}

TEST(ConnectionLimit, IsAShareOfTheServersMaximum) {
  ConnectionPool pool;
  pool.max_connections_percent = 90;
  EXPECT_EQ(connection_limit(target_with(1000, 3), pool), 900u);
}

TEST(ConnectionLimit, LeavesReservedConnectionsAndTheMonitorsOwn) {
  ConnectionPool pool;
  EXPECT_EQ(connection_limit(target_with(100, 3), pool), 96u);
}

TEST(ConnectionLimit, IsNeverZeroForAKnownServer) {
  ConnectionPool pool;
  pool.max_connections_percent = 1;
  EXPECT_EQ(connection_limit(target_with(10, 3), pool), 1u);
  EXPECT_EQ(connection_limit(target_with(2, 3), pool), 1u);
  EXPECT_EQ(connection_limit(target_with(0, 3), pool), 0u);
}

TEST(Names, GoThereAndBack) {
  for (auto text : {"disable", "require", "verify-ca", "verify-full"}) {
    EXPECT_EQ(to_string(*parse_tls_mode(text)), text);
  }
  EXPECT_FALSE(parse_engine_family("SQLSERVER"));
}

TEST(Snapshot, VersionIsNotContent) {
  Snapshot a;
  Snapshot b;
  b.version = 7;
  EXPECT_TRUE(a.same_content(b));
  b.tags["team"] = "shop";
  EXPECT_FALSE(a.same_content(b));
}

}  // namespace
}  // namespace dbproxy::config
