#include "tests/unit/session_mysql/world.hpp"

namespace dbproxy::session::mysql {
namespace {

using namespace test;
using namespace std::string_literals;
using namespace std::string_view_literals;
using wire::Command;

TEST(MysqlSession, AQueryAndItsRowsGoThroughUntouched) {
  World world;
  Client client(world);
  EXPECT_EQ(world.say(client, query("SELECT 1"), false), ClientVerdict::kNeedServer);
  const Says says = Says().raw("\x01").raw("def").raw("\x01x").raw("\0"sv).end();
  world.run(client, "SELECT 1", says);
  EXPECT_EQ(world.seen(), says.out);
  EXPECT_TRUE(client.can_release(world.server));
  const ServerEvents events = world.server.take_events();
  EXPECT_EQ(events.queries_done, 1u);
  EXPECT_EQ(events.transactions_done, 1u);
}

TEST(MysqlSession, AnyCutOfTheAnswerIsTheSame) {
  const Says says = Says().raw("\x02").raw("def").raw("def").raw(std::string(300, 'r')).end();
  for (const std::uint32_t theirs : {kServer, kOld}) {
    std::string expected;
    for (std::size_t cut = says.out.size() + 1; cut-- > 0;) {
      World world;
      Client client(world, 1, theirs);
      world.say(client, query("SELECT 1"));
      const std::string first = says.out.substr(0, cut);
      world.serve(&client, first);
      EXPECT_EQ(world.serve(&client, says.out.substr(first.size() - world.left)),
                cut == says.out.size() ? ServerVerdict::kMore : ServerVerdict::kReady);
      if (expected.empty()) expected = world.to_client;
      EXPECT_EQ(world.seen(), expected) << cut;
    }
  }
}

TEST(MysqlSession, ClientsWithoutDeprecateEofGetTheirEofs) {
  World world;
  Client client(world, 1, kOld);
  world.say(client, query("SELECT 1"));
  world.serve(client, Says().raw("\x01").raw("def").raw("\x01x").end());
  std::string expected;
  wire::packet(expected, 1, "\x01");
  wire::packet(expected, 2, "def");
  wire::eof(expected, 3, 0, 2);
  wire::packet(expected, 4, "\x01x");
  wire::eof(expected, 5, 0, 2);
  EXPECT_EQ(world.seen(), expected);
}

TEST(MysqlSession, WhatPrepareSaysGetsItsEofs) {
  World world;
  Client client(world, 1, kOld);
  world.say(client, request(Command::kStmtPrepare, "SELECT a FROM t WHERE b = ?"));
  EXPECT_EQ(world.serve(client, Says().raw("\0\x63\0\0\0\x01\0\x01\0\0\0\0"sv).raw("param").raw("column")),
            ServerVerdict::kReady);
  std::string expected;
  wire::packet(expected, 1, "\0\x01\0\0\0\x01\0\x01\0\0\0\0"sv);  // the client's own number
  wire::packet(expected, 2, "param");
  wire::eof(expected, 3, 0, 2);
  wire::packet(expected, 4, "column");
  wire::eof(expected, 5, 0, 2);
  EXPECT_EQ(world.seen(), expected);
}

TEST(MysqlSession, CursorsOfOldClientsEndWithTheirColumns) {
  World world;
  Client client(world, 1, kOld);
  world.say(client, request(Command::kStmtPrepare, "SELECT 1"));
  world.serve(client, Says().raw("\0\x63\0\0\0\x01\0\0\0\0\0\0"sv).raw("column"));
  world.seen();
  world.say(client, request(Command::kStmtExecute, "\x01\0\0\0\x01\x01\0\0\0"sv));
  EXPECT_EQ(world.to_server.substr(5, 4), "\x63\0\0\0"sv);
  wire::Ok cursor;
  cursor.status = wire::status::kAutocommit | wire::status::kCursorExists;
  EXPECT_EQ(world.serve(client, Says().raw("\x01").raw("def").end(cursor)), ServerVerdict::kReady);
  std::string expected;
  wire::packet(expected, 1, "\x01");
  wire::packet(expected, 2, "def");
  wire::eof(expected, 3, 0, cursor.status);
  EXPECT_EQ(world.seen(), expected);
  EXPECT_EQ(pin_names(client.pins()), "cursor");
  world.say(client, request(Command::kStmtFetch, "\x01\0\0\0\x02\0\0\0"sv));
  cursor.status = wire::status::kAutocommit | wire::status::kLastRowSent;
  world.serve(client, Says().raw("\0\0x"sv).end(cursor));
  EXPECT_EQ(client.pins(), 0u);
}

TEST(MysqlSession, TrackedStateIsForUsAndWhatIsUsualForClients) {
  World world;
  Client plain(world, 1, kOld), tracking(world, 2);
  const auto says = [] {
    return Says()
        .variable("max_join_size", "5")
        .variable("autocommit", "OFF")
        .track(wire::StateType::kTransactionState, "________")
        .schema("orders")
        .status(0);
  };
  world.run(plain, "SET max_join_size = 5, autocommit = 0", says());
  EXPECT_EQ(world.seen(), "\x07\0\0\x01\0\0\0\0\0\0\0"sv);
  EXPECT_EQ(plain.pins(), 0u);
  world.server.forget_client();
  plain.detaching(world.server);
  ASSERT_NE(plain.settings()->find("max_join_size"), nullptr);
  EXPECT_EQ(plain.settings()->schema(), "orders");

  World other;
  other.run(tracking, "SET max_join_size = 5, autocommit = 0", says());
  wire::Ok read;
  const std::string got = other.seen();
  ASSERT_TRUE(wire::read_ok(std::string_view(got).substr(4), kServer, read));
  wire::StateReader reader(read.state);
  wire::StateChange change;
  ASSERT_TRUE(reader.next(change));
  EXPECT_EQ(change.name, "autocommit");
  ASSERT_TRUE(reader.next(change));
  EXPECT_EQ(change.value, "orders");
  EXPECT_FALSE(reader.next(change));
}

TEST(MysqlSession, SettingsFollowTheirClientStepByStep) {
  World world;
  Client first(world, 1), second(world, 2, kServer, "billing");
  world.run(first, "SET time_zone = '+01:00'", Says().variable("time_zone", "+01:00").ok());
  ASSERT_TRUE(first.can_release(world.server));
  first.detaching(world.server);
  world.seen();

  // The other needs the zone that there was, then its schema, then its query: one after the other.
  EXPECT_EQ(world.say(second, query("SELECT 2")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("SET @@SESSION.time_zone = DEFAULT"));
  EXPECT_FALSE(second.can_release(world.server));
  EXPECT_EQ(world.say(second, query("SELECT 2")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, "");
  EXPECT_EQ(world.serve(second, Says().variable("time_zone", "SYSTEM").ok()), ServerVerdict::kReady);
  EXPECT_EQ(world.say(second, query("SELECT 2")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, request(Command::kInitDb, "billing"));
  EXPECT_EQ(world.serve(second, Says().schema("billing").ok()), ServerVerdict::kReady);
  EXPECT_EQ(world.seen(), "");
  world.run(second, "SELECT 2", Says().ok());
  second.detaching(world.server);

  EXPECT_EQ(world.say(first, query("SELECT 3")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("SET @@SESSION.time_zone = '+01:00'"));
}

TEST(MysqlSession, AConnectionThatOneWasOnBeforeIsNotAsOneLeftTheOther) {
  World here, there;
  Client client(here);
  wire::Ok inserted;
  inserted.affected_rows = 1;
  inserted.last_insert_id = 1;
  here.run(client, "INSERT INTO t VALUES (NULL)", Says().ok(inserted));
  client.detaching(here.server);
  there.run(client, "SET time_zone = '+01:00'", Says().variable("time_zone", "+01:00").ok());
  inserted.affected_rows = 2;
  inserted.last_insert_id = 5;
  there.run(client, "INSERT INTO t VALUES (NULL), (NULL)", Says().ok(inserted));
  client.detaching(there.server);
  EXPECT_EQ(here.say(client, query("SELECT ROW_COUNT(), LAST_INSERT_ID()")), ClientVerdict::kWait);
  EXPECT_EQ(here.to_server, query("SET @@SESSION.time_zone = '+01:00'"));
  here.serve(client, Says().ok());
  EXPECT_EQ(here.say(client, query("SELECT ROW_COUNT(), LAST_INSERT_ID()")), ClientVerdict::kWait);
  EXPECT_EQ(here.to_server, query("SET last_insert_id = 5"));
  here.serve(client, Says().ok());
  EXPECT_EQ(here.say(client, query("SELECT ROW_COUNT(), LAST_INSERT_ID()")), ClientVerdict::kMore);
  EXPECT_EQ(here.to_server,
            query("SELECT CAST(COALESCE(2, 9223372036854775807) AS SIGNED) AS `ROW_COUNT()`, LAST_INSERT_ID()"));
}

TEST(MysqlSession, ASchemaThatIsGoneIsTheAnswer) {
  World world;
  Client client(world, 1, kServer, "gone");
  EXPECT_EQ(world.say(client, query("SELECT 1")), ClientVerdict::kWait);
  EXPECT_EQ(world.serve(client, Says().error(1049)), ServerVerdict::kReady);
  EXPECT_EQ(world.say(client, query("SELECT 1")), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, "");
  EXPECT_EQ(world.seen(), Says().error(1049).out);
  // It may go to another.
  EXPECT_EQ(world.say(client, request(Command::kInitDb, "orders")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, request(Command::kInitDb, "gone"));
  EXPECT_EQ(world.serve(client, Says().error(1049)), ServerVerdict::kReady);
  EXPECT_EQ(world.say(client, request(Command::kInitDb, "orders")), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, request(Command::kInitDb, "orders"));
}

TEST(MysqlSession, SettingsThatCannotBePutEndTheConnection) {
  World world;
  Client first(world, 1), second(world, 2);
  world.run(first, "SET sql_mode = 'ANSI'", Says().variable("sql_mode", "ANSI").ok());
  first.detaching(world.server);
  world.say(second, query("SELECT 1"));
  EXPECT_EQ(world.serve(second, Says().error(1231)), ServerVerdict::kReplayFailed);
}

TEST(MysqlSession, ChangesThatNobodyCanExplainPin) {
  const auto pinned = [](std::string_view sql, const Says& says) {
    World world;
    Client client(world);
    world.run(client, sql, says);
    EXPECT_EQ(client.can_release(world.server), client.pins() == 0 && !world.server.needs_start());
    return pin_names(client.pins());
  };
  EXPECT_EQ(pinned("SET x = 1", Says().changed().ok()), "set_variable");
  EXPECT_EQ(pinned("SET x = 1", Says().ok()), "set_variable");  // not reported at all
  EXPECT_EQ(pinned("SET x = 1, y = 2", Says().variable("x", "1").ok()), "set_variable");
  EXPECT_EQ(pinned("SET x = 1, y = 2", Says().variable("x", "1").variable("y", "2").ok()), "");
  EXPECT_EQ(pinned("SET transaction_isolation = 'SERIALIZABLE'", Says().variable("tx_isolation", "SERIALIZABLE").ok()),
            "");
  EXPECT_EQ(pinned("SET timestamp = 5", Says().variable("timestamp", "5.000000").ok()), "set_variable");
  EXPECT_EQ(pinned("SELECT f()", Says().raw("\x01").raw("def").changed().end()), "opaque");
  EXPECT_EQ(pinned("INSERT INTO t VALUES (1)", Says().changed().ok()), "opaque");
  EXPECT_EQ(pinned("INSERT INTO t VALUES (1)", Says().ok()), "");
  EXPECT_EQ(pinned("USE orders", Says().schema("orders").ok()), "");
  EXPECT_EQ(pinned("SET session_track_schema = OFF", Says().changed().ok()), "");
}

TEST(MysqlSession, AResultOfACallIsFollowedByAnotherForOldClientsToo) {
  for (const auto& [sql, flags] : {std::pair("CALL p()", "\x0a"s), std::pair("SELECT 1", "\x02"s)}) {
    World world;
    Client client(world, 1, kOld);
    world.say(client, query(sql));
    world.serve(client, Says().raw("\x01").raw("def").raw("\x01x").end());
    const std::string eof = "\xfe\0\0"s + flags + '\0';
    EXPECT_NE(world.seen().find("\x05\0\0\x03"s + eof), std::string::npos) << sql;
  }
}

TEST(MysqlSession, SettingsThatComeWithTrackersAreSetWithoutThem) {
  const auto sent = [](std::string_view sql) {
    World world;
    Client client(world);
    EXPECT_EQ(world.say(client, query(sql)), ClientVerdict::kMore);
    const std::string text = world.to_server.substr(5);
    EXPECT_EQ(world.serve(client, Says().variable("sql_mode", "ANSI").ok()), ServerVerdict::kReady);
    EXPECT_EQ(client.pins(), 0u) << sql;
    EXPECT_EQ(world.server.needs_start(), text == sql) << sql;
    return text;
  };
  EXPECT_EQ(
      sent("set sql_mode=CONCAT(@@sql_mode,',ANSI'),session_track_system_variables = CONCAT(@@global.x, ',a,b') , "
           "NAMES utf8mb4"),
      "SET sql_mode=CONCAT(@@sql_mode,',ANSI'), NAMES utf8mb4");
  EXPECT_EQ(sent("SET SESSION session_track_schema = OFF, `sql_mode` := 'a''b, session_track_schema = 1'"),
            "SET `sql_mode` := 'a''b, session_track_schema = 1'");
  EXPECT_EQ(sent("SET sql_mode = 'ANSI', @@session.session_track_state_change = 0;"), "SET sql_mode = 'ANSI'");
  EXPECT_EQ(sent("SET sql_mode = 'ANSI', GLOBAL session_track_schema = 0, @@session_track_schema = 1"),
            "SET sql_mode = 'ANSI', GLOBAL session_track_schema = 0");
  for (const std::string_view as_it_is :
       {"SET session_track_schema = 1", "SET sql_mode = '' /*!5 , session_track_schema = 1*/"})
    EXPECT_EQ(sent(as_it_is), as_it_is);
}

TEST(MysqlSession, TheServersTrackersAreKeptOn) {
  World world;
  Client client(world);
  world.run(client, "SET session_track_schema = OFF", Says().changed().ok());
  EXPECT_FALSE(client.can_release(world.server));
  world.seen();
  EXPECT_EQ(world.say(client, query("SELECT 1")), ClientVerdict::kWait);
  EXPECT_NE(world.to_server.find("session_track_schema = ON"), std::string::npos);
  EXPECT_EQ(world.serve(client, Says().ok()), ServerVerdict::kReady);
  EXPECT_EQ(world.seen(), "");
  world.run(client, "SELECT 1", Says().ok());
  EXPECT_TRUE(client.can_release(world.server));
}

TEST(MysqlSession, TransactionsErrorsAndWarningsKeepTheConnection) {
  World world;
  Client client(world);
  world.run(client, "BEGIN", Says().status(wire::status::kInTransaction | wire::status::kAutocommit));
  EXPECT_FALSE(client.can_release(world.server));
  world.run(client, "COMMIT", Says().ok());
  EXPECT_TRUE(client.can_release(world.server));
  world.run(client, "SELEC", Says().error());
  EXPECT_FALSE(client.can_release(world.server));
  world.run(client, "SELECT 1", Says().ok());
  EXPECT_TRUE(client.can_release(world.server));
  wire::Ok warned;
  warned.warnings = 1;
  world.run(client, "INSERT INTO t VALUES ('x')", Says().ok(warned));
  EXPECT_FALSE(client.can_release(world.server));
  world.run(client, "SELECT 1", Says().ok());
  EXPECT_TRUE(client.can_release(world.server));
  world.run(client, "SET TRANSACTION READ ONLY",
            Says().track(wire::StateType::kCharacteristics, "SET TRANSACTION READ ONLY;").ok());
  EXPECT_FALSE(client.can_release(world.server));
  world.run(client, "SELECT 1", Says().track(wire::StateType::kCharacteristics, "").ok());
  EXPECT_TRUE(client.can_release(world.server));
}

TEST(MysqlSession, LocksOnTablesPinUntilTheyAreGone) {
  World world;
  Client client(world);
  world.run(client, "LOCK TABLES t WRITE", Says().track(wire::StateType::kTransactionState, "I______L").ok());
  EXPECT_EQ(pin_names(client.pins()), "lock_tables");
  world.run(client, "UNLOCK TABLES", Says().track(wire::StateType::kTransactionState, "________").ok());
  EXPECT_TRUE(client.can_release(world.server));
}

TEST(MysqlSession, ResetEndsEveryPin) {
  World world;
  Client client(world);
  world.run(client, "SELECT GET_LOCK('a', 1)", Says().ok());
  world.run(client, "SET time_zone = '+01:00'", Says().variable("time_zone", "+01:00").ok());
  EXPECT_EQ(pin_names(client.pins()), "lock");
  EXPECT_EQ(client.pin_statement(), "SELECT GET_LOCK(?, ?)");
  world.seen();
  EXPECT_EQ(world.say(client, request(Command::kResetConnection)), ClientVerdict::kMore);
  EXPECT_EQ(world.serve(client, Says().ok()), ServerVerdict::kReady);
  EXPECT_EQ(world.seen(), Says().ok().out);
  EXPECT_EQ(client.pins(), 0u);
  EXPECT_EQ(world.server.settings()->find("time_zone"), nullptr);
  // The trackers have gone with everything else.
  EXPECT_TRUE(world.server.needs_start());
  EXPECT_FALSE(client.can_release(world.server));
}

TEST(MysqlSession, AnsweredHere) {
  World world;
  Client client(world);
  EXPECT_EQ(world.say(client, request(Command::kPing), false), ClientVerdict::kMore);
  EXPECT_EQ(world.seen(), "\x07\0\0\x01\0\0\0\x02\0\0\0"sv);
  // What a new session has is the server's to say.
  EXPECT_EQ(world.say(client, request(Command::kResetConnection), false), ClientVerdict::kNeedServer);
  EXPECT_EQ(world.say(client, request(Command::kBinlogDump, "x"), false), ClientVerdict::kMore);
  EXPECT_EQ(world.seen().substr(4, 1), "\xff");
  EXPECT_EQ(client.take_answered_here(), 2u);
  EXPECT_EQ(world.say(client, request(Command::kQuit), false), ClientVerdict::kTerminate);
  EXPECT_EQ(world.say(client, request(Command::kChangeUser, "app"), false), ClientVerdict::kChangeUser);
  EXPECT_EQ(client.change_user(),
            "\x11"
            "app");
  EXPECT_EQ(world.say(client, "\x01\0\0\x05\x0e"s), ClientVerdict::kRefuse);
}

TEST(MysqlSession, KillIsForTheWorker) {
  World world;
  Client client(world);
  EXPECT_EQ(world.say(client, query("KILL QUERY 7")), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, "");
  const auto kill = client.take_kill();
  ASSERT_TRUE(kill && kill->query_only);
  EXPECT_EQ(kill->id, 7u);
  Output out;
  client.answer_kill(0, out);
  EXPECT_EQ(drain(out), "\x07\0\0\x01\0\0\0\x02\0\0\0"sv);
  EXPECT_EQ(world.say(client, request(Command::kProcessKill, "\x09\0\0\0"sv)), ClientVerdict::kMore);
  EXPECT_EQ(client.take_kill()->id, 9u);
}

TEST(MysqlSession, LastInsertIdIsPutWhereItIsAskedFor) {
  World world;
  Client first(world, 1), second(world, 2);
  wire::Ok inserted;
  inserted.affected_rows = 3;
  inserted.last_insert_id = 41;
  world.run(first, "INSERT INTO t VALUES (NULL)", Says().ok(inserted));
  ASSERT_TRUE(first.can_release(world.server));
  first.detaching(world.server);
  world.run(second, "SELECT 1", Says().ok());
  second.detaching(world.server);
  world.run(first, "SELECT 1", Says().ok());  // nobody else has inserted: it is still there
  EXPECT_EQ(world.say(first, query("SELECT LAST_INSERT_ID()")), ClientVerdict::kMore);
  world.serve(first, Says().ok());
  first.detaching(world.server);
  EXPECT_EQ(world.say(second, query("SELECT LAST_INSERT_ID()")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("SET last_insert_id = 0"));
  world.serve(second, Says().changed().ok());
  EXPECT_EQ(world.say(second, query("SELECT LAST_INSERT_ID()")), ClientVerdict::kMore);
  world.serve(second, Says().ok());
  second.detaching(world.server);
  EXPECT_EQ(world.say(first, query("SELECT LAST_INSERT_ID()")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("SET last_insert_id = 41"));
}

TEST(MysqlSession, WhatAProcedureMakesOfLastInsertIdIsItsClients) {
  World world;
  Client other(world, 1), client(world, 2);
  wire::Ok inserted;
  inserted.last_insert_id = 41;
  world.run(other, "INSERT INTO t VALUES (NULL)", Says().ok(inserted));
  other.detaching(world.server);
  // Its OK will not tell: so it begins with this client's.
  EXPECT_EQ(world.say(client, query("CALL adds()")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("SET last_insert_id = 0"));
  world.serve(client, Says().ok());
  world.run(client, "CALL adds()", Says().ok());
  world.run(client, "SELECT LAST_INSERT_ID()", Says().ok());
}

TEST(MysqlSession, WhereNobodyHasInsertedThereIsNoLastInsertIdToBePut) {
  World world;
  Client client(world, 1);
  world.run(client, "CALL adds()", Says().ok());
  world.run(client, "SELECT LAST_INSERT_ID()", Says().ok());
}

TEST(MysqlSession, RowCountOfANewSessionIsNothing) {
  World world;
  Client client(world, 1);
  EXPECT_EQ(world.say(client, query("SELECT ROW_COUNT()")), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, query("SELECT CAST(COALESCE(0, 9223372036854775807) AS SIGNED) AS `ROW_COUNT()`"));
}

TEST(MysqlSession, RowCountOfAStatementThatRanElsewhere) {
  World world;
  Client first(world, 1), second(world, 2);
  wire::Ok inserted;
  inserted.affected_rows = 3;
  world.run(first, "INSERT INTO t VALUES (1), (2), (3)", Says().ok(inserted));
  world.run(second, "SELECT 1", Says().ok());
  EXPECT_EQ(world.say(first, query("SELECT ROW_COUNT()")), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, query("SELECT CAST(COALESCE(3, 9223372036854775807) AS SIGNED) AS `ROW_COUNT()`"));
  world.serve(first, Says()
                         .raw("\x01")
                         .raw("def")
                         .raw("\x01"
                              "3")
                         .end());
  world.run(second, "SELECT 1", Says().ok());
  EXPECT_EQ(world.say(first, query("SELECT 'ROW_COUNT()', ROW_COUNT( ) + FOUND_ROWS()")), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, query("SELECT 'ROW_COUNT()', CAST(COALESCE(-1, 9223372036854775807) AS SIGNED) + "
                                   "CAST(COALESCE(1, 9223372036854775807) AS SIGNED)"));
}

TEST(MysqlSession, AFileGoesToTheServerThatAskedForIt) {
  World world;
  Client client(world, 1, kServer | flags::kLocalFiles);
  world.say(client, query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t"));
  EXPECT_EQ(world.serve(client, Says().raw("\xfbx")), ServerVerdict::kMore);
  std::string file;
  wire::packet(file, 2, "1\n2\n");
  wire::packet(file, 3, "");
  EXPECT_EQ(world.say(client, file), ClientVerdict::kMore);
  EXPECT_EQ(world.to_server, file);
  Says done;
  done.next = 4;
  EXPECT_EQ(world.serve(client, done.ok()), ServerVerdict::kReady);

  // One that leaves instead is stood in for.
  world.say(client, query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t"));
  world.serve(client, Says().raw("\xfbx"));
  world.server.forget_client();
  Output out;
  EXPECT_TRUE(world.server.finish_sequence(out));
  EXPECT_EQ(drain(out), "\0\0\0\x02"sv);
  EXPECT_FALSE(world.server.finish_sequence(out));
}

TEST(MysqlSession, WhatTheServerSaysUnasked) {
  World world;
  EXPECT_EQ(world.serve(nullptr, Says().error(1053).out), ServerVerdict::kMore);
  const auto events = world.server.take_events();
  EXPECT_EQ(events.fatal_code, 1053);
  EXPECT_EQ(events.fatal_error, Says().error(1053).out);
  World other;
  EXPECT_EQ(other.serve(nullptr, Says().ok().out), ServerVerdict::kProtocolError);
  EXPECT_FALSE(other.server.take_events().fatal);
}

TEST(MysqlSession, ATimeOutSaysWhatItIs) {
  World world;
  Client client(world);
  world.say(client, query("SELECT SLEEP(9)"));
  world.server.expect_timeout();
  world.serve(client, Says().error(1317));
  wire::Error error;
  const std::string got = world.seen();
  ASSERT_TRUE(wire::read_error(std::string_view(got).substr(4), error));
  EXPECT_EQ(error.code, 3024);
}

TEST(MysqlSession, MultiStatementsFollowTheClient) {
  World world;
  Client client(world, 1, kServer & ~flags::kMultiStatements);
  EXPECT_EQ(world.say(client, query("SELECT 1")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, request(Command::kSetOption, "\x01\0"sv));
  EXPECT_EQ(world.serve(client, Says().end()), ServerVerdict::kReady);
  world.run(client, "SELECT 1", Says().ok());
  world.seen();
  EXPECT_EQ(world.say(client, request(Command::kSetOption, "\0\0"sv)), ClientVerdict::kMore);
  EXPECT_EQ(world.seen(), "\x07\0\0\x01\xfe\0\0\x02\0\0\0"sv);
  EXPECT_EQ(world.say(client, query("SELECT 1; SELECT 2")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, request(Command::kSetOption, "\0\0"sv));
}

// Since it logged in the database has become an older one, which would take the attributes for the text.
TEST(MysqlSession, WhoWasPromisedQueryAttributesConnectsAgainWhereThereAreNone) {
  World world;
  Client client(world, 1, kServer | flags::kQueryAttributes);
  std::string sent;
  wire::query(sent, flags::kQueryAttributes, "SELECT 1");
  EXPECT_EQ(world.say(client, request(Command::kPing)), ClientVerdict::kMore);
  EXPECT_EQ(world.say(client, sent), ClientVerdict::kRefuse);
  EXPECT_EQ(world.to_server, "");
  wire::Error error;
  ASSERT_TRUE(wire::read_error(std::string_view(client.error()).substr(wire::kHeaderSize), error));
  EXPECT_EQ(error.code, wire::error::kServerShutdown);
  EXPECT_NE(error.message.find("older version"), std::string_view::npos);
}

TEST(MysqlSession, ARejectedRequestIsAnsweredAndTheNextIsNot) {
  World world;
  Client client(world);
  EXPECT_EQ(world.say(client, query("SELECT 1"), false), ClientVerdict::kNeedServer);
  client.reject(Says().error(9501).out);
  EXPECT_EQ(world.say(client, query("SELECT 1"), false), ClientVerdict::kMore);
  EXPECT_EQ(world.seen(), Says().error(9501).out);
  EXPECT_EQ(world.say(client, query("SELECT 1"), false), ClientVerdict::kNeedServer);
}

}  // namespace
}  // namespace dbproxy::session::mysql
