#include "proxy/wire/postgres/messages.hpp"

#include <gtest/gtest.h>

#include "proxy/wire/postgres/reader.hpp"
#include "proxy/wire/postgres/startup.hpp"

namespace dbproxy::wire::postgres {
namespace {

using namespace std::string_view_literals;

TEST(ScanFrame, NeedsTheHeaderOnly) {
  auto message = "Q\0\0\0\x0dSELECT 1\0"sv;
  for (std::size_t n = 0; n < kHeaderSize; ++n) EXPECT_EQ(scan_frame(message.substr(0, n)).scan, Scan::kNeedMore);
  for (std::size_t n = kHeaderSize; n <= message.size(); ++n) {
    auto frame = scan_frame(message.substr(0, n));
    EXPECT_EQ(frame.scan, Scan::kMessage);
    EXPECT_EQ(frame.type, 'Q');
    EXPECT_EQ(frame.size, message.size());
  }
}

TEST(ScanFrame, RefusesLengthsThatLie) {
  EXPECT_EQ(scan_frame("Q\0\0\0\x03"sv).scan, Scan::kBad);
  EXPECT_EQ(scan_frame("Q\xff\xff\xff\xff"sv).scan, Scan::kBad);
  EXPECT_EQ(scan_frame("Q\x80\0\0\0"sv).scan, Scan::kBad);
  EXPECT_EQ(scan_frame("Q\x40\0\0\0"sv).scan, Scan::kBad);
  EXPECT_EQ(scan_frame("Q\x3f\xff\xff\xff"sv).scan, Scan::kMessage);
}

TEST(ScanStartup, RefusesHugeAndTiny) {
  EXPECT_EQ(scan_startup("GET "sv).scan, Scan::kBad);
  EXPECT_EQ(scan_startup("\0\0\0\x07"sv).scan, Scan::kBad);
  EXPECT_EQ(scan_startup("\0\0\x27\x11"sv).scan, Scan::kBad);
  EXPECT_EQ(scan_startup("\0\0\x27\x10"sv).scan, Scan::kMessage);
}

TEST(Startup, IsReadBack) {
  std::string packet;
  startup_message(packet, 0x00030000, {{"user", "app"}, {"database", "shop"}, {"options", "-c a=b"}});
  auto parsed = parse_startup(packet);
  ASSERT_TRUE(std::holds_alternative<Startup>(parsed));
  auto& startup = std::get<Startup>(parsed);
  EXPECT_EQ(startup.minor, 0);
  ASSERT_EQ(startup.parameters.size(), 3u);
  EXPECT_EQ(startup.parameters[1].second, "shop");
}

TEST(Startup, EveryTruncationIsBad) {
  std::string packet;
  startup_message(packet, 0x00030000, {{"user", "app"}, {"database", "shop"}});
  for (std::size_t n = 0; n < packet.size(); ++n) {
    EXPECT_TRUE(std::holds_alternative<BadStartup>(parse_startup(std::string_view(packet).substr(0, n)))) << n;
  }
  EXPECT_TRUE(std::holds_alternative<BadStartup>(parse_startup(packet + "x")));
}

TEST(Startup, KnowsTheOtherRequests) {
  std::string packet;
  ssl_request(packet);
  EXPECT_TRUE(std::holds_alternative<SslRequest>(parse_startup(packet)));
  packet.clear();
  cancel_request(packet, 7, "abcd");
  auto parsed = parse_startup(packet);
  ASSERT_TRUE(std::holds_alternative<CancelRequest>(parsed));
  EXPECT_EQ(std::get<CancelRequest>(parsed).process_id, 7u);
  EXPECT_EQ(std::get<CancelRequest>(parsed).key, "abcd");
  packet.clear();
  cancel_request(packet, 7, "abc");
  EXPECT_TRUE(std::holds_alternative<BadStartup>(parse_startup(packet)));
}

TEST(SplitOptions, FollowsBackslashes) {
  EXPECT_EQ(split_options(" -c  a=b\\ c \\\\x"), (std::vector<std::string>{"-c", "a=b c", "\\x"}));
  EXPECT_TRUE(split_options("   ").empty());
}

TEST(Error, IsReadBack) {
  std::string out;
  error_response(out, {.severity = "FATAL", .sqlstate = "28P01", .message = "no", .hint = "do this"});
  EXPECT_EQ(scan_frame(out).size, out.size());
  auto fields = read_error(std::string_view(out).substr(kHeaderSize));
  EXPECT_EQ(fields.severity, "FATAL");
  EXPECT_EQ(fields.sqlstate, "28P01");
  EXPECT_EQ(fields.message, "no");
  EXPECT_EQ(fields.hint, "do this");
}

TEST(Error, WithoutSqlstateOrTerminatorIsSurvived) {
  EXPECT_EQ(read_error("Mboom\0"sv).message, "boom");
  EXPECT_EQ(read_error("Mboom"sv).message, "");
  EXPECT_EQ(read_error(""sv).sqlstate, "");
}

TEST(Builders, CountTheirOwnLength) {
  std::string out;
  parse(out, "s", "SELECT $1", std::string_view("\0\0\0\x17", 4));
  auto frame = scan_frame(out);
  EXPECT_EQ(frame.size, out.size());
  Reader reader(std::string_view(out).substr(kHeaderSize));
  EXPECT_EQ(reader.cstring(), "s");
  EXPECT_EQ(reader.cstring(), "SELECT $1");
  EXPECT_EQ(reader.u16(), 1);
  EXPECT_EQ(reader.u32(), 23u);
  EXPECT_TRUE(reader.ok());
  EXPECT_TRUE(reader.rest().empty());
}

}  // namespace
}  // namespace dbproxy::wire::postgres
