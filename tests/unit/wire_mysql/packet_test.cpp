#include "proxy/wire/mysql/packet.hpp"

#include <gtest/gtest.h>

#include "proxy/wire/mysql/messages.hpp"
#include "proxy/wire/mysql/reader.hpp"

namespace dbproxy::wire::mysql {
namespace {

using namespace std::string_view_literals;

TEST(ScanFrame, NeedsTheHeaderOnly) {
  const auto bytes =
      "\x03\x00\x00\x05"
      "abc"sv;
  for (std::size_t n = 0; n < kHeaderSize; ++n) EXPECT_FALSE(scan_frame(bytes.substr(0, n)).known);
  for (std::size_t n = kHeaderSize; n <= bytes.size(); ++n) {
    const Frame frame = scan_frame(bytes.substr(0, n));
    EXPECT_TRUE(frame.known);
    EXPECT_EQ(frame.length, 3u);
    EXPECT_EQ(frame.sequence, 5);
    EXPECT_EQ(frame.size(), 7u);
    EXPECT_FALSE(frame.continued());
  }
}

TEST(Packet, OfExactlyTheBoundHasAnEmptyTrailer) {
  for (const std::size_t size : {kMaxFragment - 1, kMaxFragment, kMaxFragment + 1, 2 * kMaxFragment}) {
    std::string out;
    const std::string payload(size, 'x');
    const std::uint8_t next = packet(out, 254, payload);
    const std::size_t fragments = size / kMaxFragment + 1;
    EXPECT_EQ(out.size(), size + fragments * kHeaderSize);
    EXPECT_EQ(next, static_cast<std::uint8_t>(254 + fragments));
    const Packet found = scan_packet(out);
    EXPECT_TRUE(found.known);
    EXPECT_EQ(found.sequence, 254);
    EXPECT_EQ(found.fragments, fragments);
    EXPECT_EQ(found.size, out.size());
    EXPECT_EQ(found.payload_size, size);
    std::string scratch;
    EXPECT_EQ(payload_of(out, scratch), payload);
    EXPECT_EQ(scratch.empty(), fragments == 1);
    // Without the header of its last fragment nobody knows where it ends.
    if (fragments > 1) {
      EXPECT_FALSE(scan_packet(std::string_view(out).substr(0, out.size() - size % kMaxFragment - 1)).known);
    }
  }
}

TEST(Reader, LengthEncodedIntegers) {
  for (const std::uint64_t value : {0ull, 250ull, 251ull, 0xffffull, 0x10000ull, 0xffffffull, 0x1000000ull, ~0ull}) {
    std::string bytes;
    append_lenenc(bytes, value);
    Reader reader(bytes);
    EXPECT_EQ(reader.lenenc(), value);
    EXPECT_TRUE(reader.ok());
    EXPECT_TRUE(reader.rest().empty());
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      Reader cut(std::string_view(bytes).substr(0, n));
      cut.lenenc();
      EXPECT_FALSE(cut.ok());
    }
  }
}

TEST(Reader, RefusesLengthsThatLie) {
  Reader huge(
      "\xfe\xff\xff\xff\xff\xff\xff\xff\xff"
      "abc"sv);
  EXPECT_EQ(huge.lenenc_bytes(), "");
  EXPECT_FALSE(huge.ok());
  Reader null("\xfb"sv);
  null.lenenc();
  EXPECT_FALSE(null.ok());
  Reader reserved("\xff"sv);
  reserved.lenenc();
  EXPECT_FALSE(reserved.ok());
  Reader open("abc"sv);
  open.cstring();
  EXPECT_FALSE(open.ok());
}

TEST(Reader, NullWhereItMayStand) {
  Reader reader("\xfb\x01x\x00"sv);
  EXPECT_FALSE(reader.nullable_bytes().has_value());
  EXPECT_EQ(reader.nullable_bytes(), "x"sv);
  EXPECT_EQ(reader.nullable_bytes(), ""sv);
  EXPECT_TRUE(reader.ok());
  reader.nullable_bytes();
  EXPECT_FALSE(reader.ok());
}

}  // namespace
}  // namespace dbproxy::wire::mysql
