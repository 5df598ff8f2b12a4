// The sidecar's side by itself: what it may open, what it gives back, whom it believes.
#include "proxy/budget/ledger.hpp"

#include <gtest/gtest.h>

namespace dbproxy::budget {
namespace {

using namespace std::chrono_literals;
constexpr TimePoint kStart{1h};

struct LedgerTest : testing::Test {
  LedgerOptions options() {
    return {.pod = "p", .incarnation = 7, .save = [this](const Holdings& held) {
              if (full) return false;
              saved = held;
              return true;
            }};
  }
  bool allow(Slots slots, Slots goal, const Lane& lane = kReadWrite, Slots floor = 0) {
    return ledger.take(Allowance{7, 1, 1, ++number, lane, slots, goal, floor}, now);
  }
  void use(Slots open, Slots waiting = 0, bool writer = true, const std::string& member = "a") {
    ledger.set_use(member, {writer, open, waiting}, now);
  }
  void SetUp() override {
    use(0);
    ASSERT_TRUE(ledger.take(Open{7, 1, 1}));
  }

  bool full = false;
  Holdings saved;
  std::uint64_t number = 0;
  TimePoint now = kStart;
  Ledger ledger{options()};
};

TEST_F(LedgerTest, OpensNothingWithoutASlot) {
  EXPECT_EQ(ledger.limit("a"), 0U);
  ASSERT_TRUE(allow(3, 3));
  EXPECT_EQ(ledger.limit("a"), 3U);
  EXPECT_EQ(ledger.limit("b"), 0U) << "not the writer";
}

TEST_F(LedgerTest, SavesBeforeItUses) {
  full = true;
  ASSERT_TRUE(allow(3, 3));
  EXPECT_EQ(ledger.limit("a"), 0U);
  EXPECT_EQ(ledger.report()->lanes[kReadWrite].held, 0U) << "what it does not take it gives back";
  full = false;
  ASSERT_TRUE(allow(3, 3));
  EXPECT_EQ(saved[kReadWrite], 3U);
}

TEST_F(LedgerTest, BelievesOnlyTheNewestOfItsOwnSession) {
  ASSERT_TRUE(allow(3, 3));
  EXPECT_FALSE(ledger.take(Allowance{7, 1, 1, 1, kReadWrite, 9, 9, 0}, now)) << "seen already";
  EXPECT_FALSE(ledger.take(Allowance{7, 1, 2, 9, kReadWrite, 9, 9, 0}, now)) << "another session";
  EXPECT_FALSE(ledger.take(Allowance{7, 2, 1, 9, kReadWrite, 9, 9, 0}, now)) << "another epoch";
  EXPECT_FALSE(ledger.take(Allowance{6, 1, 1, 9, kReadWrite, 9, 9, 0}, now)) << "for its predecessor";
  EXPECT_FALSE(ledger.take(Open{7, 1, 1}));
  EXPECT_FALSE(ledger.take(Open{7, 0, 5})) << "a lower epoch";
  EXPECT_TRUE(ledger.take(Open{7, 2, 1}));
  EXPECT_FALSE(allow(9, 9)) << "of the session before";
  EXPECT_EQ(ledger.limit("a"), 3U) << "what it has it keeps";
}

TEST_F(LedgerTest, GivesBackWhatItIsAskedForAsConnectionsClose) {
  allow(5, 5);
  use(5);
  allow(5, 2);
  EXPECT_EQ(ledger.limit("a"), 2U);
  EXPECT_EQ(ledger.holdings()[kReadWrite], 5U) << "all are open";
  use(4);
  EXPECT_EQ(saved[kReadWrite], 4U);
  EXPECT_EQ(ledger.report()->lanes[kReadWrite].held, 4U);
  use(1);
  EXPECT_EQ(ledger.holdings()[kReadWrite], 2U) << "no more than asked for";
}

TEST_F(LedgerTest, GivesBackUnaskedWhatHadNoUseForAWhile) {
  allow(5, 5, kReadWrite, 1);
  use(2);
  ledger.tick(now);
  EXPECT_EQ(ledger.limit("a"), 5U);
  now += 499ms;
  ledger.tick(now);
  EXPECT_EQ(ledger.limit("a"), 5U);
  now += 1ms;
  ledger.tick(now);
  EXPECT_EQ(ledger.limit("a"), 2U);
  use(0);
  now += 1s;
  ledger.tick(now);
  now += 1s;
  ledger.tick(now);
  EXPECT_EQ(ledger.limit("a"), 1U) << "but for the floor";
}

TEST_F(LedgerTest, AFailoverNeedsNobody) {
  allow(4, 4);
  allow(2, 2, "b");
  use(4);
  use(2, 0, false, "b");
  use(4, 0, false, "a");  // demoted
  use(2, 3, true, "b");   // promoted
  EXPECT_EQ(ledger.limit("a"), 0U);
  EXPECT_EQ(ledger.limit("b"), 6U);
  use(0, 0, false, "a");
  EXPECT_EQ(ledger.limit("b"), 6U);
}

TEST_F(LedgerTest, ReportsOnlyWhatIsNew) {
  EXPECT_TRUE(ledger.report().has_value());
  EXPECT_FALSE(ledger.report().has_value());
  use(0, 2);
  EXPECT_EQ(ledger.report()->lanes[kReadWrite].want, 2U);
  EXPECT_FALSE(ledger.report().has_value());
}

TEST_F(LedgerTest, GoesOnWithWhatItsPredecessorHeldAsItsConnectionsEnd) {
  LedgerOptions successor = options();
  successor.incarnation = 8;
  successor.own = {{kReadWrite, 3}};
  Ledger next(successor);
  next.set_use("a", {true, 3, 1}, now);  // all of them the predecessor's
  EXPECT_EQ(next.limit("a"), 3U) << "of which the owner knows that they are taken";
  ASSERT_TRUE(next.take(Open{8, 1, 2}));
  EXPECT_EQ(next.report()->lanes[kReadWrite].held, 3U);
  ASSERT_TRUE(next.take(Allowance{8, 1, 2, 1, kReadWrite, 3, 1, 0}, now));
  EXPECT_EQ(next.report()->lanes[kReadWrite].held, 3U) << "none can be given back yet";
  next.set_use("a", {true, 1, 0}, now);
  EXPECT_EQ(next.report()->lanes[kReadWrite].held, 1U);
  EXPECT_EQ(saved[kReadWrite], 1U);
}

TEST_F(LedgerTest, KeepsWhatNobodyWouldGiveIt) {
  LedgerOptions successor = options();
  successor.incarnation = 8;
  successor.own = {{kReadWrite, 3}};
  Ledger next(successor);
  const auto rest = [&] {
    next.tick(now);
    now += 1s;
    next.tick(now);
  };
  rest();
  EXPECT_EQ(next.limit("a"), 0U) << "not known as the writer";
  next.set_use("a", {true, 0, 0}, now);
  rest();
  EXPECT_EQ(next.limit("a"), 3U) << "no operator has spoken yet";
  ASSERT_TRUE(next.take(Open{8, 1, 2}));
  ASSERT_TRUE(next.take(Allowance{8, 1, 2, 1, kReadWrite, 3, 3, 1}, now));
  next.unheard();
  rest();
  EXPECT_EQ(next.limit("a"), 3U) << "it is away again";
  ASSERT_TRUE(next.take(Open{8, 1, 3}));
  rest();
  EXPECT_EQ(next.limit("a"), 1U);
}

}  // namespace
}  // namespace dbproxy::budget
