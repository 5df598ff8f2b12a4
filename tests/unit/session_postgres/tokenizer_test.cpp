#include "proxy/session/postgres/tokenizer.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace dbproxy::session::postgres {
namespace {

// "w:select s:'x'" …: kind's letter and text, for tables that can be read.
std::string shown(std::string_view sql, bool standard = true) {
  static constexpr char kLetters[] = ".wiUsebudpno,";
  std::string out;
  Tokenizer tokens(sql, standard);
  for (Token token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next()) {
    if (!out.empty()) out += '|';
    out += kLetters[static_cast<int>(token.kind)];
    if (token.traits & Token::kUnterminated) out += '!';
    out += ':';
    out += token.text;
  }
  return out;
}

TEST(Tokenizer, ReadsEveryKind) {
  struct Case {
    std::string sql, tokens;
  };
  const std::vector<Case> cases = {
      {"", ""},
      {"  \t\n", ""},
      {"SELECT 1", "w:SELECT|n:1"},
      {"a.b", "w:a|,:.|w:b"},
      {"a::int", "w:a|,:::|w:int"},
      {"x:=1", "w:x|,::|o:=|n:1"},
      {"a_1$b c", "w:a_1$b|w:c"},
      {"\xc3\xa4"
       "b",
       "w:\xc3\xa4"
       "b"},
      {"\"a b\"", "i:\"a b\""},
      {"\"a\"\"b\"c", "i:\"a\"\"b\"|w:c"},
      {"\"open", "i!:\"open"},
      {"U&\"\\0041\" x", "U:U&\"\\0041\"|w:x"},
      {"u&\"a\"\"b\"", "U:u&\"a\"\"b\""},
      {"u & \"a\"", "w:u|o:&|i:\"a\""},
      {"'it''s'", "s:'it''s'"},
      {"'open", "s!:'open"},
      {"'a\\'", "s:'a\\'"},
      {"E'a\\'b' c", "e:E'a\\'b'|w:c"},
      {"e'a\\\\' c", "e:e'a\\\\'|w:c"},
      {"e'a''b' c", "e:e'a''b'|w:c"},
      {"e'\\", "e!:e'\\"},
      {"e'\\'", "e!:e'\\'"},
      {"B'01' X'1F'", "b:B'01'|b:X'1F'"},
      {"N'x'", "w:N|s:'x'"},
      {"U&'\\0041\\' c", "u:U&'\\0041\\'|w:c"},
      {"name'x'", "w:name|s:'x'"},
      // Continuation: only over a line break, and by the rules of the first part.
      {"'a'\n'b'", "s:'a'\n'b'"},
      {"'a' 'b'", "s:'a'|s:'b'"},
      {"'a' -- c\n  'b'", "s:'a' -- c\n  'b'"},
      {"'a' /* c */\n'b'", "s:'a'|s:'b'"},
      {"E'a'\n'b\\'c' d", "e:E'a'\n'b\\'c'|w:d"},
      {"'a'\n'b\\' d", "s:'a'\n'b\\'|w:d"},
      {"'a'\n", "s:'a'"},
      {"'a' --", "s:'a'"},
      // Dollars.
      {"$$a;b$$c", "d:$$a;b$$|w:c"},
      {"$x$a$$b$x$", "d:$x$a$$b$x$"},
      {"$x$a$x $x$", "d:$x$a$x $x$"},
      {"$x$ $y$ $x$ $y$", "d:$x$ $y$ $x$|d!:$y$"},
      {"$x$open$", "d!:$x$open$"},
      {"$1$2", "p:$1|p:$2"},
      {"$1a", "p:$1|w:a"},
      {"a$b$c", "w:a$b$c"},
      {"$ 1", ",:$|n:1"},
      {"$_1$x$_1$", "d:$_1$x$_1$"},
      // Numbers: what is glued to one is another token.
      {"1.5e10 .5 1. 1e", "n:1.5e10|n:.5|n:1.|n:1|w:e"},
      {"1into", "n:1|w:into"},
      {"1..2", "n:1|,:.|n:.2"},
      {"1_000", "n:1_000"},
      {"1e-3-2", "n:1e-3|o:-|n:2"},
      // Comments.
      {"a--b\nc", "w:a|w:c"},
      {"a--b\rc", "w:a|w:c"},
      {"a/*b*/c", "w:a|w:c"},
      {"a/*b/*c*/d*/e", "w:a|w:e"},
      {"a/*b/*c*/d", "w:a"},
      {"a/*/b*/c", "w:a|w:c"},
      {"a*/*c*/b", "w:a|o:*|w:b"},
      {"a+--c\nb", "w:a|o:+|w:b"},
      {"a/b", "w:a|o:/|w:b"},
      {"a@-1", "w:a|o:@-|n:1"},
      {"'--'x", "s:'--'|w:x"},
      {"\"/*\"x", "i:\"/*\"|w:x"},
      {"f(a,b)[1];", "w:f|,:(|w:a|,:,|w:b|,:)|,:[|n:1|,:]|,:;"},
      {std::string("a\0b", 3), std::string("w:a|,:\0|w:b", 11)},
  };
  for (const Case& c : cases) EXPECT_EQ(shown(c.sql), c.tokens) << c.sql;
}

TEST(Tokenizer, BackslashesQuoteWhereStringsAreNotStandard) {
  EXPECT_EQ(shown("'a\\' b '; c", false), "e:'a\\' b '|,:;|w:c");
  EXPECT_EQ(shown("'a\\' b '; c", true), "s:'a\\'|w:b|s!:'; c");
  EXPECT_EQ(shown("B'1\\' c", false), "b:B'1\\'|w:c");
  EXPECT_EQ(shown("U&'1\\' c", false), "u:U&'1\\'|w:c");
}

TEST(Tokenizer, EveryCutOfATextEnds) {
  const std::string sql =
      "SELECT E'a\\'', U&\"x\", $q$ y $q$, 'c' -- d\n 'e', \"f\"\"g\" /* h /* i */ j */, 1.5e+3, B'1'; x";
  for (std::size_t cut = 0; cut <= sql.size(); ++cut) {
    const std::string part = sql.substr(0, cut);  // its own memory, for AddressSanitizer
    (void)shown(part, true);
    (void)shown(part, false);
  }
}

TEST(Tokenizer, TellsTraits) {
  const auto traits = [](std::string_view sql) { return Tokenizer(sql, true).next().traits; };
  EXPECT_EQ(traits("abc"), 0);
  EXPECT_EQ(traits(" abc"), Token::kSpaceBefore);
  EXPECT_EQ(traits("/**/aVc"), Token::kSpaceBefore | Token::kHasV);
  EXPECT_EQ(traits("a\x80"), Token::kHighByte);
  EXPECT_EQ(traits("'a\\'"), Token::kBackslash);
  EXPECT_EQ(traits("E'\x95\\'"), Token::kBackslash | Token::kHighBeforeBackslash | Token::kUnterminated);
}

TEST(IdentifierName, FoldsUnquotesAndCuts) {
  EXPECT_EQ(identifier_name("Stmt_1"), "stmt_1");
  EXPECT_EQ(identifier_name("\"Stmt\"\"1\""), "Stmt\"1");
  EXPECT_EQ(identifier_name("\""), "");
  EXPECT_EQ(identifier_name(""), "");
  EXPECT_EQ(identifier_name(std::string(70, 'A')), std::string(63, 'a'));
  EXPECT_EQ(identifier_name(std::string(62, 'a') + "\xc3\xa4"), std::string(62, 'a'));
}

TEST(Folded, Compares) {
  EXPECT_TRUE(equals_folded("Set_Config", "set_config"));
  EXPECT_FALSE(equals_folded("set-config", "set_config"));
  EXPECT_FALSE(equals_folded("set_confi", "set_config"));
  EXPECT_TRUE(contains_folded("x_ADVISORY_y", "advisory"));
  EXPECT_TRUE(contains_folded("advisory", "advisory"));
  EXPECT_FALSE(contains_folded("advisor", "advisory"));
}

}  // namespace
}  // namespace dbproxy::session::postgres
