// LAST_INSERT_ID() where an OK does not say what it is.
#include "tests/unit/session_mysql/world.hpp"

namespace dbproxy::session::mysql {
namespace {

using namespace test;
using namespace std::string_literals;
using namespace std::string_view_literals;

Says made(std::uint64_t id) {
  wire::Ok ok;
  ok.affected_rows = 1;
  ok.last_insert_id = id;
  return Says().ok(ok);
}

// What the proxy asks before the connection goes, and what it is told.
void fetch(World& world, Client& client, std::string_view value) {
  Output out;
  ASSERT_TRUE(client.let_go(world.server, out));
  EXPECT_EQ(drain(out), query("SELECT LAST_INSERT_ID()"));
  std::string row(1, static_cast<char>(value.size()));
  row += value;
  EXPECT_EQ(world.serve(client, Says().raw("\x01").raw("def").raw(row).end()), ServerVerdict::kReady);
  EXPECT_TRUE(client.can_release(world.server));
}

std::string asked_first(World& world, Client& client) {
  return world.say(client, query("SELECT LAST_INSERT_ID()")) == ClientVerdict::kWait ? world.to_server : "";
}

TEST(MysqlInsertId, AGeneratedKeyHoldsNothing) {
  World world;
  Client client(world), other(world, 2);
  world.run(client, "INSERT INTO t (a, at) VALUES ('it''s 5', NOW()), (-7, DEFAULT)", made(901));
  EXPECT_TRUE(client.can_release(world.server));
  world.run(other, "INSERT INTO t (a) VALUES ('x')", made(902));
  EXPECT_EQ(asked_first(world, client), query("SET last_insert_id = 901"));
}

TEST(MysqlInsertId, AKeyThatIsGivenIsNone) {
  World world;
  Client client(world), other(world, 2);
  world.run(client, "INSERT INTO t (a) VALUES ('x')", made(901));
  world.run(other, "INSERT INTO t (a) VALUES ('x')", made(902));
  world.run(client, "INSERT INTO t VALUES (500, 'x')", made(500));
  EXPECT_FALSE(client.can_release(world.server));
  fetch(world, client, "902");  // as the other left it
  EXPECT_EQ(asked_first(world, client), query("SET last_insert_id = 901"));
}

// The OK has 902, and so has the connection: only what was there before tells whose it is.
TEST(MysqlInsertId, AKeyThatIsGivenMayBeAnothersNumber) {
  World world;
  Client client(world), other(world, 2);
  world.run(other, "INSERT INTO t (a) VALUES ('x')", made(902));
  const auto insert = query("INSERT INTO t VALUES ('902', 'x')");
  ASSERT_EQ(world.say(client, insert), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("SET last_insert_id = 0"));
  world.serve(client, Says().ok());
  EXPECT_EQ(world.say(client, insert), ClientVerdict::kMore);
  world.serve(client, made(902));
  fetch(world, client, "0");
  world.run(other, "INSERT INTO t (a) VALUES ('x')", made(903));
  EXPECT_EQ(asked_first(world, client), query("SET last_insert_id = 0"));
}

TEST(MysqlInsertId, WhoAsksInDoubtDoesNotSeeAnothersNumber) {
  World world;
  Client client(world), other(world, 2);
  world.run(other, "INSERT INTO t (a) VALUES ('x')", made(902));
  world.run(client, "INSERT INTO t VALUES (500, 'x')", made(500));
  EXPECT_EQ(asked_first(world, client), query("SELECT LAST_INSERT_ID()"));
  EXPECT_EQ(world.serve(client, Says()
                                    .raw("\x01")
                                    .raw("def")
                                    .raw("\x03"
                                         "902")
                                    .end()),
            ServerVerdict::kReady);
  EXPECT_EQ(asked_first(world, client), query("SET last_insert_id = 0"));
}

TEST(MysqlInsertId, OneThatLooksGivenMayBeGenerated) {
  World world;
  Client client(world), other(world, 2);
  world.run(client, "INSERT INTO t (a) VALUES (77)", made(77));
  fetch(world, client, "77");
  world.run(other, "INSERT INTO t (a) VALUES ('x')", made(78));
  EXPECT_EQ(asked_first(world, client), query("SET last_insert_id = 77"));
}

TEST(MysqlInsertId, WhatIsCalculatedOrSelectedIsAskedFor) {
  for (const std::string_view sql :
       {"INSERT INTO t SELECT 1", "INSERT INTO t VALUES (2 + 3)", "REPLACE INTO t VALUES (@a)",
        "INSERT INTO t SET a = f(1)", "INSERT INTO t VALUES (x'35')",
        "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 2",
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY) SELECT 5 AS id"})
    EXPECT_TRUE(classify(sql).insert_id_unsaid) << sql;
  for (const std::string_view sql :
       {"INSERT INTO t (a, b) VALUES (-2, NOW())", "CREATE TABLE t (id INT DEFAULT (1 + 2))",
        "INSERT INTO t VALUES (1) /* SELECT */", "SELECT 1 + 2", "UPDATE t SET a = a + 1"})
    EXPECT_FALSE(classify(sql).insert_id_unsaid) << sql;
}

TEST(MysqlInsertId, AFailedInsertMayHaveMadeRows) {
  World world;
  Client client(world);
  world.run(client, "INSERT INTO t VALUES (NULL), (5), (5)", Says().error(1062));
  EXPECT_FALSE(client.can_release(world.server));
  Output out;
  ASSERT_TRUE(client.let_go(world.server, out));
  EXPECT_EQ(world.serve(client, Says().raw("\x03").raw("d").raw("d").raw("d").end()), ServerVerdict::kReady);
  EXPECT_FALSE(client.can_release(world.server));
  fetch(world, client, "4");
}

TEST(MysqlInsertId, WhoLeavesInDoubtLeavesANumberThatNobodyTakes) {
  World world;
  {
    Client client(world);
    world.run(client, "INSERT INTO t VALUES (500, 'x')", made(500));
  }
  Client other(world, 2);
  EXPECT_EQ(world.say(other, query("INSERT INTO t VALUES (7)")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("SET last_insert_id = 0"));
}

TEST(MysqlNumberSet, BoundValues) {
  const auto numbers = [](std::string_view nulls, std::string_view types, std::string_view values) {
    std::string payload = "\x17....\0\x01\0\0\0"s;
    payload.resize(10, '\0');
    payload += nulls;
    const std::size_t bound = payload.size();
    ((payload += '\1') += types) += values;
    wire::Execute execute;
    execute.parameters = types.size() / 2;
    execute.bound_at = bound;
    execute.types_sent = true;
    execute.types_size = types.size();
    return numbers_of(payload, execute, types);
  };
  const NumberSet bound = numbers("\0"s, "\x08\0\xfd\0\x05\0"s,
                                  "\xf4\1\0\0\0\0\0\0\x03"
                                  "501"
                                  "\0\0\0\0\0\x60\x7f\x40"s);
  for (const std::uint64_t number : {500u, 501u, 502u}) EXPECT_TRUE(bound.may_have(number)) << number;
  const NumberSet none = numbers("\1"s, "\x08\0"s, ""s), text = numbers("\0"s, "\xfd\0"s,
                                                                        "\x03"
                                                                        "abc"s);
  const NumberSet cut = numbers("\0"s, "\x08\0"s, "\1"s);
  for (std::uint64_t number = 1; number < 200; ++number) {
    EXPECT_FALSE(none.may_have(number));
    EXPECT_FALSE(text.may_have(number));
    EXPECT_TRUE(cut.may_have(number));
  }
}

}  // namespace
}  // namespace dbproxy::session::mysql
