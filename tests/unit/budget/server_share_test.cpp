// One server, several DBProxies, and sessions of others: by example, and by a random walk with what has to hold always.
#include "operator/budget/server_share.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <vector>

namespace dbproxy::operator_budget {
namespace {

using budget::Slots;
using Claims = std::map<std::string, Claim>;

TEST(ServerShare, AFewConnectionsStayFreeForOthers) {
  EXPECT_EQ(available(96, 0), 96u);
  EXPECT_EQ(available(96, 1), 94u);
  EXPECT_EQ(available(96, 50), 41u);
  EXPECT_EQ(available(96, 51), 39u);
  EXPECT_EQ(available(96, 96), 0u);
  EXPECT_EQ(available(3, 1000), 0u);
}

TEST(ServerShare, ALoneDBProxyIsBoundByItsOwnLimitAndByWhatIsFree) {
  EXPECT_EQ(share({{"a", {60, 10, 80}}}, "a", 96), 60u);
  EXPECT_EQ(share({{"a", {60, 10, 80}}}, "a", 41), 41u);
  EXPECT_EQ(share({{"a", {60, 50, 80}}}, "a", 41), 50u) << "what is held is not taken back for others";
  EXPECT_EQ(share({{"a", {30, 50, 80}}}, "a", 41), 30u) << "but for a limit of its own that shrank";
  EXPECT_EQ(share({{"a", {60, 0, 80}}}, "a", 0), 0u);
  EXPECT_EQ(share({}, "a", 96), 0u);
}

TEST(ServerShare, WhoeverWaitsGetsItsPartFromWhoeverHasMore) {
  const Claims full{{"a", {96, 96, 96}}, {"b", {96, 0, 5}}};
  EXPECT_EQ(share(full, "b", 96), 0u) << "nothing is free yet";
  EXPECT_EQ(share(full, "a", 96), 91u);
  EXPECT_EQ(share({{"a", {96, 91, 96}}, {"b", {96, 0, 5}}}, "b", 96), 5u);
  EXPECT_EQ(share({{"a", {96, 96, 96}}, {"b", {96, 0, 80}}}, "a", 96), 48u) << "its part, and no more";
  EXPECT_EQ(share({{"a", {96, 96, 96}}, {"b", {96, 0, 0}}}, "a", 96), 96u) << "nobody else wants anything";
  EXPECT_EQ(share({{"a", {96, 48, 1}}, {"b", {96, 48, 96}}}, "a", 96), 1u) << "what it does not need goes to who waits";
  EXPECT_EQ(share({{"a", {96, 40, 40}}, {"b", {96, 56, 96}}}, "b", 96), 56u);
  EXPECT_EQ(share({{"a", {60, 60, 60}}, {"b", {20, 0, 20}}}, "b", 96), 20u) << "there is enough for both";
  EXPECT_EQ(share({{"a", {20, 20, 80}}, {"b", {60, 0, 0}}}, "b", 96), 60u) << "nothing is kept beyond a limit";
  EXPECT_EQ(share({{"a", {60, 60, 60}}, {"b", {20, 0, 20}}}, "a", 60), 45u) << "others have the rest: three to one";
}

TEST(ServerShare, HoldsWhateverHappens) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto roll = [&](std::size_t sides) { return static_cast<Slots>(random() % sides); };
    const Slots usable = 2 + roll(100);
    Slots others = roll(usable);
    Slots counted = others;  // as the server was asked last
    Claims claims;
    std::vector<std::string> names;
    for (Slots i = 0; i < 1 + seed % 4; ++i) {
      names.push_back(std::string(1, static_cast<char>('a' + i)));
      claims[names.back()] = {1 + roll(usable), 0, 0};
    }
    const auto charged = [&] {
      return std::accumulate(claims.begin(), claims.end(), Slots{0},
                             [](Slots sum, const auto& each) { return sum + each.second.charged; });
    };
    const auto turn = [&](const std::string& name, bool all) {
      const Slots most = share(claims, name, available(usable, counted));
      const Slots before = charged();
      Claim& claim = claims[name];
      ASSERT_LE(most, claim.limit);
      if (claim.charged < claim.needed) {
        claim.charged = std::max(claim.charged, std::min(claim.needed, most));
      } else if (claim.charged > claim.needed) {
        claim.charged = all ? claim.needed : claim.charged - 1;
      }
      if (claim.charged > most) claim.charged -= all ? claim.charged - most : 1;
      if (charged() > before) {
        ASSERT_LE(charged(), available(usable, counted)) << seed;
      }
    };
    for (int step = 0; step < 500; ++step) {
      const std::string& name = names[roll(names.size())];
      switch (roll(8)) {
        case 0:
          claims[name].needed = roll(usable + 10);
          break;
        case 1:  // what they can get
          others = charged() >= usable ? 0 : roll(usable - charged() + 1);
          break;
        case 2:
          counted = others;
          break;
        default:
          turn(name, false);
      }
      if (HasFatalFailure()) return;
    }
    counted = others = roll(usable);
    for (const std::string& name : names) claims[name].needed = claims[name].limit;
    for (int round = 0; round < 20; ++round) {
      for (const std::string& name : names) turn(name, true);
    }
    std::uint64_t limits = 0;
    for (const auto& [name, claim] : claims) limits += claim.limit;
    const std::uint64_t whole = std::max(available(usable, counted), charged());
    EXPECT_GE(charged() + names.size(), std::min(limits, whole)) << seed << ": nothing is left unused";
    for (const auto& [name, claim] : claims) {
      const std::uint64_t part = limits <= whole ? claim.limit : whole * claim.limit / limits;
      EXPECT_GE(claim.charged, part) << seed << ": " << name << " has its part";
    }
  }
}

}  // namespace
}  // namespace dbproxy::operator_budget
