#include "proxy/auth/saslprep.hpp"

#include <gtest/gtest.h>
#include <string>

namespace dbproxy::auth {
namespace {

std::string prepared(const std::string& text) {
  return std::string(saslprep(Secret(text)).reveal());
}

TEST(Saslprep, TakesAsciiAsItIs) {
  for (const std::string& text :
       {std::string(), std::string("pencil"), std::string(" \t\x7f\x01"), std::string("a\0b", 3)})
    EXPECT_EQ(prepared(text), text);
}

TEST(Saslprep, FollowsTheExamplesOfRfc4013) {
  EXPECT_EQ(prepared("I\u00ADX"), "IX");
  EXPECT_EQ(prepared("USER\u00ADx"), "USERx");
  EXPECT_EQ(prepared("\u00AA"), "a");
  EXPECT_EQ(prepared("\u2168"), "IX");
}

TEST(Saslprep, MapsAndNormalises) {
  EXPECT_EQ(prepared("a\u00A0b\u3000c\u200Bd"), "a b c d");
  EXPECT_EQ(prepared("\u2060\uFEFFx\u200D\uFE0F"), "x");
  EXPECT_EQ(prepared("pa\u0308sswo\u0308rd"), "p\u00E4ssw\u00F6rd");
  EXPECT_EQ(prepared("\uFF50\uFF47"), "pg");
  EXPECT_EQ(prepared("a\u0323\u0307"), prepared("a\u0307\u0323"));
  EXPECT_EQ(prepared("\uAC00\u1100\u1161"), "\uAC00\uAC00");
}

TEST(Saslprep, FallsBackToTheBytes) {
  for (const char* text : {
           "\u00AD",            // nothing is left
           "p\u00E4\x07",       // a control character beside what is not ASCII
           "\u0627\u0031",      // right to left, ending otherwise
           "\u0627x\u0627",     // both directions
           "\uE000",            // private use
           "\U0001F600\u00AD",  // not assigned in Unicode 3.2
           "\u0221",            // likewise
           "\U0001F130",        // likewise, though it normalises to A
           "\uFFFD",
           "\u2028",
           "\xff\xfe",  // not UTF-8
           "\xc0\x80",
           "\xed\xa0\x80",
           "p\xc3",
       })
    EXPECT_EQ(prepared(text), text);
}

TEST(Saslprep, TakesRightToLeft) {
  EXPECT_EQ(prepared("\u0627\u0031\u0628"), "\u0627\u0031\u0628");
}

}  // namespace
}  // namespace dbproxy::auth
