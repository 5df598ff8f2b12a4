#include "proxy/session/mysql/settings.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace dbproxy::session::mysql {
namespace {

TEST(MysqlSettings, EqualOnesAreTheSameObject) {
  SettingsInterner interner;
  const auto first = interner.intern("orders", {{"autocommit", "ON"}});
  const auto second = interner.with(interner.intern("orders", {}), "autocommit", "ON");
  EXPECT_EQ(first, second);
  EXPECT_EQ(interner.with(first, "autocommit", "ON"), first);
  EXPECT_NE(interner.with_schema(first, "billing"), first);
  EXPECT_EQ(interner.with_schema(interner.with_schema(first, "billing"), "orders"), first);
  EXPECT_EQ(interner.without(interner.with(first, "sql_mode", "ANSI"), "sql_mode"), first);
}

TEST(MysqlSettings, ReplayIsWhatDiffers) {
  const Settings base("", {{"sql_mode", "STRICT"}});
  const Settings from("", {{"autocommit", "OFF"}, {"sql_mode", "ANSI"}, {"time_zone", "+01:00"}});
  const Settings to("", {{"character_set_results", ""}, {"max_join_size", "1000"}, {"time_zone", "+01:00"}});
  EXPECT_EQ(
      replay_sql(from, to, base),
      "SET @@SESSION.character_set_results = NULL, @@SESSION.autocommit = DEFAULT, @@SESSION.max_join_size = 1000, "
      "@@SESSION.sql_mode = 'STRICT'");
  EXPECT_EQ(replay_sql(to, to, base), "");
}

TEST(MysqlSettings, ACollationIsPutBackBehindItsCharacterSet) {
  const Settings base("", {});
  const Settings plain("", {{"character_set_connection", "utf8mb4"}});
  const Settings binary("", {{"character_set_connection", "utf8mb4"}, {"collation_connection", "utf8mb4_bin"}});
  EXPECT_EQ(replay_sql(plain, binary, base),
            "SET @@SESSION.character_set_connection = 'utf8mb4', @@SESSION.collation_connection = 'utf8mb4_bin'");
  EXPECT_EQ(replay_sql(binary, plain, base), "SET @@SESSION.character_set_connection = 'utf8mb4'");
}

TEST(MysqlSettings, WhatMaxJoinSizeChangesIsPutBackBehindIt) {
  const Settings base("", {{"sql_big_selects", "ON"}});
  const Settings limited("", {{"max_join_size", "9999"}, {"sql_big_selects", "OFF"}});
  const Settings big("", {{"max_join_size", "9999"}, {"sql_big_selects", "ON"}});
  EXPECT_EQ(replay_sql(base, big, base), "SET @@SESSION.max_join_size = 9999, @@SESSION.sql_big_selects = 'ON'");
  EXPECT_EQ(replay_sql(limited, base, base), "SET @@SESSION.max_join_size = DEFAULT, @@SESSION.sql_big_selects = 'ON'");
  EXPECT_EQ(replay_sql(big, limited, base), "SET @@SESSION.sql_big_selects = 'OFF'");
  EXPECT_EQ(big_selects_of("9999"), "OFF");
  EXPECT_EQ(big_selects_of("18446744073709551615"), "ON");
}

TEST(MysqlSettings, OneVariableByTwoNamesIsKeptUnderOne) {
  EXPECT_EQ(own_name("tx_isolation", false), "transaction_isolation");
  EXPECT_EQ(own_name("Transaction_Isolation", true), "tx_isolation");
  EXPECT_EQ(own_name("LOG_SLOW_QUERY_TIME", true), "long_query_time");
  EXPECT_EQ(own_name("sql_mode", true), "sql_mode");
}

TEST(MysqlSettings, TheCollationsOfResultsAndOfTheClientComeByNamesOnly) {
  const Settings base("", {});
  const Settings plain("", {{"character_set_client", "utf8mb4"},
                            {"character_set_connection", "utf8mb4"},
                            {"character_set_results", "utf8mb4"}});
  Settings::Variables named = plain.variables();
  named.emplace_back("collation_connection", "utf8mb4_bin");
  named.emplace_back(kResultsCollation, "utf8mb4_bin");
  named.insert(named.end() - 2, {std::string(kClientCollation), "utf8mb4_bin"});
  std::sort(named.begin(), named.end());
  const Settings binary("", named);
  EXPECT_EQ(replay_sql(plain, binary, base), "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'");
  EXPECT_EQ(replay_sql(binary, plain, base),
            "SET @@SESSION.character_set_results = 'utf8mb4', @@SESSION.character_set_client = 'utf8mb4', "
            "@@SESSION.character_set_connection = 'utf8mb4'");
  const auto at = [&](std::string_view name) {
    return std::find_if(named.begin(), named.end(), [&](const auto& entry) { return entry.first == name; });
  };
  const auto results = at(kResultsCollation);
  const auto entry = *results;
  named.erase(results);
  EXPECT_EQ(replay_sql(plain, Settings("", named), base),
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin', @@SESSION.character_set_results = 'utf8mb4', "
            "@@SESSION.character_set_connection = 'utf8mb4', @@SESSION.collation_connection = 'utf8mb4_bin'");
  named.push_back(entry);
  named.erase(at(kClientCollation));
  at("character_set_client")->second = "latin1";
  at("collation_connection")->second = "utf8mb4_unicode_ci";
  EXPECT_EQ(replay_sql(plain, Settings("", named), base),
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin', @@SESSION.character_set_client = 'latin1', "
            "@@SESSION.character_set_connection = 'utf8mb4', @@SESSION.collation_connection = 'utf8mb4_unicode_ci'");
  EXPECT_EQ(replay_sql(binary, binary, base), "");
}

TEST(MysqlSettings, ValuesCannotLeaveTheirPlace) {
  const Settings base("", {});
  const std::string sql = replay_sql(base, Settings("", {{"init_thing", "a'; DROP TABLE t; -- \\"}}), base);
  EXPECT_EQ(sql, "SET @@SESSION.init_thing = CONVERT(x'61273b2044524f50205441424c4520743b202d2d205c' USING utf8mb4)");
}

TEST(MysqlSettings, Collations) {
  const auto general = variables_of_collation(45);
  ASSERT_TRUE(general);
  EXPECT_EQ(general->at(0), (std::pair<std::string, std::string>("character_set_client", "utf8mb4")));
  EXPECT_EQ(general->size(), 4u);
  EXPECT_EQ(variables_of_collation(255)->size(), 3u);
  EXPECT_FALSE(variables_of_collation(99));
  EXPECT_FALSE(variables_of_collation(1000));
}

}  // namespace
}  // namespace dbproxy::session::mysql
