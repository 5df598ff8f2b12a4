#include "proxy/session/postgres/transaction_text.hpp"
#include "tests/unit/session_postgres/script.hpp"

namespace dbproxy::session::postgres {
namespace {

struct FailedTransaction : Script {
  void fail(ClientSession& who) {
    sent(who, q("BEGIN; SELECT 1/0"));
    got(who, error("22012") + z('E'));
  }
  void recover(ClientSession& who) {
    sent(who, q("ROLLBACK"));
    got(who, tag("ROLLBACK") + z());
  }
};

TEST_F(FailedTransaction, WhatEndsItIsParsedInThePlaceOfWhatStandsThere) {
  sent(other, p("S_1", "ROLLBACK") + s());
  got(other, m('1') + z());
  fail(client);
  EXPECT_EQ(sent(client, p("S_1", "ROLLBACK") + b("S_1") + e() + s()), "C(Sp_1) P(p_1) B(p_1) E S");
  EXPECT_EQ(got(client, m('3') + m('1') + m('2') + tag("ROLLBACK") + z()), "1 2 C(ROLLBACK) ZI");
  EXPECT_EQ(sent(other, b("S_1") + e() + s()), "B(p_1) E S");
}

TEST_F(FailedTransaction, AnythingElseIsRefusedAndWhatStandsThereStays) {
  sent(other, p("S_1", "SELECT 1") + s());
  got(other, m('1') + z());
  fail(client);
  EXPECT_EQ(sent(client, p("S_1", "SELECT 1") + s()), "P(p_1) S");
  EXPECT_EQ(got(client, error("25P02") + z('E')), "E(25P02) ZE");
  recover(client);
  EXPECT_EQ(sent(other, b("S_1") + e() + s()), "B(p_1) E S");
}

TEST_F(FailedTransaction, ATakenNameIsTakenForWhatEndsIt) {
  sent(client, p("S_1", "SELECT 1") + s());
  got(client, m('1') + z());
  fail(client);
  sent(client, p("S_1", "ROLLBACK") + s());
  EXPECT_EQ(got(client, m('1') + error("26000") + z('E')), "E(42P05) ZE");
  sent(client, p("S_1", "SELECT 2") + s());
  EXPECT_EQ(got(client, error("25P02") + z('E')), "E(25P02) ZE");
}

TEST(RunsInFailedTransaction, IsWhatTheServerLetsThrough) {
  for (const auto text : {"", ";", " -- nothing", "COMMIT", "end work", "Abort", "ROLLBACK TO a", "/* x */ rollback",
                          "COMMIT AND CHAIN", "PREPARE TRANSACTION 'x'"}) {
    EXPECT_TRUE(runs_in_failed_transaction(text)) << text;
  }
  for (const auto text : {"SELECT 1", "BEGIN", "PREPARE a AS SELECT 1", "PREPARE", "\"commit\"", "commits",
                          "SAVEPOINT a", "RELEASE a", "COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'"}) {
    EXPECT_FALSE(runs_in_failed_transaction(text)) << text;
  }
}

}  // namespace
}  // namespace dbproxy::session::postgres
