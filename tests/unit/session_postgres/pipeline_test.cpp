// What a client sends without waiting for answers.
#include <gtest/gtest.h>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {
namespace {

namespace wire = dbproxy::wire::postgres;

std::string m(char type, std::string_view body = {}) {
  std::string out;
  wire::MessageWriter(out, type).bytes(body);
  return out;
}
const std::string kReady = m('Z', "I");
const std::string kSync = m('S');

std::string parse(std::string_view name, std::string_view text) {
  std::string out;
  wire::parse(out, name, text, {});
  return out;
}
std::string call(std::string_view text) {
  std::string out = parse("", text);
  wire::MessageWriter(out, 'B').cstring("").cstring("").u16(0).u16(0).u16(0);
  wire::MessageWriter(out, 'E').cstring("").u32(0);
  return out;
}

struct Pipeline : ::testing::Test {
  StatementCache cache{"p_"};
  SettingsInterner interner;
  SettingsPtr settings = interner.intern({{"application_name", "a"}});
  ServerSession server{interner, settings};
  ClientSession client{cache, settings};
  ClientOptions options;
  std::string left;  // what the client has said and nobody has used

  ClientVerdict say(const std::string& bytes) {
    left += bytes;
    Output to_server, to_client;
    std::size_t consumed = 0;
    const auto verdict = client.feed(left, consumed, &server, to_server, to_client, options);
    left.erase(0, consumed);
    return verdict;
  }
  void hear(const std::string& bytes) {
    Output out;
    std::size_t consumed = 0;
    EXPECT_NE(server.feed(bytes, consumed, &client, out), ServerVerdict::kProtocolError);
    EXPECT_EQ(consumed, bytes.size());
  }
};

TEST_F(Pipeline, ACopyThatWasSentAsAWholeEndsWithItsOwnSync) {
  say(call("COPY t FROM STDIN") + kSync + m('d', "1\n") + m('c') + kSync);
  hear(m('1') + m('2') + m('G', std::string(3, '\0')) + m('C', std::string("COPY 1\0", 7)) + kReady);
  EXPECT_TRUE(server.quiet());
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Pipeline, ACopyWithoutASyncBehindItIsNotOver) {
  say(call("COPY t FROM STDIN") + kSync + m('d', "1\n") + m('c'));
  hear(m('1') + m('2') + m('G', std::string(3, '\0')) + m('C', std::string("COPY 1\0", 7)));
  EXPECT_FALSE(server.quiet());
  say(kSync);
  hear(kReady);
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Pipeline, ANameIsNotTakenByAParseThatFails) {
  EXPECT_EQ(say(parse("n", "SELEC 1") + kSync + parse("n", "SELECT 1") + kSync), ClientVerdict::kWait);
  EXPECT_TRUE(client.held());
  std::string error;
  wire::error_response(error, {.severity = "ERROR", .sqlstate = "42601", .message = "syntax error"});
  hear(error + kReady);
  EXPECT_FALSE(client.can_release(server));  // it has more to say
  EXPECT_EQ(say({}), ClientVerdict::kMore);
  EXPECT_EQ(left, "");
  hear(m('1') + kReady);
  EXPECT_TRUE(client.can_release(server));
}

TEST_F(Pipeline, WithinOneSequenceNobodyHasToWait) {
  EXPECT_EQ(say(parse("n", "SELECT 1") + parse("n", "SELECT 1") + kSync), ClientVerdict::kMore);
}

TEST_F(Pipeline, AQueryInAnUnfinishedSequenceIsRemembered) {
  say(call("SELECT 1") + kSync);
  std::string query;
  wire::query(query, "SELECT 2");
  say(query);
  EXPECT_FALSE(server.mixed());
  say(call("SELECT 3") + query);
  EXPECT_TRUE(server.mixed());
}

TEST_F(Pipeline, ABeginThatWasKeptBackIsNoUnfinishedSequence) {
  std::string begin, query;
  wire::query(begin, "BEGIN");
  wire::query(query, "SELECT 1");
  options.deferred_begin = true;
  Output to_server, to_client;
  std::size_t consumed = 0;
  client.feed(begin, consumed, nullptr, to_server, to_client, options);
  ASSERT_TRUE(client.begin_deferred());
  client.attached(server, to_server, to_client);
  say(query);
  EXPECT_FALSE(server.mixed());
}

}  // namespace
}  // namespace dbproxy::session::postgres
