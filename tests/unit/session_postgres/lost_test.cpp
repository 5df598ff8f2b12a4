// The server connection is lost at every point of a session: what the client is told, and how it goes on.
#include "tests/unit/session_postgres/script.hpp"

namespace dbproxy::session::postgres {
namespace {

struct Lost : Script {
  // What the client is told; "ends" when it cannot go on.
  std::string lose(const std::string& last_words = {}) {
    Output to_client;
    if (!client.server_lost(server, "test", last_words, to_client)) return "ends";
    next = std::make_unique<ServerSession>(interner, settings);
    return shown(flat(to_client));
  }
  // While no server is attached: what the client is told at once.
  std::string alone(const std::string& bytes) {
    told.clear();
    EXPECT_EQ(sent(client, bytes, false), "");
    return shown(told);
  }
  // With the next server; what is sent to it.
  std::string on_next(const std::string& bytes) {
    Output to_server, to_client;
    client.attached(*next, to_server, to_client);
    std::size_t consumed = 0;
    verdict = client.feed(bytes, consumed, next.get(), to_server, to_client, options);
    return shown(flat(to_server));
  }
  std::unique_ptr<ServerSession> next;
};

TEST_F(Lost, AQueryOutsideOfATransactionIsOfUnknownOutcome) {
  sent(client, q("INSERT INTO t VALUES (1)"));
  EXPECT_EQ(lose(), "E(08007) ZI");
  EXPECT_EQ(on_next(q("SELECT 1")), "Q(SELECT 1)");
}

TEST_F(Lost, EachSequenceOfAPipelineGetsItsError) {
  sent(client, q("SELECT 1") + p("", "SELECT 2") + b("") + e() + s() + p("", "SELECT 3") + s());
  got(client, tag("SELECT 1") + z() + m('1') + m('2'));
  EXPECT_EQ(lose(), "E(08007) ZI E(08007) ZI");
}

TEST_F(Lost, RowsThatWereSentAreFollowedByTheError) {
  sent(client, q("SELECT 1"));
  std::string row;
  wire::MessageWriter(row, 'D').u16(0);
  got(client, row);
  EXPECT_EQ(lose(), "E(08007) ZI");
}

TEST_F(Lost, InTheMiddleOfAMessageNothingCanBeSaid) {
  sent(client, q("SELECT 1"));
  std::string row;
  wire::MessageWriter(row, 'D').u16(1).u32(4).bytes("abcd");
  got(client, row.substr(0, row.size() - 2));
  EXPECT_EQ(lose(), "ends");
}

TEST_F(Lost, ATransactionIsRolledBackAndStaysFailedUntilItsEnd) {
  sent(client, q("BEGIN"));
  got(client, tag("BEGIN") + z('T'));
  sent(client, q("INSERT INTO t VALUES (1)"));
  EXPECT_EQ(lose(), "E(40001) ZE");
  // The next server is put into a failed transaction first, and says itself what may be done in one.
  EXPECT_EQ(on_next(""), "P() B() E H S B(dbproxy: failed before) S");
}

TEST_F(Lost, TheEndOfARolledBackTransactionNeedsNoServer) {
  for (const std::string end : {"ROLLBACK", "COMMIT"}) {
    sent(client, q("BEGIN"));
    got(client, tag("BEGIN") + z('T'));
    sent(client, q("INSERT INTO t VALUES (1)"));
    EXPECT_EQ(lose(), "E(40001) ZE");
    EXPECT_EQ(alone(q(end)), "C(ROLLBACK) ZI");
    EXPECT_EQ(on_next(q("SELECT 1")), "Q(SELECT 1)");
    server = ServerSession(interner, settings);
    client.attached(server, *std::make_unique<Output>(), *std::make_unique<Output>());
  }
}

TEST_F(Lost, WhoIsIdleInATransactionHearsOfItWithTheNextStatement) {
  for (const bool sql : {true, false}) {
    sent(client, q("BEGIN"));
    got(client, tag("BEGIN") + z('T'));
    EXPECT_EQ(lose(), "");
    if (sql) {
      EXPECT_EQ(alone(q("INSERT INTO t VALUES (1)")), "E(40001) ZE");
    } else {
      EXPECT_EQ(alone(p("", "INSERT INTO t VALUES (1)") + b("") + e() + s()), "E(40001) ZE");
    }
    EXPECT_EQ(alone(q("ROLLBACK")), "C(ROLLBACK) ZI");
    server = ServerSession(interner, settings);
  }
}

TEST_F(Lost, ACommitOfWhatWasLostFailsAndARollbackIsDone) {
  sent(client, q("BEGIN"));
  got(client, tag("BEGIN") + z('T'));
  EXPECT_EQ(lose(), "");
  EXPECT_EQ(alone(q("COMMIT")), "E(40001) ZI");
  server = ServerSession(interner, settings);
  sent(client, q("BEGIN"));
  got(client, tag("BEGIN") + z('T'));
  EXPECT_EQ(lose(), "");
  EXPECT_EQ(alone(q("ROLLBACK")), "C(ROLLBACK) ZI");
  EXPECT_EQ(on_next(q("SELECT 1")), "Q(SELECT 1)");
}

TEST_F(Lost, TheEndOfALostTransactionMayComeByExtendedQuery) {
  const auto begin = [&] {
    server = ServerSession(interner, settings);
    client.attached(server, *std::make_unique<Output>(), *std::make_unique<Output>());
    sent(client, q("BEGIN"));
    got(client, tag("BEGIN") + z('T'));
    EXPECT_EQ(lose(), "");
  };
  sent(client, q("BEGIN"));
  got(client, tag("BEGIN") + z('T'));
  EXPECT_EQ(lose(), "");
  EXPECT_EQ(alone(m('H')), "") << "asks nothing";
  EXPECT_EQ(alone(p("", "COMMIT") + b("") + e() + s()), "E(40001) ZI") << "a COMMIT that fails ends it, too";
  EXPECT_EQ(alone(s()), "ZI");
  EXPECT_EQ(on_next(q("SELECT 1")), "Q(SELECT 1)");
  begin();
  EXPECT_EQ(alone(p("", "ROLLBACK") + b("") + e() + s()), "1 2 C(ROLLBACK) ZI");
  EXPECT_EQ(on_next(q("SELECT 1")), "Q(SELECT 1)");
}

TEST_F(Lost, ACommitThatIsNotAnsweredIsOfUnknownOutcome) {
  for (const std::string text : {"COMMIT", "end", " /* done */ commit", "INSERT INTO t VALUES (1); COMMIT"}) {
    sent(client, q("BEGIN"));
    got(client, tag("BEGIN") + z('T'));
    sent(client, q(text));
    EXPECT_EQ(lose(), "E(08007) ZI") << text;
    server = ServerSession(interner, settings);
  }
  sent(client, q("BEGIN"));
  got(client, tag("BEGIN") + z('T'));
  sent(client, p("", "COMMIT") + b("") + e() + s());
  EXPECT_EQ(lose(), "E(08007) ZI");
}

TEST_F(Lost, AFailedTransactionStaysFailed) {
  sent(client, q("BEGIN"));
  got(client, tag("BEGIN") + z('T'));
  sent(client, q("nonsense"));
  got(client, error("42601") + z('E'));
  EXPECT_EQ(lose(), "");
  EXPECT_EQ(alone(q("ROLLBACK")), "C(ROLLBACK) ZI");
}

TEST_F(Lost, ASequenceWithoutItsSyncIsSkippedToIt) {
  sent(client, p("", "SELECT 1") + b("") + e());
  EXPECT_EQ(lose(), "E(08007)");
  EXPECT_EQ(alone(b("") + e() + s()), "ZI");
  EXPECT_EQ(alone(s()), "ZI");
}

TEST_F(Lost, ASequenceThatWasAnsweredSoFarFailsWithItsNextMessage) {
  sent(client, p("", "SELECT 1") + m('H'));
  got(client, m('1'));
  EXPECT_EQ(lose(), "");
  EXPECT_EQ(alone(b("") + e() + s()), "E(08007) ZI");
  server = ServerSession(interner, settings);
  sent(client, p("", "SELECT 1") + m('H'));
  got(client, m('1'));
  EXPECT_EQ(lose(), "");
  EXPECT_EQ(alone(s()), "E(08007) ZI") << "a Sync is answered once";
  EXPECT_EQ(alone(s()), "ZI");
}

TEST_F(Lost, AfterAnErrorOnlyTheSyncIsLeft) {
  sent(client, p("", "nonsense") + b(""));
  got(client, error("42601"));
  EXPECT_EQ(lose(), "");
  EXPECT_EQ(alone(e() + s()), "ZI");
}

// A pipeline of libpq's has one result for each request, and one for each Sync.
TEST_F(Lost, ASequenceHasOneError) {
  sent(client, p("", "nonsense") + b("") + e() + s());
  got(client, error("42601"));
  EXPECT_EQ(lose(), "ZI");
  server = ServerSession(interner, settings);
  sent(client, q("nonsense"));
  got(client, error("42601"));
  EXPECT_EQ(lose(), "ZI");
  server = ServerSession(interner, settings);
  sent(client, q("BEGIN"));
  got(client, tag("BEGIN") + z('T'));
  sent(client, p("", "nonsense") + b("") + e() + s() + q("SELECT 1"));
  got(client, error("42601"));
  EXPECT_EQ(lose(), "ZE E(40001) ZE");
}

TEST_F(Lost, NothingIsLostBehindACommitThatWasAnswered) {
  for (const std::string begin : {"by itself", "in the sequence"}) {
    for (const std::string end : {"COMMIT", "ROLLBACK"}) {
      const auto before = [&] {
        server = ServerSession(interner, settings);
        if (begin == "by itself") {
          sent(client, q("BEGIN"));
          got(client, tag("BEGIN") + z('T'));
        } else {
          sent(client, p("", "BEGIN") + b("") + e());
          got(client, m('1') + m('2') + tag("BEGIN"));
        }
        sent(client, p("", "INSERT INTO t VALUES (1)") + b("") + e() + p("", end) + b("") + e());
        got(client, m('1') + m('2') + tag("INSERT 0 1") + m('1') + m('2') + tag(end));
      };
      before();
      sent(client, s());
      EXPECT_EQ(lose(), "ZI") << end;
      before();
      EXPECT_EQ(lose(), "");
      EXPECT_EQ(alone(s()), "ZI") << "the Sync was yet to come";
      before();
      sent(client, s() + q("SELECT 1"));
      EXPECT_EQ(lose(), "ZI E(08007) ZI") << "what follows it is lost";
      before();
      sent(client, p("", "INSERT INTO t VALUES (2)") + b("") + e() + s());
      EXPECT_EQ(lose(), "E(08007) ZI") << "so is what follows in its sequence";
    }
  }
  server = ServerSession(interner, settings);
  sent(client, p("", "BEGIN") + b("") + e() + p("", "COMMIT AND CHAIN") + b("") + e() + s());
  got(client, m('1') + m('2') + tag("BEGIN") + m('1') + m('2') + tag("COMMIT"));
  EXPECT_EQ(lose(), "E(08007) ZI") << "there is another transaction";
}

TEST_F(Lost, CopyDataThatStillComesIsDropped) {
  sent(client, q("COPY t FROM STDIN"));
  std::string answer;
  wire::MessageWriter(answer, 'G').u8(0).u16(0);
  got(client, answer);
  std::string data;
  wire::MessageWriter(data, 'd').bytes("row\n");
  sent(client, data);
  EXPECT_EQ(lose(), "E(08007) ZI");
  EXPECT_EQ(alone(data + m('c')), "");
  EXPECT_EQ(on_next(q("SELECT 1")), "Q(SELECT 1)");
}

TEST_F(Lost, TheBodyOfAMessageThatStillComesIsDropped) {
  std::string bind;
  wire::MessageWriter(bind, 'B').cstring("").cstring("").u16(0).u16(1).u32(2000).bytes(std::string(2000, 'x')).u16(0);
  sent(client, p("", "SELECT $1") + bind.substr(0, 1000));
  EXPECT_EQ(lose(), "E(08007)");
  EXPECT_EQ(alone(bind.substr(1000) + e() + s()), "ZI");
}

TEST_F(Lost, WhoIsPinnedEnds) {
  sent(client, q("CREATE TEMP TABLE t (a int)"));
  got(client, tag("CREATE TABLE") + z());
  EXPECT_NE(client.pins(), 0u);
  EXPECT_EQ(lose(), "ends");
}

TEST_F(Lost, SettingsOfATransactionThatWasLostAreAsBefore) {
  sent(client, q("BEGIN"));
  got(client, tag("BEGIN") + z('T'));
  std::string status;
  wire::parameter_status(status, "application_name", "b");
  sent(client, q("SET application_name = 'b'"));
  got(client, status + tag("SET") + z('T'));
  sent(client, q("SET LOCAL work_mem = '8MB'"));
  got(client, tag("SET") + z('T'));
  EXPECT_EQ(lose(), "S");
  EXPECT_EQ(client.settings(), settings);
}

TEST_F(Lost, SettingsThatWereNotReadBackEndTheClient) {
  sent(client, q("SET work_mem = '8MB'"));
  got(client, tag("SET") + z());
  sent(client, q("SELECT 1"));
  EXPECT_EQ(lose(), "ends");
}

TEST_F(Lost, NamesAreAsTheyWereBefore) {
  sent(client, p("a", "SELECT 1") + s());
  got(client, m('1') + z());
  sent(client, p("b", "SELECT 2") + c("a") + s());
  EXPECT_EQ(lose(), "E(08007) ZI");
  EXPECT_EQ(on_next(b("a") + s()), "P(p_1) B(p_1) S");
  sent(client, p("b", "SELECT 3"));
  EXPECT_EQ(verdict, ClientVerdict::kMore);
}

TEST_F(Lost, ABeginThatWasKeptBackAndItsFirstStatement) {
  options.deferred_begin = true;
  EXPECT_EQ(alone(q("BEGIN")), "C(BEGIN) ZT");
  Output to_server, to_client;
  client.attached(server, to_server, to_client);
  EXPECT_NE(sent(client, q("INSERT INTO t VALUES (1)")).find("Q(INSERT"), std::string::npos);
  EXPECT_EQ(lose(), "E(40001) ZE");
  EXPECT_EQ(alone(q("ROLLBACK")), "C(ROLLBACK) ZI");
}

TEST_F(Lost, LastWordsOfTheServerAreNotPassedOnByThemselves) {
  sent(client, q("SELECT 1"));
  EXPECT_EQ(got(client, error("57P01", "FATAL")), "");
  EXPECT_FALSE(server.take_events().fatal_error.empty());
  EXPECT_EQ(lose(error("57P01", "FATAL")), "E(08007) ZI");
}

TEST_F(Lost, WhatTheClientDidItselfIsForItToHear) {
  sent(client, q("SELECT 1"));
  EXPECT_EQ(lose(error("08P01", "FATAL")), "ends");
}

}  // namespace
}  // namespace dbproxy::session::postgres
