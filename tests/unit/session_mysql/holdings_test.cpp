// Pins that end when what made them is given back.
#include "tests/unit/session_mysql/world.hpp"

namespace dbproxy::session::mysql {
namespace {

using namespace test;

class MysqlHoldings : public ::testing::Test {
 protected:
  // The pins after these texts; one that begins with ! fails.
  std::string after(std::initializer_list<std::string_view> texts) {
    World world;
    Client client(world, 1, kServer, "orders");
    world.say(client, query("DO 1"));  // which brings it into its schema
    world.serve(client, Says().ok());
    for (const std::string_view text : texts) {
      const bool fails = text.starts_with('!');
      const std::string sql(text.substr(fails ? 1 : 0));
      for (int i = 0; world.say(client, query(sql)) == ClientVerdict::kWait && i < 5; ++i)
        world.serve(client, Says().ok());
      Says says;
      if (sql.find("TABLE") != sql.npos && sql.find("SELECT") == sql.npos) says.changed();
      EXPECT_EQ(world.serve(client, fails ? Says().error(1105) : says.ok()), ServerVerdict::kReady) << sql;
    }
    return pin_names(client.pins());
  }
};

constexpr std::string_view kCreate = "CREATE TEMPORARY TABLE tmp (a INT)";

TEST_F(MysqlHoldings, ATemporaryTableUntilItIsDropped) {
  EXPECT_EQ(after({kCreate}), "temporary_table");
  EXPECT_EQ(after({kCreate, "DROP TABLE tmp"}), "");
  EXPECT_EQ(after({kCreate, "drop temporary table if exists `tmp` cascade;"}), "");
  EXPECT_EQ(after({kCreate, "DROP TABLE orders.tmp"}), "");
  EXPECT_EQ(after({"CREATE OR REPLACE TEMPORARY TABLE IF NOT EXISTS `b b`.tmp LIKE t", "DROP TABLE `b b`.tmp"}), "");
  EXPECT_EQ(after({kCreate, kCreate, "DROP TABLE a, tmp, b"}), "");
}

TEST_F(MysqlHoldings, OrElseItStays) {
  for (const std::string_view text : {"!DROP TABLE tmp", "DROP TABLE other", "DROP TABLE billing.tmp", "DROP TABLE Tmp",
                                      "DROP /*!50000 TEMPORARY */ TABLE tmp", "DROP TABLE a.b.tmp", "DROP VIEW tmp",
                                      "DROP TABLE tmp; SELECT 1", "SELECT 'DROP TABLE tmp'"})
    EXPECT_EQ(after({kCreate, text}).substr(0, 15), "temporary_table") << text;
  EXPECT_EQ(after({kCreate, "CREATE TEMPORARY TABLE other (a INT)", "DROP TABLE tmp"}), "temporary_table");
  // What is called otherwise now.
  EXPECT_EQ(
      after({kCreate, "ALTER TABLE tmp RENAME other", "CREATE TABLE tmp (a INT)", "DROP TABLE tmp"}).substr(0, 15),
      "temporary_table");
  EXPECT_EQ(after({kCreate, "CREATE /*!50000 TEMPORARY */ TABLE other (a INT)", "DROP TABLE tmp, other"}),
            "temporary_table");
}

TEST_F(MysqlHoldings, ALockUntilItIsReleasedAsOftenAsItWasTaken) {
  constexpr std::string_view kLock = "SELECT GET_LOCK('a', 10)", kRelease = "SELECT RELEASE_LOCK('a')";
  EXPECT_EQ(after({kLock, kRelease}), "");
  EXPECT_EQ(after({"DO GET_LOCK('a', -1)", "SELECT RELEASE_LOCK('a') AS released"}), "");
  EXPECT_EQ(after({"SELECT get_lock('a', 0.5) x", "do release_lock('a')"}), "");
  EXPECT_EQ(after({kLock, kLock, kRelease}), "lock");
  EXPECT_EQ(after({kLock, kLock, kRelease, kRelease}), "");
  EXPECT_EQ(after({"!SELECT GET_LOCK('a', 10)", kLock, kRelease}), "lock");
  EXPECT_EQ(after({kLock, "SELECT GET_LOCK('b', 10)", kRelease}), "lock");
  for (const std::string_view text :
       {"!SELECT RELEASE_LOCK('a')", "SELECT RELEASE_LOCK('A')", "SELECT IF(0, RELEASE_LOCK('a'), 1)",
        "SELECT RELEASE_LOCK('a') FROM nobody", "SELECT RELEASE_LOCK('a') IS NULL", "SELECT 'RELEASE_LOCK(''a'')'"})
    EXPECT_EQ(after({kLock, text}), "lock") << text;
}

TEST_F(MysqlHoldings, LocksThatNoTextTellsUntilAllAreReleased) {
  EXPECT_EQ(after({"SELECT GET_LOCK(name, 1) FROM t", "SELECT GET_LOCK('a', 1)", "DO RELEASE_LOCK('a')"}), "lock");
  EXPECT_EQ(after({"SELECT GET_LOCK('a', 1), GET_LOCK('b', 1)", "DO RELEASE_LOCK('a')"}), "lock");
  EXPECT_EQ(after({"SELECT GET_LOCK(name, 1) FROM t", "DO RELEASE_ALL_LOCKS()"}), "");
  EXPECT_EQ(after({"SELECT GET_LOCK(name, 1) FROM t", "DO RELEASE_ALL_LOCKS()", "DO GET_LOCK('a', 1)",
                   "DO RELEASE_LOCK('a')"}),
            "");
  EXPECT_EQ(
      after({"SELECT GET_LOCK('b', 1)", "!DO RELEASE_ALL_LOCKS()", "DO GET_LOCK('a', 1)", "DO RELEASE_LOCK('a')"}),
      "lock");
}

TEST_F(MysqlHoldings, AnXaTransactionUntilItsEnd) {
  EXPECT_EQ(after({"XA START 'x'", "XA END 'x'", "XA PREPARE 'x'"}), "xa");
  EXPECT_EQ(after({"XA START 'x'", "XA END 'x'", "XA COMMIT 'x' ONE PHASE"}), "");
  EXPECT_EQ(after({"XA START 'x'", "XA END 'x'", "XA ROLLBACK 'x'"}), "");
  EXPECT_EQ(after({"XA START 'x'", "!XA COMMIT 'y'"}), "xa");
}

}  // namespace
}  // namespace dbproxy::session::mysql
