#include "proxy/wire/mysql/messages.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace dbproxy::wire::mysql {
namespace {

using namespace std::string_view_literals;

constexpr std::uint32_t kTracking = client::kProtocol41 | client::kSessionTrack | client::kDeprecateEof;

std::string_view payload(const std::string& packet) {
  return std::string_view(packet).substr(kHeaderSize);
}

TEST(Ok, IsReadBackWithItsState) {
  std::string state;
  append_state(state, {StateType::kSystemVariable, "autocommit", "OFF"});
  append_state(state, {StateType::kSchema, "", "orders"});
  append_state(state, {StateType::kStateChange, "", "1"});
  append_state(state, {StateType::kGtids, "", "a:1-5"});
  append_state(state, {StateType::kTransactionState, "", "T_______"});
  std::string out;
  EXPECT_EQ(ok(out, 1, kTracking, {7, 300, status::kInTransaction, 2, "Rows matched: 1", state}), 2);
  Ok read;
  ASSERT_TRUE(read_ok(payload(out), kTracking, read));
  EXPECT_EQ(read.affected_rows, 7u);
  EXPECT_EQ(read.last_insert_id, 300u);
  EXPECT_EQ(read.status, status::kInTransaction | status::kStateChanged);
  EXPECT_EQ(read.warnings, 2);
  EXPECT_EQ(read.info, "Rows matched: 1");
  std::vector<std::string> seen;
  StateReader reader(read.state);
  for (StateChange change; reader.next(change);)
    seen.push_back(std::to_string(static_cast<int>(change.type)) + std::string(change.name) + "=" +
                   std::string(change.value));
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(seen, (std::vector<std::string>{"0autocommit=OFF", "1=orders", "2=1", "3=a:1-5", "5=T_______"}));
  for (std::size_t n = 0; n < out.size() - kHeaderSize; ++n)
    EXPECT_FALSE(read_ok(payload(out).substr(0, n), kTracking, read)) << n;
}

TEST(Ok, WithoutTrackingHasNoStateAndDoesNotClaimOne) {
  std::string out;
  ok(out, 1, client::kProtocol41, {0, 0, status::kAutocommit | status::kStateChanged, 0, "text", "\x02\x02\x01\x31"sv});
  EXPECT_EQ(out, "\x0c\0\0\x01\0\0\0\x02\0\0\0\x04text"sv);
  Ok read;
  ASSERT_TRUE(read_ok(payload(out), client::kProtocol41, read));
  EXPECT_EQ(read.info, "text");
}

TEST(Ok, OfMySqlMayEndBeforeAnEmptyText) {
  Ok read;
  EXPECT_TRUE(read_ok("\0\0\0\x02\0\0\0"sv, kTracking, read));
  EXPECT_TRUE(read_ok("\xfe\0\0\x02\0\0\0"sv, kTracking, read));
  EXPECT_FALSE(read_ok("\x01\0\0\x02\0\0\0"sv, kTracking, read));
}

TEST(StateReader, TakesSeveralVariablesInOneEntry) {
  // As MariaDB writes them.
  std::string pairs;
  for (const auto text : {"autocommit"sv, "ON"sv, "time_zone"sv, "UTC"sv}) append_lenenc_bytes(pairs, text);
  std::string state(1, '\0');
  append_lenenc_bytes(state, pairs);
  StateReader reader(state);
  StateChange change;
  ASSERT_TRUE(reader.next(change));
  EXPECT_EQ(change.name, "autocommit");
  ASSERT_TRUE(reader.next(change));
  EXPECT_EQ(change.name, "time_zone");
  EXPECT_EQ(change.value, "UTC");
  EXPECT_FALSE(reader.next(change));
  EXPECT_TRUE(reader.ok());
}

TEST(StateReader, SkipsTypesThatNobodyKnowsAndRefusesLies) {
  StateReader unknown("\x2a\x03xyz\x01\x02\x01q"sv);
  StateChange change;
  ASSERT_TRUE(unknown.next(change));
  EXPECT_EQ(change.value, "q");
  StateReader lies("\x01\x09q"sv);
  EXPECT_FALSE(lies.next(change));
  EXPECT_FALSE(lies.ok());
}

TEST(Error, IsReadWithAndWithoutSqlState) {
  std::string out;
  EXPECT_EQ(error_packet(out, 3, {error::kAccessDenied, "28000", "Access denied"}), 4);
  Error read;
  ASSERT_TRUE(read_error(payload(out), read));
  EXPECT_EQ(read.code, 1045);
  EXPECT_EQ(read.sqlstate, "28000");
  EXPECT_EQ(read.message, "Access denied");
  ASSERT_TRUE(read_error("\xff\x10\x04Too many connections"sv, read));
  EXPECT_EQ(read.code, error::kTooManyConnections);
  EXPECT_EQ(read.message, "Too many connections");
  EXPECT_FALSE(read_error("\xff\x10"sv, read));
  EXPECT_FALSE(read_error("\xff\x10\x04#080"sv, read));
}

TEST(Eof, IsShort) {
  std::string out;
  eof(out, 9, 1, 0x22);
  std::uint16_t warnings = 0, status = 0;
  ASSERT_TRUE(read_eof(payload(out), warnings, status));
  EXPECT_EQ(warnings, 1);
  EXPECT_EQ(status, 0x22);
  EXPECT_TRUE(ends_rows(0xfe, 5, 0));
  EXPECT_FALSE(ends_rows(0xfe, 9, 0));  // a row that begins with a very long text
  EXPECT_TRUE(ends_rows(0xfe, 9, client::kDeprecateEof));
  EXPECT_FALSE(ends_rows(0xfe, kMaxFragment, client::kDeprecateEof));
}

}  // namespace
}  // namespace dbproxy::wire::mysql
