#include "proxy/backend/scram_key_cache.hpp"

#include <gtest/gtest.h>

namespace dbproxy::backend {
namespace {

struct KeyCache : ::testing::Test {
  int derived = 0;
  ScramKeyCache cache{[this](const Secret& password, std::string_view salt, int iterations) {
    ++derived;
    auth::ScramKeys keys;
    keys.salt = salt;
    keys.iterations = iterations;
    keys.client_key[0] = static_cast<std::uint8_t>(password.reveal().size());
    return keys;
  }};
};

TEST_F(KeyCache, DerivesOnceForEachSaltCountAndPassword) {
  for (int i = 0; i < 3; ++i) {
    auto keys = cache.keys("app", Secret("one"), "salt", 4096);
    EXPECT_EQ(keys.salt, "salt");
    EXPECT_EQ(keys.iterations, 4096);
    EXPECT_EQ(keys.client_key[0], 3);
  }
  EXPECT_EQ(derived, 1);
  EXPECT_EQ(cache.keys("app", Secret("longer"), "salt", 4096).client_key[0], 6);  // the password changed
  EXPECT_EQ(cache.keys("app", Secret("one"), "salt", 4096).client_key[0], 3);
  EXPECT_EQ(derived, 3);
  cache.keys("app", Secret("one"), "other", 4096);
  cache.keys("app", Secret("one"), "salt", 10000);
  cache.keys("reports", Secret("one"), "salt", 4096);
  EXPECT_EQ(derived, 6);
}

TEST_F(KeyCache, IsBounded) {
  for (std::size_t i = 0; i <= ScramKeyCache::kMaxEntries; ++i) {
    cache.keys("app", Secret("one"), std::to_string(i), 4096);
  }
  auto before = derived;
  cache.keys("app", Secret("one"), "0", 4096);
  EXPECT_EQ(derived, before + 1);
  cache.keys("app", Secret("one"), std::to_string(ScramKeyCache::kMaxEntries), 4096);
  EXPECT_EQ(derived, before + 1);
}

}  // namespace
}  // namespace dbproxy::backend
