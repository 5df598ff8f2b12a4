// Settings that are not reported: what is asked of the server before its connection goes to another client.
#include "tests/unit/session_postgres/script.hpp"

namespace dbproxy::session::postgres {
namespace {

TEST_F(Script, OtherSettingsAreReadBackAndFollow) {
  sent(client, q("SET work_mem = '8MB'"));
  got(client, tag("SET") + z());
  EXPECT_EQ(client.pins(), 0u);
  EXPECT_FALSE(client.can_release(server));
  ASSERT_TRUE(client.wants_settings(server));
  Output to_server, to_client;
  server.read_settings(to_server);
  EXPECT_FALSE(client.wants_settings(server));
  // Meanwhile the client goes on, and sets it again: what was read is not the last word.
  EXPECT_NE(sent(client, q("SET work_mem = '9MB'")), "");
  std::string row;
  wire::MessageWriter(row, 'D').u16(1).u32(3).bytes("8MB");
  EXPECT_EQ(got(client, tag("BEGIN") + row + tag("COMMIT") + z()), "");
  EXPECT_EQ(server.settings_read(), "");
  EXPECT_EQ(*server.settings()->find_tracked("work_mem"), "8MB");
  got(client, tag("SET") + z());
  EXPECT_TRUE(client.wants_settings(server));
  server.read_settings(to_server);
  EXPECT_EQ(got(client, m('E') + z()), "");
  EXPECT_NE(server.settings_read(), "");
  EXPECT_TRUE(client.wants_settings(server));  // the worker pins
  server.read_settings(to_server);
  row.clear();
  wire::MessageWriter(row, 'D').u16(2).u32(3).bytes("9MB").u32(16).bytes("work_mem=session");
  got(client, row + z());
  EXPECT_EQ(server.settings_read(), "");
  ASSERT_TRUE(client.can_release(server));
  client.detaching(server);
  to_server.clear();
  other.attached(server, to_server, to_client);
  EXPECT_EQ(shown(flat(to_server)),
            "Q(BEGIN ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE; RESET \"work_mem\"; COMMIT)");
  got(other, tag("RESET") + z());
  EXPECT_EQ(server.settings(), settings);
}

// pg_settings costs the server more than all that is around it.
TEST_F(Script, WhetherASettingIsBackIsAskedOnlyWhereItMayBe) {
  // Whether the query asks pg_settings, whose answer is `sources`.
  const auto asks = [&](std::initializer_list<std::string_view> values, std::string_view sources) {
    Output out;
    server.read_settings(out);
    const bool more = flat(out).find("pg_settings") != std::string::npos;
    std::string row;
    {
      wire::MessageWriter message(row, 'D');
      message.u16(static_cast<std::uint16_t>(values.size() + (more ? 1 : 0)));
      for (const auto value : values) message.u32(static_cast<std::uint32_t>(value.size())).bytes(value);
      if (more) message.u32(static_cast<std::uint32_t>(sources.size())).bytes(sources);
    }
    got(client, tag("BEGIN") + row + tag("COMMIT") + z());
    EXPECT_EQ(server.settings_read(), "");
    return more;
  };
  const auto run = [&](const std::string& sql, const std::string& answer, char status) {
    sent(client, q(sql));
    got(client, tag(answer) + z(status));
  };
  run("SET work_mem = '8MB'", "SET", 'I');
  EXPECT_FALSE(asks({"8MB"}, ""));
  run("BEGIN", "BEGIN", 'T');
  run("SET work_mem = '9MB'", "SET", 'T');
  run("COMMIT", "COMMIT", 'I');
  EXPECT_FALSE(asks({"9MB"}, ""));
  run("BEGIN", "BEGIN", 'T');
  run("SET work_mem = '10MB'", "SET", 'T');
  run("ROLLBACK", "ROLLBACK", 'I');
  EXPECT_TRUE(asks({"9MB"}, "work_mem=session"));
  EXPECT_EQ(*server.settings()->find_tracked("work_mem"), "9MB");
  run("RESET work_mem", "RESET", 'I');
  EXPECT_TRUE(asks({"4MB"}, "work_mem=default"));
  EXPECT_EQ(server.settings()->find_tracked("work_mem"), nullptr);
  // One that nobody has defined is not shown there: once is enough.
  run("RESET app.tenant", "RESET", 'I');
  EXPECT_TRUE(asks({"a"}, ""));
  EXPECT_EQ(*server.settings()->find_tracked("app.tenant"), "a");
  run("RESET app.tenant", "RESET", 'I');
  EXPECT_FALSE(asks({"b"}, ""));
  EXPECT_EQ(*server.settings()->find_tracked("app.tenant"), "b");
  // However often it is read beside others that are shown, it takes the place of one.
  for (int i = 0; i < 100; ++i) {
    run("RESET app.tenant", "RESET", 'I');
    run("RESET work_mem", "RESET", 'I');
    EXPECT_TRUE(asks({"b", "4MB"}, "work_mem=default"));
  }
  run("RESET app.other", "RESET", 'I');
  EXPECT_TRUE(asks({"c"}, ""));
  run("RESET app.other", "RESET", 'I');
  EXPECT_FALSE(asks({"d"}, ""));
}

TEST_F(Script, WhatStandsInPgSettingsIsListedAndReadBack) {
  sent(client, q("UPDATE pg_settings SET setting = '3MB' WHERE name = 'work_mem'"));
  got(client, tag("UPDATE 0") + z());
  EXPECT_FALSE(server.settings_known());
  Output out;
  server.read_settings(out);
  EXPECT_NE(flat(out).find("pg_settings"), std::string::npos);
}

}  // namespace
}  // namespace dbproxy::session::postgres
