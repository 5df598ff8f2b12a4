// Tokenizer: MySQL's and MariaDB's lexical rules over one text, without allocating.
//
// One pass, forward only; tokens are views into the text, which must outlive them. White space and comments are
// skipped, but for what stands in executable ones (/*! … */, /*M! … */, with or without a version): that is code, for
// whether a server runs it depends on its version. What is never closed ends with the text. A copy is cheap and gives a
// look-ahead. (MySQL: "Lexical Structure", "Comments".)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dbproxy::session::mysql {

enum class TokenKind : std::uint8_t {
  kEnd,  // nothing is left, now and for ever
  kWord,
  kQuotedIdentifier,  // `…`, and "…" with ANSI_QUOTES
  kString,            // '…', "…" otherwise; introducers and N, X, B are words before it
  kNumber,
  kUserVariable,    // @name, @'…', @"…", @`…`
  kSystemVariable,  // @@name: the name without its scope's dot, so that @@session.x is @@session, then . and x
  kAssign,          // :=
  kPunctuation,     // any other byte
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string_view text;  // with its quotes or @
  bool is(char punctuation) const { return kind == TokenKind::kPunctuation && text[0] == punctuation; }
  // `lower`: lower-case letters, digits and underscores.
  bool is_word(std::string_view lower) const;
};

struct LexOptions {
  bool ansi_quotes = false;
  bool no_backslash_escapes = false;
  // character_set_client is one whose characters may end in the byte of a backslash or a quote: big5, gbk, sjis, cp932,
  // gb18030. Two bytes are then one character from 0x81 on.
  bool two_byte_characters = false;
};

class Tokenizer {
 public:
  Tokenizer(std::string_view text, const LexOptions& options)
      : at_(text.data()), end_(text.data() + text.size()), options_(options) {}
  Token next();
  // Behind the last token, in the text that it was made with.
  std::size_t offset(std::string_view text) const { return static_cast<std::size_t>(at_ - text.data()); }

 private:
  void skip_blank();
  const char* quoted_end(const char* from) const;
  Token make(TokenKind kind, const char* begin, const char* end) {
    at_ = end;
    return {kind, std::string_view(begin, static_cast<std::size_t>(end - begin))};
  }

  const char* at_;
  const char* end_;
  LexOptions options_;
};

// It may hold what is code on one server and a comment on another.
bool is_conditional(std::string_view text);
bool equals_folded(std::string_view text, std::string_view lower);
// With small letters for those of ASCII.
std::string folded(std::string_view text);
// Without the quotes that it is in, of whichever kind; what is doubled or escaped within them stays so.
std::string_view unquoted(std::string_view text);

}  // namespace dbproxy::session::mysql
