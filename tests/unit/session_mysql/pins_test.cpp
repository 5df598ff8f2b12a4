#include "tests/unit/session_mysql/world.hpp"

namespace dbproxy::session::mysql {
namespace {

using namespace test;
using wire::Command;

TEST(MysqlPins, ARoleSurvivesAReset) {
  for (const std::string_view sql : {"SET ROLE reader", "CALL p()", "EXECUTE s"}) {
    World world;
    Client client(world);
    world.run(client, sql, Says().ok());
    const bool named = sql == "SET ROLE reader";
    EXPECT_FALSE(world.server.keeps_role());
    world.say(client, request(Command::kResetConnection));
    world.serve(client, Says().ok());
    EXPECT_EQ(pin_names(client.pins()), named ? "role" : "") << sql;
    EXPECT_TRUE(world.server.keeps_role()) << sql;
  }
}

TEST(MysqlPins, ExcludedVariablesAreTheConnectionsToForget) {
  World world;
  Client client(world);
  world.options.exclude_variable_sets = true;
  world.run(client, "SET @m\xc3\xafne = 1", Says().ok());
  EXPECT_EQ(client.pins(), 0u);
  EXPECT_TRUE(world.server.left_behind());
  EXPECT_TRUE(client.can_release(world.server));
  Output out;
  world.server.reset(out);
  EXPECT_EQ(world.serve(nullptr, Says().ok().out), ServerVerdict::kReady);
  EXPECT_FALSE(world.server.left_behind());
  world.server.start(out);
  EXPECT_EQ(world.serve(nullptr, Says().ok().out), ServerVerdict::kReady);
  world.run(client, "CREATE TEMPORARY TABLE t (a INT)", Says().ok());
  EXPECT_EQ(pin_names(client.pins()), "temporary_table");
}

TEST(MysqlPins, AListOfVariablesThatFailsHalfwayHasChangedSome) {
  const auto refused = [] { return Says().error(1227); };
  for (const auto& [sql, pins] : {std::pair("SET sort_buffer_size = 40000, GLOBAL max_connections = 5", "set_variable"),
                                  std::pair("SET sql_mode = '', binlog_format = 'ROW'", "set_variable"),
                                  std::pair("SET NAMES latin1, binlog_format = 'ROW'", "set_variable"),
                                  std::pair("SET binlog_format = 'ROW'", "")}) {
    World world;
    Client client(world);
    world.run(client, sql, refused());
    EXPECT_EQ(pin_names(client.pins()), pins) << sql;
  }
}

TEST(MysqlPins, AVariableThatIsNotReportedIsExcludedToo) {
  for (const bool excluded : {false, true}) {
    World world;
    Client client(world);
    world.options.exclude_variable_sets = excluded;
    world.run(client, "SET something_odd = 1", Says().ok());
    EXPECT_EQ(pin_names(client.pins()), excluded ? "" : "set_variable");
    EXPECT_EQ(world.server.left_behind(), excluded);
  }
}

// What the connection would say is somebody else's.
TEST(MysqlPins, RowsThatAFailedStatementWouldHaveFoundAreNotAskedFor) {
  World world;
  Client client(world);
  world.run(client, "SELECT SQL_CALC_FOUND_ROWS n FROM nowhere LIMIT 1", Says().error(1146));
  Output out;
  ASSERT_TRUE(client.let_go(world.server, out));
  EXPECT_EQ(drain(out), query(kAskDiagnostics));
  world.serve(client, Says().condition_columns().end());
  EXPECT_TRUE(client.can_release(world.server));
}

}  // namespace
}  // namespace dbproxy::session::mysql
