#include "proxy/auth/md5.hpp"

#include <gtest/gtest.h>

#include "proxy/auth/random.hpp"

namespace dbproxy::auth {
namespace {

constexpr std::array<std::uint8_t, 4> kSalt = {0x12, 0x34, 0x00, 0xff};

TEST(Md5, KnownAnswer) {
  // Python: 'md5'+md5(md5(b'secretalice').hexdigest().encode()+bytes([0x12,0x34,0,0xff])).hexdigest()
  EXPECT_EQ(md5_response(Secret("secret"), "alice", kSalt).value(), "md53b0bc9686f91794dc0276eaf0d925928");
}

TEST(Md5, VerifiesOnlyTheExactAnswer) {
  const std::string right = md5_response(Secret("secret"), "alice", kSalt).value();
  EXPECT_TRUE(md5_verify(right, Secret("secret"), "alice", kSalt));
  EXPECT_FALSE(md5_verify(right, Secret("secret"), "bob", kSalt));
  EXPECT_FALSE(md5_verify(right, Secret("Secret"), "alice", kSalt));
  EXPECT_FALSE(md5_verify(right + '\0', Secret("secret"), "alice", kSalt));
  EXPECT_EQ(md5_verify("", Secret("secret"), "alice", kSalt).error(), make_error_code(Error::kWrongProof));
  for (std::size_t cut = 0; cut < right.size(); ++cut)
    EXPECT_FALSE(md5_verify(right.substr(0, cut), Secret("secret"), "alice", kSalt));
}

TEST(Random, SystemRandomFillsTheSpan) {
  std::array<std::uint8_t, 32> first{}, second{};
  const RandomBytes random = system_random();
  random(first);
  random(second);
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace dbproxy::auth
