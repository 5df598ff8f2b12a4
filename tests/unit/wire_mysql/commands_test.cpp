#include "proxy/wire/mysql/commands.hpp"

#include <gtest/gtest.h>

#include "proxy/wire/mysql/messages.hpp"

namespace dbproxy::wire::mysql {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

std::string_view payload(const std::string& packet) {
  return std::string_view(packet).substr(kHeaderSize);
}

TEST(Query, TextIsWhatFollowsTheCommand) {
  std::string_view text;
  ASSERT_TRUE(query_text("\x03SELECT 1"sv, 0, text));
  EXPECT_EQ(text, "SELECT 1");
  ASSERT_TRUE(query_text("\x03"sv, 0, text));
  EXPECT_EQ(text, "");
  EXPECT_FALSE(query_text("", 0, text));
}

TEST(Query, AttributesStandBeforeTheText) {
  std::string out;
  query(out, client::kQueryAttributes, "SELECT 1");
  std::string_view text;
  ASSERT_TRUE(query_text(payload(out), client::kQueryAttributes, text));
  EXPECT_EQ(text, "SELECT 1");

  // Three: a string, a number that is NULL, an eight-byte number. Bit 1 of the bitmap says NULL.
  std::string packet = "\x03\x03\x01\x02\x01"s + std::string("\xfe\0\x01n\x03\0\x01m\x08\0\0", 11) + "\x05value" +
                       "12345678" + "SET @a = 1";
  ASSERT_TRUE(query_text(packet, client::kQueryAttributes, text));
  EXPECT_EQ(text, "SET @a = 1");
  for (std::size_t n = 1; n < packet.size() - 10; ++n)
    EXPECT_FALSE(query_text(std::string_view(packet).substr(0, n), client::kQueryAttributes, text)) << n;
}

TEST(Execute, WithoutParameters) {
  Execute execute;
  ASSERT_TRUE(read_execute("\x17\x05\0\0\0\x01\x01\0\0\0"sv, 0, 0, execute));
  EXPECT_EQ(execute.statement, 5u);
  EXPECT_TRUE(execute.cursor());
  EXPECT_EQ(execute.bound_at, 0u);
  EXPECT_FALSE(read_execute("\x17\x05\0\0\0\x01\x01\0\0"sv, 0, 0, execute));
}

TEST(Execute, WithTypes) {
  const std::string packet("\x17\x05\0\0\0\0\x01\0\0\0\0\x01\x08\0\xfd\0\x07\0\0\0\0\0\0\0\x01x", 26);
  Execute execute;
  ASSERT_TRUE(read_execute(packet, 0, 2, execute));
  EXPECT_TRUE(execute.types_sent);
  EXPECT_EQ(execute.bound_at, 11u);
  EXPECT_EQ(execute.types_size, 4u);
  EXPECT_FALSE(execute.cursor());
  EXPECT_GE(execute_head(2), execute.bound_at + 1 + execute.types_size);
  for (std::size_t n = 0; n < 16; ++n) EXPECT_FALSE(read_execute(packet.substr(0, n), 0, 2, execute)) << n;
}

TEST(Execute, WithTypesOfBefore) {
  Execute execute;
  ASSERT_TRUE(read_execute("\x17\x05\0\0\0\0\x01\0\0\0\x01\0rest"sv, 0, 1, execute));
  EXPECT_FALSE(execute.types_sent);
  EXPECT_EQ(execute.bound_at, 11u);
  EXPECT_EQ(execute.types_size, 0u);
}

TEST(Execute, WithAttributes) {
  // One parameter and one attribute, so a count of two; names stand with the types.
  const std::string packet("\x17\x05\0\0\0\x08\x01\0\0\0\x02\0\x01\x08\0\0\xfe\0\x01n", 20);
  Execute execute;
  ASSERT_TRUE(read_execute(packet, client::kQueryAttributes, 1, execute));
  EXPECT_EQ(execute.parameters, 2u);
  EXPECT_EQ(execute.bound_at, 12u);
  EXPECT_EQ(execute.types_size, 7u);
  EXPECT_FALSE(read_execute(packet, client::kQueryAttributes, 3, execute));
}

TEST(Prepared, IsRead) {
  Prepared prepared;
  ASSERT_TRUE(read_prepared("\0\x09\0\0\0\x02\0\x01\0\0\x03\0"sv, prepared));
  EXPECT_EQ(prepared.statement, 9u);
  EXPECT_EQ(prepared.columns, 2);
  EXPECT_EQ(prepared.parameters, 1);
  EXPECT_EQ(prepared.warnings, 3);
  EXPECT_FALSE(read_prepared("\0\x09\0\0\0\x02\0\x01\0"sv, prepared));
  EXPECT_FALSE(read_prepared("\xff\x09\0\0\0\x02\0\x01\0\0\x03\0"sv, prepared));
}

}  // namespace
}  // namespace dbproxy::wire::mysql
