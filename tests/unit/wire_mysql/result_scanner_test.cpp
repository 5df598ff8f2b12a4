#include "proxy/wire/mysql/result_scanner.hpp"

#include <gtest/gtest.h>
#include <vector>

#include "proxy/wire/mysql/messages.hpp"

namespace dbproxy::wire::mysql {
namespace {

using namespace std::string_view_literals;
using Kinds = std::vector<PacketKind>;
using enum PacketKind;

constexpr std::uint32_t kNew = client::kProtocol41 | client::kDeprecateEof | client::kSessionTrack;
constexpr std::uint32_t kOld = client::kProtocol41;

// Kinds of the packets of `bytes`; the last is kBroken where the answer is not whole, or there is more than it.
Kinds scan(Answer answer, std::uint32_t capabilities, std::string_view bytes, bool file_sent = true) {
  ResultScanner scanner(answer, capabilities);
  Kinds kinds;
  while (!bytes.empty()) {
    const Frame frame = scan_frame(bytes);
    EXPECT_TRUE(frame.known && frame.size() <= bytes.size());
    kinds.push_back(scanner.take(frame, bytes.substr(kHeaderSize, frame.length)));
    if (kinds.back() == PacketKind::kBroken) return kinds;
    if (scanner.wants_file() && file_sent) scanner.file_sent();
    bytes.remove_prefix(frame.size());
  }
  if (!scanner.done()) kinds.push_back(PacketKind::kBroken);
  return kinds;
}

class Bytes {
 public:
  explicit Bytes(std::uint32_t capabilities) : capabilities_(capabilities) {}
  Bytes& raw(std::string_view payload) {
    packet(out, next_++, payload);
    return *this;
  }
  Bytes& ok(std::uint16_t flags = status::kAutocommit) {
    wire::mysql::ok(out, next_++, capabilities_, {0, 0, flags, 0, "", ""});
    return *this;
  }
  Bytes& columns_end(std::uint16_t flags = status::kAutocommit) {
    if (!(capabilities_ & client::kDeprecateEof)) eof(out, next_++, 0, flags);
    return *this;
  }
  Bytes& end(std::uint16_t flags = status::kAutocommit) {
    if (capabilities_ & client::kDeprecateEof)
      wire::mysql::ok(out, next_++, capabilities_, {0, 0, flags, 0, "", ""}, kEofHeader);
    else
      eof(out, next_++, 0, flags);
    return *this;
  }
  Bytes& error() {
    error_packet(out, next_++, {1064, "42000", "no"});
    return *this;
  }
  std::string out;

 private:
  std::uint32_t capabilities_;
  std::uint8_t next_ = 1;
};

TEST(ResultScanner, OneStatementWithoutRows) {
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).ok().out), Kinds{kOk});
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).error().out), Kinds{kError});
  EXPECT_EQ(scan(Answer::kOk, kOld, Bytes(kOld).end().out), Kinds{kOk});
  EXPECT_EQ(scan(Answer::kOk, kNew, Bytes(kNew).end().out), Kinds{kOk});
  EXPECT_EQ(scan(Answer::kText, kNew, Bytes(kNew).raw("Uptime: 7").out), Kinds{kText});
  EXPECT_EQ(scan(Answer::kNone, kNew, ""), Kinds{});
}

TEST(ResultScanner, RowsBothWays) {
  // The first row begins as an OK would, the second with NULL, the third is a value of 254 bytes and more.
  const std::string long_row = "\xfc\x00\x01" + std::string(256, 'x');
  EXPECT_EQ(
      scan(Answer::kResults, kNew, Bytes(kNew).raw("\x01").raw("def").raw("\0"sv).raw("\xfb").raw(long_row).end().out),
      (Kinds{kColumnCount, kColumn, kRow, kRow, kRow, kRowsEnd}));
  EXPECT_EQ(
      scan(Answer::kResults, kOld,
           Bytes(kOld).raw("\x02").raw("def").raw("def").columns_end().raw("\0"sv).raw("\xfb").raw(long_row).end().out),
      (Kinds{kColumnCount, kColumn, kColumn, kColumnsEnd, kRow, kRow, kRow, kRowsEnd}));
}

TEST(ResultScanner, AnErrorMayComeAmongRows) {
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).raw("\x01").raw("def").raw("\x01x").error().out),
            (Kinds{kColumnCount, kColumn, kRow, kError}));
}

TEST(ResultScanner, ManyResults) {
  const std::uint16_t more = status::kMoreResults;
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).ok(more).raw("\x01").raw("def").raw("\x01x").end(more).ok().out),
            (Kinds{kOk, kColumnCount, kColumn, kRow, kRowsEnd, kOk}));
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).ok(more).error().out), (Kinds{kOk, kError}));
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).ok(more).out), (Kinds{kOk, kBroken}));
}

