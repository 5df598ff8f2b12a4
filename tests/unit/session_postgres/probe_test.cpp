#include "proxy/session/postgres/probe.hpp"

#include <gtest/gtest.h>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {
namespace {

namespace wire = dbproxy::wire::postgres;
using enum PinReason;

std::string row(std::string_view value) {
  std::string out;
  wire::MessageWriter(out, 'D').u16(1).u32(static_cast<std::uint32_t>(value.size())).bytes(value);
  return out;
}

std::string complete(std::string_view tag, char status) {
  std::string out;
  wire::MessageWriter(out, 'C').cstring(tag);
  wire::ready_for_query(out, status);
  return out;
}

TEST(Probe, AsksForWhatPinsOnly) {
  EXPECT_EQ(probe_sql(bit(kOpaque), "p_"), "SELECT 'probed'");
  EXPECT_NE(probe_sql(bit(kAdvisoryLock), "p_").find("pg_locks"), std::string::npos);
  EXPECT_NE(probe_sql(bit(kSqlPrepare), "p_").find("starts_with(s.name, 'p_'))"), std::string::npos);
  EXPECT_EQ(probe_sql(bit(kAdvisoryLock), "p_").find("pg_cursors"), std::string::npos);
}

TEST(Probe, KnowsWhatItCannotSee) {
  EXPECT_TRUE(probe_can_tell(bit(kAdvisoryLock) | bit(kTemporaryObject) | bit(kListen), 0));
  EXPECT_TRUE(probe_can_tell(bit(kOpaque), bit(kAdvisoryLock)));
  EXPECT_FALSE(probe_can_tell(bit(kOpaque), 0));
  EXPECT_FALSE(probe_can_tell(bit(kOpaque), bit(kOpaque) | bit(kAdvisoryLock)));
  EXPECT_FALSE(probe_can_tell(bit(kTemporaryObject), bit(kOpaque)));
  for (auto reason : {kSetVariable, kSessionAuthorization, kLoad, kStatementTooLarge, kProtocol, kSequence})
    EXPECT_FALSE(probe_can_tell(bit(kAdvisoryLock) | bit(reason), 0));
}

TEST(Probe, ReadsItsRowsAndNoOthers) {
  EXPECT_EQ(read_probe(row("probed")), 0u);
  EXPECT_EQ(read_probe(row("listen") + row("probed")), bit(kListen));
  EXPECT_EQ(read_probe(""), std::nullopt);
  EXPECT_EQ(read_probe(row("listen")), std::nullopt);
  EXPECT_EQ(read_probe(row("probed") + row("other")), std::nullopt);
  EXPECT_EQ(read_probe(row("probed").substr(0, 9)), std::nullopt);
}

struct Unpinning : ::testing::Test {
  StatementCache cache{"p_"};
  SettingsInterner interner;
  SettingsPtr settings = interner.intern({{"application_name", "a"}, {"standard_conforming_strings", "on"}});
  ServerSession server{interner, settings};
  ClientSession client{cache, settings};
  ClientOptions options;
  Output to_server, to_client;

  void send(std::string_view sql) {
    std::string bytes;
    wire::query(bytes, sql);
    std::size_t consumed = 0;
    client.feed(bytes, consumed, &server, to_server, to_client, options);
    EXPECT_EQ(consumed, bytes.size());
    to_server.clear();
  }
  std::string told(std::string_view bytes) {
    std::size_t consumed = 0;
    server.feed(bytes, consumed, &client, to_client);
    EXPECT_EQ(consumed, bytes.size());
    std::string out;
    to_client.append_to(out, 0);
    to_client.clear();
    return out;
  }
  bool answer(std::string_view rows) {
    EXPECT_EQ(told(std::string(rows) + complete("SELECT 1", 'I')), "");  // hidden
    EXPECT_TRUE(server.take_events().probe_ready);
    return client.probed(server.take_rows());
  }
};

TEST_F(Unpinning, WhenTheServerSaysThatNothingIsLeft) {
  send("SELECT pg_advisory_lock(1)");
  told(complete("SELECT 1", 'I'));
  EXPECT_FALSE(client.wants_probe(server, false));  // nothing can have ended it
  EXPECT_TRUE(client.wants_probe(server, true));
  send("SELECT pg_advisory_unlock(1)");
  EXPECT_FALSE(client.wants_probe(server, false));  // not answered yet
  told(complete("SELECT 1", 'I'));
  ASSERT_TRUE(client.wants_probe(server, false));
  client.probe(server, to_server);
  EXPECT_FALSE(client.wants_probe(server, true));
  EXPECT_TRUE(answer(row("advisory_lock") + row("probed")));
  EXPECT_FALSE(client.can_release(server));
  EXPECT_FALSE(client.wants_probe(server, true));  // nothing was done since
  send("SELECT pg_advisory_unlock(1)");
  told(complete("SELECT 1", 'I'));
  client.probe(server, to_server);
  EXPECT_TRUE(answer(row("probed")));
  EXPECT_TRUE(client.can_release(server));
  EXPECT_EQ(client.pin_statement(), "");
}

TEST_F(Unpinning, KeepsWhatWasAskedForBehindTheProbe) {
  send("SELECT pg_try_advisory_lock(1)");
  told(complete("SELECT 1", 'I'));
  ASSERT_TRUE(client.wants_probe(server, false));
  client.probe(server, to_server);
  send("CREATE TEMP TABLE t ()");
  EXPECT_TRUE(answer(row("probed")));
  EXPECT_EQ(client.pins(), bit(kTemporaryObject));
  told(complete("CREATE TABLE", 'I'));
  EXPECT_FALSE(client.can_release(server));
}

TEST_F(Unpinning, WaitsForTheEndOfTheTransaction) {
  send("BEGIN");
  told(complete("BEGIN", 'T'));
  send("CREATE TEMP TABLE t () ON COMMIT DROP");
  told(complete("CREATE TABLE", 'T'));
  send("DROP TABLE u");
  told(complete("DROP TABLE", 'T'));
  EXPECT_FALSE(client.wants_probe(server, true));
  send("COMMIT");
  told(complete("COMMIT", 'I'));
  EXPECT_TRUE(client.wants_probe(server, false));
}

TEST_F(Unpinning, AFailedProbeChangesNothing) {
  send("SELECT pg_try_advisory_lock(1)");
  told(complete("SELECT 1", 'I'));
  client.probe(server, to_server);
  std::string error;
  wire::error_response(error, {.severity = "ERROR", .sqlstate = "57014", .message = "canceled"});
  wire::ready_for_query(error, 'I');
  EXPECT_EQ(told(error), "");
  EXPECT_FALSE(client.probed(server.take_rows()));
  EXPECT_EQ(client.pins(), bit(kAdvisoryLock));
}

TEST_F(Unpinning, NeverWhereAPathLeadsToTemporaryObjects) {
  options.classify.search_path_reported = true;
  client.pin(bit(kTemporaryObject), bit(kOpaque));
  send("DROP TABLE t");
  told(complete("DROP TABLE", 'I'));
  EXPECT_FALSE(client.wants_probe(server, true));
}

}  // namespace
}  // namespace dbproxy::session::postgres
