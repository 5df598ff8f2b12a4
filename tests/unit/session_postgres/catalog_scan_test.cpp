#include "proxy/session/postgres/catalog_scan.hpp"

#include <gtest/gtest.h>

#include "proxy/session/postgres/classify.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {
namespace {

struct Rows : ::testing::Test {
  CatalogScan scan;
  CatalogScan::Result result;

  void row(std::string_view kind, std::string_view id, std::string_view other, std::string_view name,
           std::string_view what = "", std::string_view source = "") {
    EXPECT_TRUE(scan.add_row({kind, id, other, name, what, source}));
  }
  void function(std::string_view id, std::string_view name, std::string_view source) {
    row("n", id, "", name, "", source);
  }
  void link(std::string_view id, std::string_view other) { row("d", id, other, ""); }
  bool has(std::string_view name) {
    if (!result.hazards) result = scan.finish();
    return result.hazards->contains(name);
  }
};

TEST_F(Rows, FunctionsBySourceAndMention) {
  function("f1", "become", "begin perform set_config('a.b', x, false); end");
  function("f2", "outer", "select BECOME(1)");
  function("f3", "outermost", "select \"outer\"()");
  function("f4", "clean", "update t set a = 1");
  function("f5", "similar", "select becomes(1)");
  EXPECT_TRUE(has("become") && has("outer") && has("outermost"));
  EXPECT_FALSE(has("clean") || has("similar"));
  EXPECT_TRUE(result.everything.empty() && result.ddl.empty());
  EXPECT_FALSE(result.hazards->everything() || result.hazards->ddl());
}

TEST_F(Rows, SettingsAreCarriedToWhoeverMentionsThem) {
  function("f1", "become", "begin perform set_config('app.tenant', x, false); end");
  function("f2", "outer", "begin perform become(1); set work_mem = '1MB'; end");
  link("r1", "f2");
  row("n", "r1", "", "audited");
  function("f3", "computed", "select set_config('app.' || x, y, false), become(1)");
  row("n", "f4", "", "elevated", "definer", "begin set work_mem = '1MB'; end");
  row("n", "f5", "", "own", "definer", "select become(2)");
  EXPECT_TRUE(has("become"));
  const auto& set = *result.hazards;
  EXPECT_EQ(set.leaves("become"), bit(PinReason::kSetVariable));
  EXPECT_EQ(set.settings("BECOME"), std::vector<std::string>{"app.tenant"});
  auto both = set.settings("audited");
  std::sort(both.begin(), both.end());
  EXPECT_EQ(both, (std::vector<std::string>{"app.tenant", "work_mem"}));
  EXPECT_TRUE(set.leaves("computed") & bit(PinReason::kOpaque));
  // Its caller may not be allowed to set that.
  EXPECT_TRUE(set.leaves("elevated") & bit(PinReason::kOpaque));
  EXPECT_EQ(set.leaves("own"), bit(PinReason::kSetVariable));
}

TEST_F(Rows, EachOverloadCounts) {
  function("f1", "f", "select 1");
  function("f2", "f", "select set_config('a.b', '', false)");
  function("f3", "g", "select f(1)");
  EXPECT_TRUE(has("f") && has("g"));
}

TEST_F(Rows, MutualCallsEnd) {
  function("f1", "a", "select b()");
  function("f2", "b", "select a()");
  EXPECT_FALSE(has("a") || has("b"));
}

TEST_F(Rows, LinksCarryAndNamesOfLinkedRelationsDoSo) {
  function("f1", "become", "listen x");
  function("f2", "quiet", "");
  link("r1", "f1");
  row("n", "r1", "", "audited");
  link("r2", "r1");
  row("n", "r2", "", "seen");
  link("f2", "r2");
  function("f3", "reader", "select * from seen");
  link("t1", "b");
  row("n", "t1", "", "watched");
  link("r3", "r4");
  row("n", "r3", "", "other");
  EXPECT_TRUE(has("audited") && has("seen") && has("quiet") && has("reader") && has("watched"));
  EXPECT_FALSE(has("other"));
}

TEST_F(Rows, NamesThatNoWordHas) {
  function("f1", "odd name", "select set_config('a.b', '', false)");
  function("f2", "caller", "select \"Odd Name\"()");
  EXPECT_TRUE(has("odd name") && has("caller"));
}

TEST_F(Rows, WhatTheServerCallsDangerous) {
  row("n", "f1", "", "in_c", "danger");
  function("f2", "caller", "select in_c()");
  link("f99", "b");
  row("x", "f99", "", "operator ##");
  EXPECT_TRUE(has("in_c") && has("caller"));
  EXPECT_EQ(result.everything, "operator ##");
  EXPECT_TRUE(result.hazards->everything());
}

TEST_F(Rows, EventTriggers) {
  function("f1", "on_change", "execute 'x'");
  row("x", "f1", "", "event trigger watch", "ddl");
  function("f2", "maker", "create table x ()");
  function("f3", "caller", "select maker()");
  function("f4", "clean", "select 1");
  EXPECT_TRUE(has("maker") && has("caller"));
  EXPECT_FALSE(has("clean"));
  EXPECT_TRUE(result.hazards->ddl());
  EXPECT_FALSE(result.hazards->everything());
}

TEST_F(Rows, AnEmptyCatalogueIsNoHazard) {
  row("g", "", "", "12:-345");
  EXPECT_TRUE(scan.complete());
  EXPECT_TRUE(scan.finish().hazards->empty());
}

TEST_F(Rows, RefusesOtherRows) {
  EXPECT_FALSE(scan.add_row({"g", "", "", "1'; drop", "", ""}));
  EXPECT_FALSE(scan.add_row({"?", "", "", "", "", ""}));
  EXPECT_FALSE(scan.add_row({"g", "", ""}));
  EXPECT_FALSE(scan.add_row({std::nullopt, "", "", "", "", ""}));
  EXPECT_FALSE(scan.add_messages("Dxxxx"));
}

TEST_F(Rows, ReadsMessages) {
  std::string bytes;
  for (const std::string_view name : {"become", "other"}) {
    wire::postgres::MessageWriter message(bytes, 'D');
    message.u16(6);
    for (const std::string_view column : {std::string_view("n"), std::string_view("f1"), std::string_view(), name,
                                          std::string_view(), std::string_view("load 'x'")}) {
      if (column.empty()) {
        message.u32(~std::uint32_t{0});
      } else {
        message.u32(static_cast<std::uint32_t>(column.size())).bytes(column);
      }
    }
  }
  EXPECT_TRUE(scan.add_messages(bytes));
  EXPECT_TRUE(has("other"));
  for (std::size_t cut = 1; cut < bytes.size() / 2; ++cut)
    EXPECT_FALSE(CatalogScan().add_messages(std::string_view(bytes).substr(0, cut)));
}

bool opaque(std::string_view sql, const ClassifyOptions& options) {
  return classify(sql, options).pinned_by(PinReason::kOpaque);
}

TEST(UnnamedHazards, Everything) {
  HazardSet set;
  set.set_everything();
  ClassifyOptions options;
  options.hazards = &set;
  for (auto sql : {"select 1", "insert into t values (1)", "with a as (select 1) table a", "explain select 1",
                   "create table t ()", "copy t to stdout", "values (1)", "begin; select 1", "\"x\""})
    EXPECT_TRUE(opaque(sql, options)) << sql;
  for (auto sql : {"begin", "commit", "ROLLBACK to a", "show all", "set timezone = 'UTC'", "savepoint a", "", ";"})
    EXPECT_FALSE(opaque(sql, options)) << sql;
  ClassifyOptions strict;
  strict.everything = true;
  EXPECT_TRUE(opaque("select 1", strict));
  EXPECT_FALSE(opaque("commit", strict));
}

TEST(UnnamedHazards, ChangesOfTheSchema) {
  HazardSet set;
  set.set_ddl();
  ClassifyOptions options;
  options.hazards = &set;
  for (auto sql : {"create table t ()", "alter table t add a int", "drop view v", "grant select on t to a",
                   "comment on table t is ''", "refresh materialized view v", "select 1 as n into t",
                   "explain analyze create table t as select 1", "select 1; drop table t"})
    EXPECT_TRUE(opaque(sql, options)) << sql;
  for (auto sql : {"select 1", "insert into t select 1", "with a as (insert into t values (1) returning 1) table a",
                   "begin", "delete from t", "copy t from stdin", "truncate t", "table t", "(select 1)"})
    EXPECT_FALSE(opaque(sql, options)) << sql;
}

}  // namespace
}  // namespace dbproxy::session::postgres