TEST(ResultScanner, APacketOfSeveralFragmentsIsOneRow) {
  ResultScanner scanner(Answer::kResults, kNew);
  const std::string head = Bytes(kNew).raw("\x01").raw("def").out;
  for (std::string_view bytes = head; !bytes.empty();) {
    const Frame frame = scan_frame(bytes);
    scanner.take(frame, bytes.substr(kHeaderSize, frame.length));
    bytes.remove_prefix(frame.size());
  }
  // A text of 16 MB begins with 0xfe; what continues it may begin with anything.
  EXPECT_EQ(scanner.take({true, 3, kMaxFragment}, "\xfe"), kRow);
  EXPECT_FALSE(scanner.done());
  EXPECT_EQ(scanner.take({true, 4, 7}, "\xfe\0\0\x02\0\0\0"sv), kContinued);
  EXPECT_EQ(scanner.take({true, 5, kMaxFragment}, "\xfb"), kRow);
  EXPECT_EQ(scanner.take({true, 6, 0}, ""), kContinued);
  EXPECT_EQ(scanner.take({true, 7, 7}, "\xfe\0\0\x02\0\0\0"sv), kRowsEnd);
  EXPECT_TRUE(scanner.done());
}

TEST(ResultScanner, PreparedStatements) {
  const auto prepared = [](char columns, char parameters) {
    return std::string("\0\x07\0\0\0", 5) + columns + std::string("\0", 1) + parameters + std::string("\0\0\0\0", 4);
  };
  EXPECT_EQ(scan(Answer::kPrepare, kNew, Bytes(kNew).raw(prepared(0, 0)).out), Kinds{kPrepareOk});
  EXPECT_EQ(scan(Answer::kPrepare, kNew, Bytes(kNew).raw(prepared(1, 2)).raw("def").raw("def").raw("def").out),
            (Kinds{kPrepareOk, kColumn, kColumn, kColumn}));
  EXPECT_EQ(scan(Answer::kPrepare, kOld,
                 Bytes(kOld).raw(prepared(1, 2)).raw("def").raw("def").columns_end().raw("def").columns_end().out),
            (Kinds{kPrepareOk, kColumn, kColumn, kColumnsEnd, kColumn, kColumnsEnd}));
  EXPECT_EQ(scan(Answer::kPrepare, kOld, Bytes(kOld).raw(prepared(1, 0)).raw("def").columns_end().out),
            (Kinds{kPrepareOk, kColumn, kColumnsEnd}));
  EXPECT_EQ(scan(Answer::kPrepare, kNew, Bytes(kNew).error().out), Kinds{kError});
  EXPECT_EQ(scan(Answer::kPrepare, kNew, Bytes(kNew).raw("\0\x07"sv).out), Kinds{kBroken});
  // As MySQL 8.0.15 answers SET GLOBAL to who may not.
  EXPECT_EQ(scan(Answer::kPrepare, kNew, Bytes(kNew).raw("\0\0\0\0\0\0\0"sv).out), Kinds{kText});
}

TEST(ResultScanner, CursorsHaveTheirRowsFetched) {
  EXPECT_EQ(scan(Answer::kResults, kOld, Bytes(kOld).raw("\x01").raw("def").columns_end(status::kCursorExists).out),
            (Kinds{kColumnCount, kColumn, kColumnsEnd}));
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).raw("\x01").raw("def").end(status::kCursorExists).out),
            (Kinds{kColumnCount, kColumn, kRowsEnd}));
  EXPECT_EQ(scan(Answer::kRows, kNew, Bytes(kNew).raw("\0\0x"sv).end(status::kLastRowSent).out),
            (Kinds{kRow, kRowsEnd}));
}

TEST(ResultScanner, FieldLists) {
  EXPECT_EQ(scan(Answer::kFields, kNew,
                 Bytes(kNew)
                     .raw("\x03"
                          "def")
                     .end()
                     .out),
            (Kinds{kColumn, kRowsEnd}));
  EXPECT_EQ(scan(Answer::kFields, kOld, Bytes(kOld).end().out), Kinds{kRowsEnd});
}

TEST(ResultScanner, AFileIsAwaited) {
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).raw("\xfb/tmp/x").ok().out), (Kinds{kLocalInfile, kOk}));
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).raw("\xfb/tmp/x").ok().out, false),
            (Kinds{kLocalInfile, kBroken}));
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).raw("\xfb/tmp/x").error().out, false),
            (Kinds{kLocalInfile, kError}));
}

TEST(ResultScanner, WhatTheProtocolDoesNotAllow) {
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).raw("").out), Kinds{kBroken});
  EXPECT_EQ(scan(Answer::kResults, kNew, Bytes(kNew).raw("\xfd\xff\xff\xff").out), Kinds{kBroken});
  EXPECT_EQ(scan(Answer::kOk, kNew, Bytes(kNew).raw("\x05").out), Kinds{kBroken});
  EXPECT_EQ(scan(Answer::kOk, kNew, Bytes(kNew).ok().ok().out), (Kinds{kOk, kBroken}));
  EXPECT_EQ(scan(Answer::kResults, kOld, Bytes(kOld).raw("\x01").raw("def").raw("\x01x").out),
            (Kinds{kColumnCount, kColumn, kBroken}));
}

}  // namespace
}  // namespace dbproxy::wire::mysql
