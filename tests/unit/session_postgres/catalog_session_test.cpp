#include <gtest/gtest.h>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {
namespace {

namespace wire = dbproxy::wire::postgres;

std::string flat(Output& output) {
  std::string bytes;
  output.append_to(bytes, 0);
  output.clear();
  return bytes;
}

// Types of the messages in `bytes`.
std::string types(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    auto frame = wire::scan_frame(bytes);
    if (frame.scan != wire::Scan::kMessage || frame.size > bytes.size()) return out + "<broken>";
    out += frame.type;
    bytes.remove_prefix(frame.size);
  }
  return out;
}

struct CatalogSession : ::testing::Test {
  StatementCache cache{"p_"};
  SettingsInterner interner;
  SettingsPtr settings = interner.intern({{"standard_conforming_strings", "on"}});
  ServerSession server{interner, settings};
  ClientSession client{cache, settings};
  ClientOptions options;
  Output to_server, to_client;

  std::string query(std::string_view sql) {
    std::string bytes;
    wire::query(bytes, sql);
    return feed(bytes);
  }
  std::string feed(const std::string& bytes) {
    std::size_t consumed = 0;
    client.feed(bytes, consumed, &server, to_server, to_client, options);
    return types(flat(to_server));
  }
  std::string execute(std::string_view name) {
    std::string bytes;
    wire::MessageWriter(bytes, 'B').cstring("").cstring(name).u16(0).u16(0).u16(0);
    wire::MessageWriter(bytes, 'E').cstring("").u32(0);
    wire::sync(bytes);
    return feed(bytes);
  }
  std::string got(const std::string& bytes, bool attached = true, std::size_t piece = std::string::npos) {
    Output out;
    std::string pending, all;
    for (std::size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size())) {
      pending += bytes.substr(at, piece);
      std::size_t consumed = 0;
      EXPECT_NE(server.feed(pending, consumed, attached ? &client : nullptr, out), ServerVerdict::kProtocolError);
      out.append_to(all, 0);
      out.clear();
      pending.erase(0, consumed);
    }
    return types(all);
  }
  static std::string done(std::string_view tag, char status = 'I') {
    std::string out;
    wire::command_complete(out, tag);
    wire::ready_for_query(out, status);
    return out;
  }
  static std::string data(std::size_t size = 1) {
    std::string out;
    wire::MessageWriter(out, 'D').bytes(std::string(size, 'x'));
    return out;
  }
};

TEST_F(CatalogSession, KeepsTheRowsOfItsOwnQueryHoweverTheyArrive) {
  for (std::size_t piece : {1, 3, 7, 1000}) {
    server.query_rows("SELECT 1", to_server);
    EXPECT_EQ(types(flat(to_server)), "Q");
    std::string description;
    wire::MessageWriter(description, 'T').u16(0);
    EXPECT_EQ(got(description + data(10) + data(0) + done("SELECT 2"), true, piece), "");
    auto events = server.take_events();
    EXPECT_TRUE(events.rows_ready);
    EXPECT_EQ(events.queries_done, 0u);
    auto rows = server.take_rows();
    EXPECT_FALSE(rows.failed || rows.too_long);
    EXPECT_EQ(rows.messages, data(10) + data(0));
    EXPECT_TRUE(server.take_rows().messages.empty());
    EXPECT_TRUE(server.idle());
  }
}

TEST_F(CatalogSession, AClientsRowsFollowItsOwn) {
  server.query_rows("SELECT 1", to_server);
  query("SELECT 2");
  EXPECT_EQ(got(data() + done("SELECT 1") + data() + data() + done("SELECT 2")), "DDCZ");
  EXPECT_EQ(server.take_rows().messages, data());
}

TEST_F(CatalogSession, BoundsTheRowsThatItKeeps) {
  server.query_rows("SELECT 1", to_server);
  for (int i = 0; i < 9; ++i) got(data(1 << 20), true);
  got(done("SELECT 9"));
  auto rows = server.take_rows();
  EXPECT_TRUE(rows.too_long);
  EXPECT_TRUE(rows.messages.empty());
}

TEST_F(CatalogSession, TellsOfAFailureApartFromOthers) {
  server.query_rows("SELECT 1", to_server);
  std::string error;
  wire::error_response(error, {.severity = "ERROR", .sqlstate = "57014", .message = "m"});
  wire::ready_for_query(error, 'I');
  EXPECT_EQ(got(data() + error), "");
  EXPECT_FALSE(server.hidden_query_failed());
  auto rows = server.take_rows();
  EXPECT_TRUE(rows.failed);
  EXPECT_EQ(rows.error, "57014: m");
}

