#include "proxy/session/postgres/settings.hpp"

#include <gtest/gtest.h>

#include "proxy/wire/postgres/frame.hpp"

namespace dbproxy::session::postgres {
namespace {

struct SettingsTest : testing::Test {
  SettingsInterner interner;
  Settings::Values reported{{"TimeZone", "UTC"}, {"client_encoding", "UTF8"}, {"session_authorization", "app"}};
  SettingsPtr base = interner.intern(reported);
  SettingsPtr with(Settings::Values tracked) { return interner.with_tracked(base, std::move(tracked)); }
  std::string replay(Settings::Values from, Settings::Values to, const std::vector<std::string>& unknown = {}) {
    return replay_sql(*with(std::move(from)), *with(std::move(to)), unknown, *base);
  }
};

TEST_F(SettingsTest, EqualSetsAreTheSameObject) {
  EXPECT_EQ(with({{"b", "1"}, {"a", "2"}}), with({{"a", "2"}, {"b", "1"}}));
  EXPECT_NE(with({{"a", "2"}}), base);
  EXPECT_EQ(interner.with_tracked(with({{"a", "2"}}), {}), base);
  // Tracked ones stay when a reported one changes.
  auto moved = interner.with(with({{"a", "2"}}), "TimeZone", "Asia/Tokyo");
  EXPECT_EQ(*moved->find_tracked("a"), "2");
  EXPECT_EQ(*moved->find("TimeZone"), "Asia/Tokyo");
  EXPECT_EQ(moved->find("a"), nullptr);
}

TEST_F(SettingsTest, OnlyWhatMattersMakesAnotherReading) {
  EXPECT_EQ(with({{"app.tenant", "1"}})->reading(), base->reading());
  EXPECT_EQ(with({{"statement_timeout", "1"}})->reading(), base->reading());
  EXPECT_NE(with({{"search_path", "a"}})->reading(), base->reading());
  EXPECT_NE(with({{"enable_seqscan", "off"}})->reading(), base->reading());
  EXPECT_NE(interner.with(base, "TimeZone", "Asia/Tokyo")->reading(), base->reading());
}

TEST_F(SettingsTest, Replay) {
  EXPECT_EQ(replay({}, {}), "");
  EXPECT_EQ(replay({{"a.b", "1"}}, {{"a.b", "1"}}), "");
  EXPECT_EQ(replay({}, {{"a.b", "it's \\"}}), "SELECT pg_catalog.set_config(E'a.b', E'it''s \\\\', false)");
  EXPECT_EQ(replay({{"a.b", "1"}}, {}), "RESET \"a.b\"");
  // What nobody knows is set in any case.
  EXPECT_EQ(replay({}, {}, {"a.b"}), "RESET \"a.b\"");
  EXPECT_EQ(replay({{"a.b", "1"}}, {{"a.b", "1"}}, {"a.b"}), "SELECT pg_catalog.set_config(E'a.b', E'1', false)");
  EXPECT_EQ(replay({}, {{"a.b", "\xc3\xa9"}}),
            "SELECT pg_catalog.set_config(E'a.b', pg_catalog.convert_from(E'\\\\xc3a9'::pg_catalog.bytea, E'UTF8'), "
            "false)");
}

TEST_F(SettingsTest, RoleIsUndoneFirstAndComesLast) {
  const std::string undo = "RESET SESSION AUTHORIZATION; RESET ROLE";
  EXPECT_EQ(replay({{"role", "x"}}, {}), undo);
  EXPECT_EQ(replay({}, {}, {"role"}), undo);
  EXPECT_EQ(replay({}, {{"role", "x"}}), undo + "; SELECT pg_catalog.set_config(E'role', E'x', false)");
  EXPECT_EQ(replay({{"role", "x"}}, {{"role", "x"}}), "");
  EXPECT_EQ(replay({{"role", "x"}}, {{"role", "x"}, {"a.b", "1"}}),
            undo +
                "; SELECT pg_catalog.set_config(E'a.b', E'1', false); "
                "SELECT pg_catalog.set_config(E'role', E'x', false)");
  auto other = interner.with(base, "session_authorization", "low");
  EXPECT_EQ(replay_sql(*other, *base, {}, *base), undo);
  EXPECT_EQ(replay_sql(*base, *other, {}, *base),
            undo + "; SELECT pg_catalog.set_config(E'session_authorization', E'low', false)");
}

TEST_F(SettingsTest, InitQueryIsWhatResetLeadsTo) {
  auto init = with({{"work_mem", "9MB"}});
  auto own = with({{"work_mem", "13MB"}});
  EXPECT_EQ(replay_sql(*own, *base, {}, *init), "SELECT pg_catalog.set_config(E'work_mem', E'9MB', false)");
}

std::string row(const std::vector<std::optional<std::string>>& columns) {
  std::string body;
  auto u32 = [&](std::uint32_t n) {
    for (int shift = 24; shift >= 0; shift -= 8) body += static_cast<char>(n >> shift);
  };
  body += '\0';
  body += static_cast<char>(columns.size());
  for (const auto& column : columns) {
    u32(column ? static_cast<std::uint32_t>(column->size()) : 0xffffffffu);
    if (column) body += *column;
  }
  std::string rest;
  std::swap(body, rest);
  body += 'D';
  u32(static_cast<std::uint32_t>(rest.size() + 4));
  return body + rest;
}

TEST_F(SettingsTest, ReadBack) {
  auto plain = read_settings(row({"1", std::nullopt}), {"a.b", "c.d"}, false, "UTF8");
  ASSERT_TRUE(plain);
  EXPECT_EQ((*plain)[0].value, "1");
  EXPECT_EQ((*plain)[1].value, std::nullopt);
  auto sources = read_settings(row({"1", "2", "3", "bb=session,b=configuration file,a=session,a.b=default"}),
                               {"a", "b", "c.d"}, true, "UTF8");
  ASSERT_TRUE(sources);
  EXPECT_EQ((*sources)[0].value, "1");
  EXPECT_EQ((*sources)[1].value, std::nullopt);
  EXPECT_EQ((*sources)[2].value, "3");
  EXPECT_TRUE((*sources)[0].listed && (*sources)[1].listed && !(*sources)[2].listed);
  auto none = read_settings(row({"1", std::nullopt}), {"a"}, true, "UTF8");
  ASSERT_TRUE(none);
  EXPECT_EQ((*none)[0].value, "1");
  EXPECT_FALSE(read_settings(row({"1"}), {"a"}, true, "UTF8"));
  EXPECT_FALSE(read_settings(row({"1", "a", "2"}), {"a"}, true, "UTF8"));
  EXPECT_FALSE(read_settings("", {"a"}, false, "UTF8"));
  EXPECT_FALSE(read_settings(row({"1"}), {"a", "b"}, false, "UTF8"));
  EXPECT_FALSE(read_settings(row({"\xe9"}), {"a"}, false, "LATIN1"));
  EXPECT_TRUE(read_settings(row({"\xc3\xa9"}), {"a"}, false, "UTF8"));
  EXPECT_FALSE(read_settings(row({std::string(100'000, 'x')}), {"a"}, false, "UTF8"));
  for (std::size_t cut = 1; cut < row({"1"}).size(); ++cut)
    EXPECT_FALSE(read_settings(row({"1"}).substr(0, cut), {"a"}, false, "UTF8"));
}

}  // namespace
}  // namespace dbproxy::session::postgres
