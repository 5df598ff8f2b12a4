#include "proxy/session/postgres/prepare_text.hpp"

#include <gtest/gtest.h>

#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {
namespace {

namespace wire = dbproxy::wire::postgres;

std::string_view body(std::string_view sql, std::string_view name, bool standard) {
  return find_prepare(sql, name, standard).body;
}

TEST(PrepareText, Body) {
  EXPECT_EQ(find_prepare("SELECT 1; PREPARE q (int) AS SELECT 1 ;", "q", true).whole, "PREPARE q (int) AS SELECT 1");
  EXPECT_EQ(body("PREPARE q AS SELECT 1", "q", true), "SELECT 1");
  EXPECT_EQ(body("prepare Q (int, numeric(3,1)) as select $1; ", "q", true), "select $1");
  EXPECT_EQ(body("PREPARE a AS SELECT 'x;'; PREPARE \"b c\" AS INSERT INTO t SELECT a AS b", "b c", true),
            "INSERT INTO t SELECT a AS b");
  EXPECT_EQ(body("PREPARE a AS SELECT 1; DEALLOCATE a; PREPARE a AS SELECT 2;", "a", true), "SELECT 2");
  EXPECT_EQ(body("PREPARE a AS SELECT 1; PREPARE a AS SELECT 2", "a", true), "SELECT 1") << "the second is refused";
  EXPECT_EQ(body("PREPARE a AS SELECT 1; DEALLOCATE b; PREPARE a AS SELECT 2", "a", true), "SELECT 1");
  EXPECT_EQ(body("PREPARE a AS SELECT 1; DEALLOCATE PREPARE ALL; PREPARE a AS SELECT 2", "a", true), "SELECT 2");
  EXPECT_EQ(body("PREPARE a AS SELECT 1", "b", true), "");
  EXPECT_EQ(body("PREPARE", "b", true), "");
  EXPECT_EQ(body("PREPARE b (", "b", true), "");
  EXPECT_EQ(body("PREPARE b AS", "b", true), "");
  EXPECT_EQ(body("PREPARE b; SELECT 1 AS c", "b", true), "");
}

TEST(PrepareText, IsAlone) {
  EXPECT_TRUE(find_prepare(" PREPARE q AS SELECT 1; -- so", "q", true).alone);
  EXPECT_TRUE(find_prepare(";PREPARE q AS SELECT 1;;", "q", true).alone);
  EXPECT_FALSE(find_prepare("PREPARE q AS SELECT 1; SELECT 2", "q", true).alone);
  EXPECT_FALSE(find_prepare("SELECT 2; PREPARE q AS SELECT 1", "q", true).alone);
}

TEST(PrepareText, KeepsItsPlace) {
  const std::string_view sql = "SELECT '\xc3\xa4'; PREPARE q AS SELECT 1";
  EXPECT_EQ(at_its_place(sql, find_prepare(sql, "q", true).body), std::string(25, ' ') + "SELECT 1");
}

TEST(PrepareText, TellsWhichOfTwoTextsAPositionIsIn) {
  const std::string_view execute = "EXECUTE p_1(1, nothing(3))";
  const std::string_view statement = "               * FROM gone";
  EXPECT_TRUE(is_of_statement(18, "relation", execute, statement));  // FROM: no token there in the other
  EXPECT_FALSE(is_of_statement(13, "x", execute, statement));        // the 1
  EXPECT_FALSE(is_of_statement(16, "function nothing(integer) does not exist", execute, statement));
  EXPECT_TRUE(is_of_statement(16, "relation * does not exist", execute, statement));
  EXPECT_TRUE(is_of_statement(23, "relation \"gone\" does not exist", execute, statement));
  EXPECT_FALSE(is_of_statement(0, "x", execute, statement));
  EXPECT_FALSE(is_of_statement(1000, "x", execute, statement));
}

TEST(PrepareText, Rows) {
  std::string row;
  {
    wire::MessageWriter writer(row, 'D');
    writer.u16(4);
    for (std::string_view column : {"q", "PREPARE q AS SELECT $1", "23 1043", "t"})
      writer.u32(static_cast<std::uint32_t>(column.size())).bytes(column);
  }
  const auto found = read_prepared(row);
  ASSERT_TRUE(found && found->size() == 1);
  EXPECT_EQ(found->front().name, "q");
  EXPECT_EQ(found->front().types, std::string("\0\0\0\x17\0\0\x04\x13", 8));
  EXPECT_TRUE(found->front().from_sql);
  EXPECT_FALSE(read_prepared("Dxxxxxxxx"));
  EXPECT_TRUE(read_prepared("")->empty());
}

}  // namespace
}  // namespace dbproxy::session::postgres