TEST_F(CatalogSession, AChangeIsReadBeforeItsClientHearsOfIt) {
  server.hold_after_catalog_change();
  query("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'");
  EXPECT_TRUE(server.catalog_changed());
  EXPECT_EQ(got(done("CREATE FUNCTION")), "C");
  EXPECT_TRUE(server.owes_ready() && !server.reading_rows());
  EXPECT_FALSE(server.quiet());
  EXPECT_FALSE(client.can_release(server));
  server.query_rows("SELECT 1", to_server);
  flat(to_server);
  EXPECT_EQ(got(data() + done("SELECT 1")), "");
  EXPECT_TRUE(server.take_events().rows_ready);
  EXPECT_FALSE(server.quiet());
  server.catalog_is_known();
  server.release_ready(to_client);
  EXPECT_EQ(types(flat(to_client)), "Z");
  EXPECT_TRUE(client.can_release(server));
  server.release_ready(to_client);
  EXPECT_TRUE(to_client.empty());
}

TEST_F(CatalogSession, AClientThatDoesNotWaitGetsItsAnswersInOrder) {
  server.hold_after_catalog_change();
  query("DROP VIEW v");
  EXPECT_EQ(got(done("DROP VIEW")), "C");
  server.query_rows("SELECT 1", to_server);
  query("SELECT 2");
  EXPECT_EQ(got(data() + done("SELECT 1") + data() + done("SELECT 1")), "ZDC");
  server.catalog_is_known();
  EXPECT_TRUE(server.owes_ready() && !server.catalog_changed());
  server.release_ready(to_client);
  EXPECT_EQ(types(flat(to_client)), "Z");
}

TEST_F(CatalogSession, AChangeWhileTheCatalogueIsReadIsReadAsWell) {
  server.hold_after_catalog_change();
  query("DROP VIEW v");
  got(done("DROP VIEW"));
  server.query_rows("SELECT 1", to_server);
  query("DROP VIEW w");
  got(data() + done("SELECT 1") + done("DROP VIEW"));
  server.catalog_is_known();
  EXPECT_TRUE(server.catalog_changed() && server.owes_ready());
  server.query_rows("SELECT 1", to_server);
  got(done("SELECT 0"));
  server.catalog_is_known();
  EXPECT_FALSE(server.catalog_changed());
}

TEST_F(CatalogSession, NobodyIsHeldUnlessAsked) {
  query("DROP VIEW v");
  EXPECT_EQ(got(done("DROP VIEW")), "CZ");
  EXPECT_FALSE(server.owes_ready());
}

TEST_F(CatalogSession, InsideATransactionWhatMayUseTheChangePins) {
  server.hold_after_catalog_change();
  std::string parse;
  wire::parse(parse, "mine", "SELECT f()", "");
  wire::sync(parse);
  feed(parse);
  std::string answer;
  wire::empty_message(answer, '1');
  wire::ready_for_query(answer, 'I');
  got(answer);
  query("BEGIN");
  got(done("BEGIN", 'T'));
  query("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'");
  EXPECT_EQ(got(done("CREATE FUNCTION", 'T')), "CZ");
  EXPECT_EQ(client.pins(), 0u);
  execute("mine");
  EXPECT_EQ(client.pins(), bit(PinReason::kOpaque));
}

TEST_F(CatalogSession, CommitAloneDoesNotPin) {
  query("BEGIN");
  got(done("BEGIN", 'T'));
  query("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'");
  got(done("CREATE FUNCTION", 'T'));
  query("COMMIT");
  EXPECT_EQ(client.pins(), 0u);
}

TEST_F(CatalogSession, AChangeAndItsUseInOneTextPin) {
  query("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT f()");
  EXPECT_EQ(client.pins(), bit(PinReason::kOpaque));
}

TEST_F(CatalogSession, AClientThatLeftIsNotOwedAnything) {
  server.hold_after_catalog_change();
  query("DROP VIEW v");
  got(done("DROP VIEW"));
  server.forget_client();
  EXPECT_TRUE(server.idle());
  EXPECT_TRUE(server.catalog_changed());
}

TEST_F(CatalogSession, PreparedStatementsAreJudgedByTheNewestSet) {
  std::string parse;
  wire::parse(parse, "mine", "SELECT f()", "");
  wire::sync(parse);
  options.classify.hazards_generation = 1;
  feed(parse);
  std::string answer;
  wire::empty_message(answer, '1');
  wire::ready_for_query(answer, 'I');
  got(answer);
  EXPECT_EQ(execute("mine"), "BES");
  EXPECT_EQ(client.pins(), 0u);
  HazardSet set;
  set.insert("f");
  options.classify.hazards = &set;
  options.classify.hazards_generation = 2;
  execute("mine");
  EXPECT_EQ(client.pins(), bit(PinReason::kOpaque));
}

TEST_F(CatalogSession, AnotherDatabaseAnotherStatement) {
  ClassifyOptions here, there;
  here.hazards_domain = 1;
  there.hazards_domain = 2;
  auto one = cache.intern("SELECT 1", "", here);
  EXPECT_EQ(one, cache.intern("SELECT 1", "", here));
  EXPECT_NE(one, cache.intern("SELECT 1", "", there));
  EXPECT_EQ(one->text(), "SELECT 1");
  EXPECT_EQ(one->parameter_types(), "");
}

}  // namespace
}  // namespace dbproxy::session::postgres
