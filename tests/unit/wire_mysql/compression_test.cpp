#include "proxy/wire/mysql/compression.hpp"

#include <gtest/gtest.h>

#include "proxy/wire/mysql/packet.hpp"

namespace dbproxy::wire::mysql {
namespace {

using namespace std::string_view_literals;

TEST(Compression, RoundTrip) {
  for (const auto& [algorithm, size] :
       {std::pair{CompressionAlgorithm::kZlib, 1u}, std::pair{CompressionAlgorithm::kZlib, 49u},
        std::pair{CompressionAlgorithm::kZlib, 50u}, std::pair{CompressionAlgorithm::kZlib, 5000u},
        std::pair{CompressionAlgorithm::kZlib, 0xffffffu}, std::pair{CompressionAlgorithm::kZlib, 0xffffffu + 100u},
        std::pair{CompressionAlgorithm::kZstd, 1u}, std::pair{CompressionAlgorithm::kZstd, 5000u},
        std::pair{CompressionAlgorithm::kZstd, 0xffffffu}, std::pair{CompressionAlgorithm::kZstd, 0xffffffu + 100u}}) {
    std::string plain(size, 'a');
    for (std::size_t i = 0; i < size; i += 7) plain[i] = static_cast<char>(i * 31);
    Compression sender(algorithm), receiver(algorithm);
    std::string wire, back;
    ASSERT_TRUE(sender.compress(plain, wire));
    if (size > 50) EXPECT_LT(wire.size(), plain.size());
    while (!wire.empty()) {
      std::size_t consumed = 0;
      ASSERT_TRUE(receiver.decompress(wire, consumed, back));
      ASSERT_GT(consumed, 0u);
      wire.erase(0, consumed);
    }
    EXPECT_TRUE(back == plain);
  }
}

TEST(Compression, AnswersGoOnWithTheSequenceOfTheRequest) {
  Compression end;
  std::string plain, wire;
  std::size_t consumed = 0;
  ASSERT_TRUE(end.decompress("\x05\0\0\x03\0\0\0\x01\0\0\0\x0e"sv, consumed, plain));
  EXPECT_EQ(consumed, 12u);
  EXPECT_EQ(plain, "\x01\0\0\0\x0e"sv);
  ASSERT_TRUE(end.compress("abc", wire));
  EXPECT_EQ(wire, "\x03\0\0\x04\0\0\0abc"sv);
}

TEST(Compression, ShortAndIncompressiblePiecesAreStored) {
  Compression end;
  std::string wire;
  std::string noise;
  std::uint32_t state = 1;
  for (int i = 0; i < 200; ++i) noise += static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  ASSERT_TRUE(end.compress(noise, wire));
  EXPECT_EQ(load_u24(wire.data() + 4), 0u);
  EXPECT_EQ(wire.size(), noise.size() + Compression::kHeaderSize);
}

TEST(Compression, PacketsAreSentWhole) {
  Compression sender, receiver;
  std::string packet("\xc8\0\0\x01"sv), wire, back;
  packet.append(200, 'x');
  const std::string all = packet + packet;
  for (std::size_t n = 0; n < all.size(); ++n) {
    ASSERT_TRUE(sender.compress_packets(std::string_view(all).substr(n, 1), wire));
    EXPECT_EQ(wire.empty(), n < packet.size() - 1 || (n >= packet.size() && n < all.size() - 1)) << n;
    std::size_t consumed = 0;
    ASSERT_TRUE(receiver.decompress(wire, consumed, back));
    EXPECT_EQ(consumed, wire.size());
    wire.clear();
  }
  EXPECT_EQ(back, all);
  ASSERT_TRUE(sender.compress_packets(all, wire));
  EXPECT_EQ(Compression::packet_size(wire), wire.size());  // both in one
}

class Algorithms : public testing::TestWithParam<CompressionAlgorithm> {};
INSTANTIATE_TEST_SUITE_P(Both, Algorithms, testing::Values(CompressionAlgorithm::kZlib, CompressionAlgorithm::kZstd));

TEST_P(Algorithms, NeedWholePacketsAndRefuseLies) {
  Compression sender(GetParam()), receiver(GetParam());
  std::string wire, back;
  ASSERT_TRUE(sender.compress(std::string(1000, 'z'), wire));
  std::size_t consumed = 1;
  for (std::size_t n = 0; n < wire.size(); ++n) {
    ASSERT_TRUE(receiver.decompress(std::string_view(wire).substr(0, n), consumed, back));
    EXPECT_EQ(consumed, 0u);
  }
  std::string shorter = wire;
  store_u24(shorter.data() + 4, 999);  // it becomes more than it says
  EXPECT_FALSE(receiver.decompress(shorter, consumed, back));
  store_u24(shorter.data() + 4, 1001);
  EXPECT_FALSE(receiver.decompress(shorter, consumed, back));
  std::string broken = wire;
  broken[9] = static_cast<char>(broken[9] + 1);
  broken[8] = '\xff';
  EXPECT_FALSE(receiver.decompress(broken, consumed, back));
  EXPECT_TRUE(back.empty());
}

}  // namespace
}  // namespace dbproxy::wire::mysql
