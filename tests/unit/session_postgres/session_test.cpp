#include "tests/unit/session_postgres/script.hpp"

namespace dbproxy::session::postgres {
namespace {

TEST_F(Script, ASimpleQueryGoesThroughAndFreesTheServer) {
  EXPECT_EQ(sent(client, q("SELECT 1"), false), "");
  EXPECT_EQ(verdict, ClientVerdict::kNeedServer);
  EXPECT_EQ(sent(client, q("SELECT 1")), "Q(SELECT 1)");
  EXPECT_FALSE(client.can_release(server));
  EXPECT_EQ(got(client, tag("SELECT 1") + z()), "C(SELECT 1) ZI");
  EXPECT_EQ(server_verdict, ServerVerdict::kReady);
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Script, ATransactionKeepsTheServer) {
  sent(client, q("BEGIN"));
  got(client, tag("BEGIN") + z('T'));
  EXPECT_FALSE(client.can_release(server));
  sent(client, q("COMMIT"));
  got(client, tag("COMMIT") + z());
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Script, NamedStatementsAreSharedUnderOurNames) {
  EXPECT_EQ(sent(client, p("mine", "SELECT 1") + d("mine") + s()), "P(p_1) DS(p_1) S");
  EXPECT_EQ(got(client, m('1') + m('n') + z()), "1 n ZI");
  EXPECT_EQ(sent(other, p("x", "SELECT 1") + b("x") + e() + s()), "C(Sp_1) P(p_1) B(p_1) E S");
  EXPECT_EQ(got(other, m('3') + m('1') + m('2') + tag("SELECT 1") + z()), "1 2 C(SELECT 1) ZI");
  EXPECT_EQ(sent(client, b("mine") + e() + s()), "B(p_1) E S");
  EXPECT_EQ(got(client, m('2') + tag("SELECT 1") + z()), "2 C(SELECT 1) ZI");
  EXPECT_EQ(server.prepared_count(), 1u);
}

// Somebody may have changed the schema since it was parsed there.
TEST_F(Script, WhatAClientParsedIsNeverOlderThanItsParse) {
  ServerSession elsewhere{interner, settings};
  auto at = [&](ClientSession& from, const std::string& bytes, const std::string& reply) {
    Output to_server, to_client, out;
    std::size_t consumed = 0;
    from.feed(bytes, consumed, &elsewhere, to_server, to_client, options);
    auto gone = shown(flat(to_server));
    elsewhere.feed(reply, consumed, &from, out);
    return gone;
  };
  const auto run = b("x") + e() + s();
  at(other, p("x", "SELECT 1") + s(), m('1') + z());
  sent(client, p("x", "SELECT 1") + s());
  got(client, m('1') + z());
  EXPECT_EQ(at(client, run, m('3') + m('1') + m('2') + tag("SELECT 1") + z()), "C(Sp_1) P(p_1) B(p_1) E S");
  EXPECT_EQ(at(client, run, m('2') + tag("SELECT 1") + z()), "B(p_1) E S");
  EXPECT_EQ(at(other, run, m('2') + tag("SELECT 1") + z()), "B(p_1) E S");
}

// The server itself has to tell those that parsed it before the change: "cached plan must not change result type".
TEST_F(Script, AChangeOfTheSchemaMakesAnotherStatementOfTheSameText) {
  sent(client, p("x", "TABLE t") + s());
  got(client, m('1') + z());
  EXPECT_EQ(sent(other, q("ALTER TABLE t DROP COLUMN a")), "Q(ALTER TABLE t DROP COLUMN a)");
  got(other, tag("ALTER TABLE") + z());
  EXPECT_TRUE(server.take_events().schema_changed);
  ++options.classify.hazards_domain;
  options.classify.schema_since = cache.tick();
  EXPECT_EQ(sent(other, p("x", "TABLE t") + b("x") + e() + s()), "P(p_2) B(p_2) E S");
  got(other, m('1') + m('2') + tag("SELECT 1") + z());
  EXPECT_EQ(sent(client, b("x") + e() + s()), "B(p_1) E S");
  EXPECT_EQ(got(client, error("0A000") + z()), "E(0A000) ZI");
  EXPECT_EQ(sent(client, b("x") + e() + s()), "B(p_1) E S");
  EXPECT_TRUE(server.take_events().schema_changed);
}

TEST_F(Script, AChangeOfTheSchemaCountsAgainWhenItIsCommitted) {
  sent(client, q("BEGIN"));
  got(client, tag("BEGIN") + z('T'));
  sent(client, q("SELECT 1 AS n INTO made"));
  EXPECT_FALSE(server.take_events().schema_changed);
  got(client, tag("SELECT 1") + z('T'));
  EXPECT_TRUE(server.take_events().schema_changed);
  sent(client, q("SELECT 1"));
  sent(client, q("COMMIT"));
  got(client, tag("SELECT 1") + z('T') + tag("COMMIT") + z());
  EXPECT_TRUE(server.take_events().schema_changed);
  sent(client, q("CREATE TEMP TABLE mine (n int)"));
  got(client, tag("CREATE TABLE") + z());
  EXPECT_FALSE(server.take_events().schema_changed);
}

TEST_F(Script, AStatementIsPreparedAgainWhereTheClientLands) {
  sent(client, p("mine", "SELECT 1") + s());
  got(client, m('1') + z());
  ServerSession elsewhere{interner, settings};
  Output to_server, to_client;
  std::size_t consumed = 0;
  auto bytes = b("mine") + e() + s();
  client.feed(bytes, consumed, &elsewhere, to_server, to_client, options);
  EXPECT_EQ(shown(flat(to_server)), "P(p_1) B(p_1) E S");
  Output out;
  auto reply = m('1') + m('2') + tag("SELECT 1") + z();
  elsewhere.feed(reply, consumed, &client, out);
  EXPECT_EQ(shown(flat(out)), "2 C(SELECT 1) ZI");
}

TEST_F(Script, AnAnswerOfOurOwnWaitsForItsTurn) {
  EXPECT_EQ(sent(client, p("", "SELECT 2") + c("mine") + c("other") + s()), "P() S");
  EXPECT_EQ(told, "");
  EXPECT_EQ(got(client, m('1')), "1 3 3");
  EXPECT_EQ(got(client, z()), "ZI");
}

TEST_F(Script, AnErrorInMidPipelineUndoesWhatWasSkipped) {
  EXPECT_EQ(sent(client, p("a", "SELECT 1") + p("b", "SELEC") + p("c", "SELECT 3") + s()), "P(p_1) P(p_2) P(p_3) S");
  EXPECT_EQ(got(client, m('1') + error("42601")), "1 E(42601)");
  EXPECT_EQ(got(client, z()), "ZI");
  EXPECT_EQ(sent(client, p("c", "SELECT 3") + p("b", "SELECT 2") + s()), "P(p_4) P(p_5) S");
  EXPECT_EQ(got(client, m('1') + m('1') + z()), "1 1 ZI");
}

TEST_F(Script, AfterAnErrorWithoutSyncEverythingIsSkipped) {
  sent(client, p("", "SELEC") + m('H'));
  got(client, error("42601"));
  EXPECT_FALSE(client.can_release(server));
  EXPECT_EQ(sent(client, b("") + e()), "");
  EXPECT_EQ(sent(client, s()), "S");
  got(client, z());
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Script, TheSameNameTwiceIsTheServersErrorInOurWords) {
  sent(client, p("a", "SELECT 1") + s());
  got(client, m('1') + z());
  EXPECT_EQ(sent(client, p("a", "SELECT 2") + s()), "P() B(p_none) S");
  EXPECT_EQ(got(client, m('1') + error("26000") + z()), "E(42P05) ZI");
  EXPECT_EQ(sent(client, b("a") + s()), "B(p_1) S");
}

TEST_F(Script, ANamelessStatementNeverCrossesToAnotherClient) {
  sent(client, p("", "SELECT 'mine'") + s());
  got(client, m('1') + z());
  EXPECT_EQ(sent(other, b("") + s()), "B(p_none) S");
  EXPECT_EQ(got(other, error("26000") + z()), "E(26000) ZI");
  EXPECT_EQ(sent(client, b("") + e() + s()), "P() B() E S");
}

TEST_F(Script, CopyInEatsTheSyncThatCameTooEarly) {
  sent(client, p("", "COPY t FROM STDIN") + b("") + e() + s());
  std::string copy_in;
  wire::MessageWriter(copy_in, 'G').u8(0).u16(0);
  EXPECT_EQ(got(client, m('1') + m('2') + copy_in), "1 2 G");
  std::string data;
  wire::MessageWriter(data, 'd').bytes("1\n");
  EXPECT_EQ(sent(client, data + m('c') + s()), "d c S");
  got(client, tag("COPY 1") + z());
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Script, LateCopyDataIsDropped) {
  std::string data;
  wire::MessageWriter(data, 'd').bytes("1\n");
  EXPECT_EQ(sent(client, data + m('c'), false), "");
  EXPECT_EQ(verdict, ClientVerdict::kMore);
}

TEST_F(Script, ReportedSettingsFollowTheirClient) {
  sent(client, q("SET application_name = 'b'"));
  std::string report;
  wire::parameter_status(report, "application_name", "b");
  EXPECT_EQ(got(client, tag("SET") + report + z()), "C(SET) S ZI");
  EXPECT_TRUE(client.can_release(server));
  client.detaching(server);
  Output to_server, to_client;
  other.attached(server, to_server, to_client);
  EXPECT_EQ(shown(flat(to_server)),
            "Q(BEGIN ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE; SELECT pg_catalog.set_config(E'application_name', "
            "E'a', false); COMMIT)");
  std::string back;
  wire::parameter_status(back, "application_name", "a");
  EXPECT_EQ(got(other, back + tag("SELECT 1") + z()), "");
  EXPECT_EQ(server.settings(), settings);
  client.attached(server, to_server, to_client);
  EXPECT_EQ(shown(flat(to_server)),
            "Q(BEGIN ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE; SELECT pg_catalog.set_config(E'application_name', "
            "E'b', false); COMMIT)");
}

TEST_F(Script, OtherStatePins) {
  for (auto sql : {"SELECT set_config($1, '8MB', false)", "LISTEN x", "CREATE TEMP TABLE t (i int)",
                   "SELECT pg_advisory_lock(1)", "DO $$ begin end $$"}) {
    ClientSession one(cache, settings);
    sent(one, q(sql));
    got(one, tag("X") + z());
    EXPECT_NE(one.pins(), 0u) << sql;
    EXPECT_FALSE(one.can_release(server)) << sql;
  }
}

TEST_F(Script, BindTellsWhatSetConfigSets) {
  const auto bound = [](std::string_view setting, bool null = false) {
    std::string out;
    {
      wire::MessageWriter writer(out, 'B');
      writer.cstring("").cstring("a").u16(0).u16(2);
      writer.u32(null ? ~std::uint32_t{0} : static_cast<std::uint32_t>(setting.size())).bytes(setting);
      writer.u32(1).bytes("x").u16(0);
    }
    return out;
  };
  const auto use = [&](const std::string& message) {
    ClientSession one(cache, settings);
    sent(one, p("a", "SELECT set_config($1, $2, false)") + s());
    got(one, m('1') + z());
    // In two pieces: nothing happens before the value is there.
    EXPECT_EQ(sent(one, message.substr(0, 14)), "");
    sent(one, message + e() + s());
    got(one, m('2') + tag("SELECT 1") + z());
    const auto pins = one.pins();
    EXPECT_FALSE(one.can_release(server));
    EXPECT_EQ(one.wants_settings(server), pins == 0);
    return pins;
  };
  EXPECT_EQ(use(bound("app.tenant")), 0u);
  for (const auto& message : {bound("", true), bound("session_authorization"), bound("a b")}) {
    ServerSession fresh{interner, settings};
    server = std::move(fresh);
    EXPECT_EQ(use(message), bit(PinReason::kSetVariable));
  }
  // What is created under it may be temporary: a probe tells.
  ServerSession fresh{interner, settings};
  server = std::move(fresh);
  EXPECT_EQ(use(bound("search_path")), bit(PinReason::kTemporaryObject));
}

TEST_F(Script, OnlyALoadThatWentThroughPins) {
  sent(client, q("LOAD 'x'"));
  EXPECT_EQ(client.pins(), 0u);
  got(client, error("42501") + z());
  EXPECT_TRUE(client.can_release(server));
  sent(client, q("LOAD 'x'"));
  got(client, tag("LOAD") + z());
  EXPECT_EQ(client.pins(), bit(PinReason::kLoad));
  EXPECT_EQ(client.pin_statement(), "LOAD ?");
}

TEST_F(Script, WhatComesBehindDiscardAllWaitsForIt) {
  const auto discard = p("", "DISCARD ALL") + b("") + e();
  EXPECT_EQ(sent(client, discard + p("", "SELECT pg_advisory_lock(1)") + b("") + e() + s()).find("advisory"),
            std::string::npos);
  EXPECT_EQ(got(client, m('1') + m('2') + tag("DISCARD ALL") + z()), "1 2 C(DISCARD ALL)");
  EXPECT_EQ(client.pins(), 0u);
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Script, WhatComesBehindADiscardAllThatFailsIsSkipped) {
  sent(client, p("", "DISCARD ALL") + b("") + e() + p("", "SELECT 1") + s());
  EXPECT_EQ(got(client, m('1') + m('2') + error("25001") + z()), "1 2 E(25001)");
  EXPECT_FALSE(client.can_release(server));
  EXPECT_EQ(sent(client, p("", "SELECT 1") + s()), "S");
  EXPECT_EQ(got(client, z()), "ZI");
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Script, DiscardAllUnpinsAndForgetsStatements) {
  sent(client, p("a", "SELECT 1") + s());
  got(client, m('1') + z());
  sent(client, q("CREATE TEMP TABLE t (n int)"));
  got(client, tag("CREATE TABLE") + z());
  EXPECT_NE(client.pins(), 0u);
  EXPECT_EQ(sent(client, q("DISCARD ALL") + b("a") + s()), "Q(DISCARD ALL)");
  EXPECT_EQ(verdict, ClientVerdict::kWait);
  got(client, tag("DISCARD ALL") + z());
  EXPECT_EQ(client.pins(), 0u);
  EXPECT_EQ(sent(client, b("a") + s()), "B(a) S");  // unknown: the server says so
}

TEST_F(Script, AnotherWayToReadATextIsAnotherStatement) {
  sent(client, p("a", "SELECT '2020-01-01'::timestamptz") + s());
  std::string report;
  wire::parameter_status(report, "TimeZone", "UTC");
  got(client, m('1') + report + z());
  ClientSession tokyo(cache, interner.with(server.settings(), "TimeZone", "Asia/Tokyo"));
  Output to_server, to_client;
  tokyo.attached(server, to_server, to_client);
  // Behind the replay, before the server has told of it.
  EXPECT_EQ(sent(tokyo, p("x", "SELECT '2020-01-01'::timestamptz") + s()), "P(p_2) S");
}

TEST_F(Script, ANameThatSqlMayHaveMadeIsTheServersBusiness) {
  sent(client, q("PREPARE a AS SELECT 1"));
  got(client, tag("PREPARE") + z());
  EXPECT_EQ(client.pins(), 0u);
  EXPECT_FALSE(client.can_release(server));
  EXPECT_TRUE(server.may_have_names());
  EXPECT_EQ(sent(client, p("a", "SELECT 2") + s()), "P(a) S");
  EXPECT_EQ(got(client, m('E') + z()), "E ZI");
  EXPECT_EQ(sent(client, b("a") + s()), "B(a) S");
  got(client, m('E') + z());
  EXPECT_EQ(sent(client, c("a") + s()), "C(Sa) S");
  got(client, m('3') + z());
  EXPECT_TRUE(client.wants_names(server));
}

TEST_F(Script, WhatSqlPreparesGoesWithItsClient) {
  sent(client, q("PREPARE a (int) AS SELECT $1"));
  got(client, tag("PREPARE") + z());
  ASSERT_TRUE(client.wants_names(server));
  Output out;
  client.read_names(server, out);
  flat(out);
  EXPECT_EQ(sent(client, q("EXECUTE a(1)")), "");
  EXPECT_EQ(verdict, ClientVerdict::kWait);
  std::string row;
  {
    wire::MessageWriter writer(row, 'D');
    writer.u16(4);
    for (std::string_view column : {"a", "PREPARE a (int) AS SELECT $1", "23", "t"})
      writer.u32(static_cast<std::uint32_t>(column.size())).bytes(column);
  }
  EXPECT_EQ(got(client, row + tag("SELECT 1") + z()), "");
  EXPECT_TRUE(server.take_events().names_ready);
  EXPECT_TRUE(client.names_read(server, out, options));
  EXPECT_EQ(shown(flat(out)), "Q(DEALLOCATE \"a\")");
  EXPECT_EQ(got(client, tag("DEALLOCATE") + z()), "");
  EXPECT_TRUE(client.can_release(server));
  EXPECT_EQ(sent(client, q("EXECUTE a(1)")), "P(p_1) S Q(EXECUTE p_1(1))");
  EXPECT_EQ(got(client, m('1') + z() + tag("SELECT 1") + z()), "C(SELECT 1) ZI");
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Script, DeallocateFindsTheClientsOwnName) {
  sent(client, p("a", "SELECT 1") + s());
  got(client, m('1') + z());
  EXPECT_EQ(sent(client, q("DEALLOCATE a")), "C(Sa) P(a) S Q(DEALLOCATE a)");
  EXPECT_EQ(got(client, m('3') + m('1') + z() + tag("DEALLOCATE") + z()), "C(DEALLOCATE) ZI");
  EXPECT_EQ(client.pins(), 0u);
  EXPECT_EQ(sent(client, p("a", "SELECT 2") + s()), "P(p_2) S");
}

TEST_F(Script, ExecuteInSqlFindsTheClientsOwnStatement) {
  sent(client, p("a", "SELECT 1") + s());
  got(client, m('1') + z());
  EXPECT_EQ(sent(client, q("EXECUTE a")), "Q(EXECUTE p_1)");
  EXPECT_EQ(got(client, tag("SELECT 1") + z()), "C(SELECT 1) ZI");
  EXPECT_TRUE(client.can_release(server));
  // In one of several statements the client's own name is put there, and taken away again.
  EXPECT_EQ(sent(client, q("SELECT 1; EXECUTE a")), "C(Sa) P(a) S Q(SELECT 1; EXECUTE a)");
  got(client, m('3') + m('1') + z() + tag("SELECT 1") + tag("SELECT 1") + z());
  EXPECT_EQ(client.pins(), 0u);
  EXPECT_TRUE(client.wants_names(server));
}

TEST_F(Script, WhatIsExecutedInSqlIsJudgedByItsStatement) {
  sent(client, p("a", "SELECT pg_advisory_lock(1)") + s());
  got(client, m('1') + z());
  sent(client, q("EXECUTE a"));
  EXPECT_EQ(client.pins(), bit(PinReason::kAdvisoryLock));
}

TEST_F(Script, ACopyBehindWhatIsWaitedForGetsItsData) {
  std::string copying, data;
  wire::MessageWriter(copying, 'G').u8(0).u16(0);
  wire::MessageWriter(data, 'd').bytes("row\n");
  EXPECT_EQ(sent(client, q("DEALLOCATE ALL; COPY t FROM STDIN") + data), "Q(DEALLOCATE ALL; COPY t FROM STDIN)");
  EXPECT_EQ(verdict, ClientVerdict::kWait);
  EXPECT_TRUE(client.held());
  got(client, tag("DEALLOCATE ALL") + copying);
  EXPECT_EQ(sent(client, data + m('c')), "d c");
  EXPECT_EQ(got(client, tag("COPY 1") + z()), "C(COPY 1) ZI");
  EXPECT_EQ(sent(client, q("SELECT 1")), "Q(SELECT 1)");
}

TEST_F(Script, WhoSaysNoMoreIsNotWaitedFor) {
  sent(client, q("DEALLOCATE ALL"));
  EXPECT_FALSE(client.held());
  got(client, tag("DEALLOCATE ALL") + z());
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Script, AStatementMayDropItself) {
  for (const std::string text : {"DEALLOCATE a", "DEALLOCATE ALL", "DISCARD ALL"}) {
    sent(client, p("a", text) + s());
    got(client, m('1') + z());
    const auto name = sent(client, d("a") + s());
    got(client, m('t') + m('n') + z());
    const auto seen = sent(client, b("a") + e() + s());
    EXPECT_NE(seen.find("B(p_"), std::string::npos) << seen << " after " << name;
    // Where the client's own name is put there first, that is hidden.
    const auto put = seen.find("P(a)") != std::string::npos ? m('3') + m('1') : "";
    EXPECT_EQ(got(client, put + m('2') + tag(text) + z()), "2 C(" + text + ") ZI") << text;
    ASSERT_EQ(client.wants_names(server), !put.empty()) << text;
    if (!put.empty()) {
      Output out;
      client.read_names(server, out);
      flat(out);
      got(client, tag("SELECT 0") + z());
      EXPECT_TRUE(client.names_read(server, out, options));
      EXPECT_EQ(shown(flat(out)), "");
    }
    sent(client, b("a") + s());
    EXPECT_EQ(got(client, error("26000") + z()).substr(0, 1), "E") << text;
  }
}

TEST_F(Script, SeveralNamesInOneTextAreAllThere) {
  sent(client, p("a", "SELECT 1") + p("b", "SELECT 2") + s());
  got(client, m('1') + m('1') + z());
  auto seen = sent(client, q("DEALLOCATE a; DEALLOCATE b"));
  EXPECT_NE(seen.find("P(a)"), std::string::npos) << seen;
  EXPECT_NE(seen.find("P(b)"), std::string::npos) << seen;
  EXPECT_FALSE(client.can_release(server));
}

TEST_F(Script, ASequenceWithoutItsSyncIsUndoneWhenTheClientIsGone) {
  sent(client, p("", "INSERT INTO t VALUES (1)") + b("") + e());
  server.forget_client();
  Output to_server, out;
  EXPECT_TRUE(server.finish_sequence(to_server));
  EXPECT_EQ(shown(flat(to_server)), "B(dbproxy: abandoned) S");
  std::size_t consumed = 0;
  auto reply = m('1') + m('2') + tag("INSERT 0 1") + error("26000") + z();
  server.feed(reply, consumed, nullptr, out);
  EXPECT_TRUE(server.idle());
}

TEST_F(Script, MessagesThatLieAreRefused) {
  sent(client, std::string("Q\xff\xff\xff\xff", 5));
  EXPECT_EQ(verdict, ClientVerdict::kRefuse);
  sent(client, std::string("Q\0\0\0\x05x", 6));
  EXPECT_EQ(verdict, ClientVerdict::kRefuse);
  sent(client, std::string("P\0\0\0\x06\0\0", 7));
  EXPECT_EQ(verdict, ClientVerdict::kRefuse);
}

// The same conversation, its bytes cut at every place: what comes out is the same.
TEST_F(Script, EverySplitGivesTheSame) {
  auto request = p("mine", "SELECT $1") + b("mine") + d("mine") + e() + c("mine") + s() + q("SELECT 2");
  auto whole = [&](std::size_t cut) {
    StatementCache fresh{"p_"};
    ClientSession one(fresh, settings);
    ServerSession upstream(interner, settings);
    std::string to_server_bytes, buffer;
    for (const auto& piece : {request.substr(0, cut), request.substr(cut)}) {
      buffer += piece;
      Output to_server, to_client;
      std::size_t consumed = 0;
      EXPECT_EQ(one.feed(buffer, consumed, &upstream, to_server, to_client, options), ClientVerdict::kMore);
      to_server_bytes += flat(to_server);
      buffer.erase(0, consumed);
    }
    return to_server_bytes;
  };
  auto expected = whole(0);
  for (std::size_t cut = 1; cut <= request.size(); ++cut) ASSERT_EQ(whole(cut), expected) << cut;
}

TEST_F(Script, BeginByExtendedQueryIsKeptBackLikeASimpleOne) {
  options.deferred_begin = true;
  std::string describe;
  wire::MessageWriter(describe, 'D').u8('P').cstring("");
  EXPECT_EQ(sent(client, p("", "BEGIN") + b("") + describe + e() + s(), false), "");
  EXPECT_EQ(verdict, ClientVerdict::kMore);
  EXPECT_EQ(shown(std::exchange(told, {})), "1 2 n C(BEGIN) ZT");
  EXPECT_TRUE(client.begin_deferred());
  EXPECT_EQ(sent(client, p("", "COMMIT") + b("") + e() + s(), false), "");
  EXPECT_EQ(shown(std::exchange(told, {})), "1 2 C(COMMIT) ZI");
  EXPECT_FALSE(client.begin_deferred());
  // Not all of it, another name, something else behind it: for the server.
  for (const auto& bytes : {p("", "BEGIN") + b("") + e(), p("", "BEGIN"), p("x", "BEGIN") + b("x") + e() + s(),
                            p("", "BEGIN") + b("") + e() + p("", "SELECT 1") + b("") + e() + s(),
                            p("", "SELECT 1") + b("") + e() + s(), p("", "COMMIT") + b("") + e() + s()}) {
    sent(client, bytes, false);
    EXPECT_EQ(verdict, ClientVerdict::kNeedServer);
    EXPECT_EQ(told, "");
  }
  options.deferred_begin = false;
  sent(client, p("", "BEGIN") + b("") + e() + s(), false);
  EXPECT_EQ(verdict, ClientVerdict::kNeedServer);
}

TEST_F(Script, DiscardAllNeedsNoServer) {
  Settings::Values tracked = {{"work_mem", "3MB"}};
  ClientSession mine(cache, interner.with_tracked(settings, tracked));
  mine.started_with(interner, {{"application_name", "a"}, {"work_mem", "3MB"}});
  sent(mine, p("x", "SELECT 1") + s());
  got(mine, m('1') + z());
  std::string change;
  wire::parameter_status(change, "application_name", "b");
  sent(mine, q("SET application_name = 'b'"));
  got(mine, tag("SET") + change + z());
  mine.detaching(server);
  EXPECT_EQ(sent(mine, q("discard all;"), false), "");
  EXPECT_EQ(shown(told), "C(DISCARD ALL) S ZI");
  EXPECT_EQ(*mine.settings()->find("application_name"), "a");
  EXPECT_EQ(*mine.settings()->find_tracked("work_mem"), "3MB");
  told.clear();
  sent(mine, b("x") + e() + s());
  EXPECT_EQ(got(mine, error("26000") + z()), "E(26000) ZI");
}

TEST_F(Script, TimeLimitsAreReadAsTheServerShowsThem) {
  for (const auto& [value, milliseconds] :
       {std::pair{"400ms", 400}, {"2s", 2000}, {"3min", 180000}, {"0", 0}, {"x", 0}}) {
    ClientSession one(cache, interner.with_tracked(settings, {{"limit", value}}));
    EXPECT_EQ(one.time_limit("limit").count(), milliseconds) << value;
    EXPECT_EQ(one.time_limit("other").count(), 0);
  }
}

// 25006 tells of a server that is not the writer only where it does not say that it is.
TEST_F(Script, ARefusedWriteTellsOfTheServerOnlyInRecovery) {
  const auto refused = [&](ServerSession& at) {
    Output to_server, to_client;
    std::size_t consumed = 0;
    ClientSession writer(cache, settings);
    verdict = writer.feed(q("INSERT INTO t VALUES (1)"), consumed, &at, to_server, to_client, options);
    std::string error;
    wire::error_response(error, {.severity = "ERROR", .sqlstate = "25006", .message = "read-only"});
    at.feed(error, consumed, &writer, to_client);
    return at.take_events().refused_write;
  };
  EXPECT_TRUE(refused(server));  // before PostgreSQL 14: it does not tell
  ServerSession writer(interner, interner.with(settings, "in_hot_standby", "off"));
  EXPECT_FALSE(refused(writer));
  ServerSession reader(interner, interner.with(settings, "in_hot_standby", "on"));
  EXPECT_TRUE(refused(reader));
}

}  // namespace
}  // namespace dbproxy::session::postgres
