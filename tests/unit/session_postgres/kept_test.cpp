// Prepared statements beyond what one server connection keeps.
#include "tests/unit/session_postgres/script.hpp"

namespace dbproxy::session::postgres {
namespace {

struct Kept : Script {
  Kept() {
    for (std::size_t i = 0; i < kMaxPreparedPerServer; ++i) {
      sent(client, p(name(i), "SELECT " + std::to_string(i)) + s());
      got(client, m('1') + z());
    }
  }
  static std::string name(std::size_t i) { return "s" + std::to_string(i); }
};

TEST_F(Kept, OnlySoManyStandOnAConnectionAndTheOneUsedLongAgoGoes) {
  sent(client, b(name(0)) + e() + s());
  got(client, m('2') + tag("SELECT 1") + z());
  EXPECT_EQ(sent(client, p("more", "SELECT 'more'") + s()), "C(Sp_2) P(p_1001) S") << "the first was used since";
  EXPECT_EQ(got(client, m('3') + m('1') + z()), "1 ZI");
  EXPECT_EQ(sent(client, b(name(1)) + e() + s()), "C(Sp_3) P(p_2) B(p_2) E S") << "the client still has it";
  EXPECT_EQ(got(client, m('3') + m('1') + m('2') + tag("SELECT 1") + z()), "2 C(SELECT 1) ZI");
}

TEST_F(Kept, WhatWasToGoBehindAnErrorIsStillThere) {
  EXPECT_EQ(sent(client, p("", "nonsense") + p("more", "SELECT 'more'") + b("more") + e() + s()),
            "P() C(Sp_1) P(p_1002) B(p_1002) E S");
  EXPECT_EQ(got(client, error("42601") + z()), "E(42601) ZI");
  EXPECT_EQ(sent(client, b(name(0)) + e() + s()), "C(Sp_1) P(p_1) B(p_1) E S");
  EXPECT_EQ(got(client, m('3') + m('1') + m('2') + tag("SELECT 1") + z()), "2 C(SELECT 1) ZI");
  EXPECT_EQ(sent(client, p("more", "SELECT 'more'") + s()), "C(Sp_2) P(p_1003) S") << "and this one is not";
  EXPECT_EQ(got(client, m('3') + m('1') + z()), "1 ZI");
}

}  // namespace
}  // namespace dbproxy::session::postgres
