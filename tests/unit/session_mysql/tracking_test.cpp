// What clients hear of their session, by what they have set session_track_… to.
#include "tests/unit/session_mysql/world.hpp"

namespace dbproxy::session::mysql {
namespace {

using namespace test;
using wire::StateType;

// What the OK of `sql` tells, in the order of the server; it may tell of anything.
std::string heard(World& world, Client& client, std::string_view sql = "DO 1") {
  Says says;
  says.variable("sql_mode", "ANSI").variable("time_zone", "+01:00").schema("orders");
  says.track(StateType::kGtids, "g:1").track(StateType::kCharacteristics, "BEGIN;");
  says.track(StateType::kTransactionState, "T_______");
  world.seen();
  EXPECT_EQ(world.say(client, query(sql)), ClientVerdict::kMore) << sql;
  EXPECT_EQ(world.serve(client, says.ok()), ServerVerdict::kReady) << sql;
  const std::string packet = world.seen();
  wire::Ok ok;
  EXPECT_TRUE(wire::read_ok(std::string_view(packet).substr(wire::kHeaderSize), kServer, ok));
  std::string out;
  wire::StateReader reader(ok.state);
  for (wire::StateChange change; reader.next(change);) {
    const std::string each = std::to_string(static_cast<int>(change.type)) + std::string(change.name);
    if (out.find(each) == std::string::npos) out.append(out.empty() ? "" : " ").append(each);
  }
  return out;
}

// Of a client that has set that; nothing of it goes to the server, which has to tell the proxy of everything.
std::string heard_after(std::string_view set) {
  World world;
  Client client(world);
  world.say(client, query(std::string("SET unique_checks = 0, ").append(set)));
  EXPECT_EQ(world.to_server, query("SET unique_checks = 0")) << set;
  world.serve(client, Says().variable("unique_checks", "OFF").ok());
  EXPECT_EQ(client.pins(), 0u) << set;
  return heard(world, client);
}

TEST(MysqlTracking, WithoutAWordWhatServersTellByDefault) {
  World world;
  Client client(world);
  EXPECT_EQ(heard(world, client), "0time_zone 1 3");
}

TEST(MysqlTracking, WhatAClientHasAskedFor) {
  EXPECT_EQ(heard_after("session_track_system_variables = 'autocommit, SQL_MODE'"), "0sql_mode 1 3");
  EXPECT_EQ(heard_after("session_track_system_variables = ''"), "1 3");
  EXPECT_EQ(heard_after("session_track_system_variables = NULL"), "1 3");
  EXPECT_EQ(heard_after("session_track_system_variables = DEFAULT"), "0time_zone 1 3");
  EXPECT_EQ(heard_after("@@session.session_track_system_variables := \"*\""), "0sql_mode 0time_zone 1 3");
  // As MariaDB's Connector/J does: what the server makes of it is not known here.
  EXPECT_EQ(heard_after("session_track_system_variables = CONCAT(@@global.x, ',sql_mode')"),
            "0sql_mode 0time_zone 1 3");
  EXPECT_EQ(heard_after("session_track_schema = OFF"), "0time_zone 3");
  EXPECT_EQ(heard_after("session_track_schema = 0, SESSION session_track_state_change = 1"), "2 0time_zone 3");
  EXPECT_EQ(heard_after("session_track_transaction_info = 'STATE'"), "0time_zone 1 3 5");
  EXPECT_EQ(heard_after("`session_track_transaction_info` = CHARACTERISTICS"), "0time_zone 1 3 4 5");
  EXPECT_EQ(heard_after("session_track_transaction_info = CHARACTERISTICS, session_track_transaction_info = 0"),
            "0time_zone 1 3");
}

TEST(MysqlTracking, ASetThatFailsOrIsForOthersChangesNothing) {
  World world;
  Client client(world);
  world.say(client, query("SET unique_checks = 7, session_track_schema = OFF"));
  world.serve(client, Says().error(1231));
  world.run(client, "SET GLOBAL session_track_schema = OFF", Says().ok());
  EXPECT_EQ(heard(world, client), "0time_zone 1 3");
}

TEST(MysqlTracking, AResetEndsIt) {
  World world;
  Client client(world);
  world.run(client, "SET session_track_schema = OFF", Says().changed().ok());
  world.say(client, query("DO 1"));
  world.serve(client, Says().ok());  // its trackers, which the client has switched off, are back
  EXPECT_EQ(heard(world, client), "0time_zone 3");
  world.say(client, request(wire::Command::kResetConnection));
  world.serve(client, Says().ok());
  world.say(client, query("DO 1"));
  world.serve(client, Says().ok());
  EXPECT_EQ(heard(world, client), "0time_zone 1 3");
}

}  // namespace
}  // namespace dbproxy::session::mysql
