#include "proxy/session/postgres/start_settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dbproxy::session::postgres {
namespace {

using ::testing::ElementsAre;
using wire::postgres::Parameters;

std::string shown(const Settings::Values& values) {
  std::string out;
  for (const auto& [name, value] : values) out += (out.empty() ? "" : " ") + name + '=' + value;
  return out;
}

TEST(StartUp, OptionsComeFirstAndTheLastOfANameCounts) {
  auto start = split_start_up({{"DateStyle", "ISO"}, {"options", "-c work_mem=3MB --Date-Style=German"}});
  EXPECT_EQ(shown(start.own), "work_mem=3MB date_style=German datestyle=ISO");
  start = split_start_up({{"work_mem", "1MB"}, {"options", "-cwork_mem=3MB -c a.b=x\\ y\\\\"}});
  EXPECT_EQ(shown(start.own), "a.b=x y\\ work_mem=1MB");
  EXPECT_TRUE(start.only_at_start.empty());
}

TEST(StartUp, WhatOnlyAStartCanSetStays) {
  for (auto options : {"-e", "-S 100", "-c", "-c work_mem", "-c log_connections=on -c work_mem=1MB", "-c role=a",
                       "-c temp_buffers=100"}) {
    auto start = split_start_up({{"options", options}});
    EXPECT_TRUE(start.own.empty()) << options;
    EXPECT_EQ(start.only_at_start, Parameters({{"options", options}}));
  }
  EXPECT_EQ(split_start_up({{"transaction_read_only", "on"}}).own.size(), 0u);
  EXPECT_EQ(split_start_up({{"a b", "on"}}).only_at_start.size(), 1u);
  EXPECT_EQ(split_start_up({{"app.x", "\xc3\xa4"}}).only_at_start.size(), 1u);
}

TEST(StartUp, IsCheckedByOneQuery) {
  const Settings::Values own = {{"work_mem", "3MB"}, {"app.x", "it's \\"}};
  EXPECT_EQ(check_start_sql(own),
            "SELECT pg_catalog.set_config(E'work_mem', E'3MB', true), "
            "pg_catalog.set_config(E'app.x', E'it''s \\\\', true)");
  std::string row;
  wire::postgres::MessageWriter(row, 'D').u16(2).u32(4).bytes("3072").u32(0);
  EXPECT_EQ(shown(*read_start(row, own)), "work_mem=3072 app.x=");
  EXPECT_FALSE(read_start(row.substr(0, row.size() - 1), own));
  EXPECT_FALSE(read_start(row, {{"work_mem", "3MB"}}));
  EXPECT_FALSE(read_start("", own));
}

std::string places(std::string_view sql) {
  std::string out;
  for (const auto& place : going_back(sql, true))
    out +=
        (place.local ? "local " : "") + (place.name.empty() ? "*" : place.name) + '@' + std::to_string(place.end) + ' ';
  return out;
}

TEST(GoingBack, IsFoundInItsForms) {
  EXPECT_EQ(places("RESET work_mem"), "work_mem@14 ");
  EXPECT_EQ(places("/* a */ reset ALL ; -- b"), "*@17 ");
  EXPECT_EQ(places("SET x TO DEFAULT"), "x@16 ");
  EXPECT_EQ(places("SET LOCAL \"X\" = DEFAULT;"), "local x@23 ");
  EXPECT_EQ(places("SET local = DEFAULT"), "local@19 ");
  EXPECT_EQ(places("SET SESSION a.b TO default"), "a.b@26 ");
  EXPECT_EQ(places("SET session.x TO default"), "session.x@24 ");
  EXPECT_EQ(places("RESET TIME ZONE; SET TIME ZONE LOCAL"), "timezone@15 timezone@36 ");
  EXPECT_EQ(places("SET NAMES"), "client_encoding@9 ");
  EXPECT_EQ(places("SET x = 'default'; SELECT 1; SET x TO a, DEFAULT; SET TIME ZONE 'UTC'; SET ROLE NONE"), "");
  EXPECT_EQ(places("RESET SESSION AUTHORIZATION"), "session@27 ");
  EXPECT_EQ(places(""), "");
  EXPECT_EQ(places("RESET"), "");
  EXPECT_EQ(places("SET"), "");
  EXPECT_EQ(places("SET x"), "");
}

TEST(GoingBack, SetsWhatTheClientStartedWith) {
  const Settings::Values start = {{"app.x", "1"}, {"work_mem", "3MB"}};
  Insertions inserted;
  EXPECT_EQ(with_start_settings("RESET other", true, start, "c", inserted), "");
  EXPECT_TRUE(inserted.places.empty());
  const auto one = ";SET \"work_mem\" TO E'3MB'";
  EXPECT_EQ(with_start_settings("SELECT '\xc3\xa4'; RESET work_mem; SELECT 1", true, start, "c", inserted),
            std::string("SELECT '\xc3\xa4'; RESET work_mem") + one + "; SELECT 1");
  ASSERT_EQ(inserted.places.size(), 1u);
  EXPECT_EQ(inserted.places[0].at, 26u);
  EXPECT_EQ(inserted.places[0].size, std::string_view(one).size());
  EXPECT_EQ(inserted.sets, std::vector<bool>({false, true}));
  EXPECT_THAT(set_start_sql({0, "", true}, start, ""),
              ElementsAre("SELECT pg_catalog.set_config(E'app.x', E'1', true), "
                          "pg_catalog.set_config(E'work_mem', E'3MB', true)"));
  // A list whose items are quoted is one text to set_config only.
  EXPECT_THAT(set_start_sql({0, "", false}, {{"app.x y", "1"}, {"search_path", "a, b"}}, "c"),
              ElementsAre("SET \"app\".\"x y\" TO E'1'",
                          "SELECT pg_catalog.set_config(E'search_path', E'a, b', false) AS \"c\""));
}

TEST(GoingBack, LooksIntoWhatIsExecuted) {
  const Settings::Values start = {{"work_mem", "3MB"}};
  const Executed executed = [](std::string_view name) -> std::string_view {
    return name == "r" ? "RESET work_mem" : name == "\"S\"" ? "SET work_mem = '1MB'" : "";
  };
  const std::string back = ";SET \"work_mem\" TO E'3MB'";
  Insertions inserted;
  const auto with = [&](std::string_view sql) {
    return with_start_settings(sql, true, start, "c", inserted, executed);
  };
  EXPECT_EQ(with("EXECUTE r"), "EXECUTE r" + back);
  EXPECT_EQ(with("SELECT 1; execute r (1, 2); EXECUTE \"S\""), "SELECT 1; execute r (1, 2)" + back + "; EXECUTE \"S\"");
  EXPECT_EQ(inserted.sets, std::vector<bool>({false, true, false}));
  for (const auto* other : {"EXECUTE \"S\"", "EXECUTE other", "EXECUTE", "EXECUTE r s", "EXECUTE 'r'", "SELECT r"})
    EXPECT_EQ(with(other), "") << other;
  EXPECT_EQ(with_start_settings("EXECUTE r", true, start, "c", inserted), "");
}

TEST(GoingBack, TellsItsOwnTagsFromTheClients) {
  const Settings::Values start = {{"app.x", "1"}, {"work_mem", "3MB"}};
  Insertions inserted;
  with_start_settings("SET a = 1; SET CONSTRAINTS ALL DEFERRED; RESET ALL; SELECT 1; SET constraints.b TO 1; RESET c",
                      true, start, "c", inserted);
  EXPECT_EQ(inserted.sets, std::vector<bool>({false, false, true, true, false, false}));
}

}  // namespace
}  // namespace dbproxy::session::postgres
