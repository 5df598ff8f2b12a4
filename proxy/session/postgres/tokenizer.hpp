// Tokenizer: PostgreSQL's lexical rules (src/backend/parser/scan.l) over one text, without allocating.
//
// One pass, forward only; tokens are views into the text, which must outlive them. White space and comments are
// skipped. What is never closed (a string, a comment) ends with the text: the server will refuse such a text whole.
// Works on bytes: right for every client encoding as far as quotes and words go, but see Token::kHighBeforeBackslash.
// Cost: one to two nanoseconds a byte. A copy is cheap and gives a look-ahead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dbproxy::session::postgres {

enum class TokenKind : std::uint8_t {
  kEnd,                // nothing is left, now and for ever
  kWord,               // key word or identifier without quotes
  kQuotedIdentifier,   // "…"
  kUnicodeIdentifier,  // U&"…"
  kString,             // '…' with its continuations; N'…' is the word N before it
  kEscapeString,       // E'…', and '…' where standard_conforming_strings is off
  kBitString,          // B'…', X'…'
  kUnicodeString,      // U&'…'
  kDollarString,       // $tag$…$tag$
  kParameter,          // $1
  kNumber,
  kOperator,     // any run of operator characters; = and => among them
  kPunctuation,  // one of ; ( ) , . [ ] : and any other single byte; :: is one token
};

struct Token {
  // Bits of `traits`.
  static constexpr std::uint8_t kSpaceBefore = 1;           // white space or a comment stood before it
  static constexpr std::uint8_t kHighByte = 2;              // a word or identifier with a byte ≥ 0x80
  static constexpr std::uint8_t kHasV = 4;                  // a word with the letter v
  static constexpr std::uint8_t kUnterminated = 8;          // cut off by the end of the text
  static constexpr std::uint8_t kBackslash = 16;            // a string in quotes with a backslash in it
  static constexpr std::uint8_t kHighBeforeBackslash = 32;  // … after a byte ≥ 0x80, where a multi-byte character of
                                                            // SJIS, BIG5, GBK, … could end in the byte of a backslash

  TokenKind kind = TokenKind::kEnd;
  std::uint8_t traits = 0;
  std::string_view text;  // with its quotes

  bool is(char punctuation) const {
    return kind == TokenKind::kPunctuation && text.size() == 1 && text[0] == punctuation;
  }
  bool is_literal() const { return kind >= TokenKind::kString && kind <= TokenKind::kDollarString; }
  bool is_string() const { return is_literal() && kind != TokenKind::kBitString; }
};

class Tokenizer {
 public:
  Tokenizer(std::string_view text, bool standard_conforming_strings)
      : at_(text.data()), end_(text.data() + text.size()), standard_strings_(standard_conforming_strings) {}

  // Filling in the caller's token costs half of what returning one does: no copy of bytes that were just written.
  void next(Token& token);
  Token next() {
    Token token;
    next(token);
    return token;
  }

 private:
  bool skip_blank();
  const char* string_end(const char* from, bool escapes, std::uint8_t& traits) const;
  const char* quoted_part_end(const char* from, bool escapes, bool doubled, std::uint8_t& traits) const;
  void dollar(Token& token, const char* begin);
  void number(Token& token, const char* begin);
  void make(Token& token, TokenKind kind, const char* begin, const char* end, std::uint8_t traits = 0);

  const char* at_;
  const char* end_;
  bool standard_strings_;
  std::uint8_t space_ = 0;  // kSpaceBefore of the token being made
};

// The name that a word or "…" token stands for, as PostgreSQL has it: folded or unquoted, cut at 63 bytes.
std::string identifier_name(std::string_view token_text);

// Equal but for ASCII case. `lower` must be made of lower-case letters, digits and underscores.
bool equals_folded(std::string_view text, std::string_view lower);
bool contains_folded(std::string_view text, std::string_view lower);
inline bool starts_folded(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() && equals_folded(text.substr(0, lower.size()), lower);
}

}  // namespace dbproxy::session::postgres
