#include "proxy/session/postgres/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace dbproxy::session::postgres {
namespace {

// What a byte can be. The two highest bits are Token::kHighByte and kHasV shifted, so that a word's traits are the OR
// of its bytes.
constexpr std::uint8_t kSpace = 1, kWordStart = 2, kWordPart = 4, kDigit = 8, kOperatorByte = 16;
constexpr std::uint8_t kHigh = 64, kLetterV = 128;
static_assert(kHigh >> 5 == Token::kHighByte && kLetterV >> 5 == Token::kHasV);

constexpr std::array<std::uint8_t, 256> kClass = [] {
  std::array<std::uint8_t, 256> table{};
  for (const char c : {' ', '\t', '\n', '\r', '\f', '\v'}) table[static_cast<unsigned char>(c)] = kSpace;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 32] = kWordStart | kWordPart;
  for (int c = 0x80; c <= 0xff; ++c) table[c] = kWordStart | kWordPart | kHigh;
  for (int c = '0'; c <= '9'; ++c) table[c] = kDigit | kWordPart;
  table['_'] = kWordStart | kWordPart;
  table['$'] = kWordPart;
  table['v'] = table['V'] = kWordStart | kWordPart | kLetterV;
  for (const char c : {'~', '!', '@', '#', '^', '&', '|', '`', '?', '+', '-', '*', '/', '%', '<', '>', '='})
    table[static_cast<unsigned char>(c)] = kOperatorByte;
  return table;
}();

inline std::uint8_t class_of(char c) {
  return kClass[static_cast<unsigned char>(c)];
}

const char* find(const char* from, const char* end, char byte) {
  const void* found = from < end ? std::memchr(from, byte, static_cast<std::size_t>(end - from)) : nullptr;
  return found ? static_cast<const char*>(found) : end;
}

const char* line_end(const char* at, const char* end) {
  while (at < end && *at != '\n' && *at != '\r') ++at;
  return at;
}

const char* block_comment_end(const char* at, const char* end) {
  for (int depth = 0; at + 1 < end;) {
    if (at[0] == '/' && at[1] == '*') {
      ++depth;
      at += 2;
    } else if (at[0] == '*' && at[1] == '/') {
      at += 2;
      if (--depth == 0) return at;
    } else {
      ++at;
    }
  }
  return end;
}

bool starts_comment(const char* at, const char* end) {
  return at + 1 < end && ((at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*'));
}

}  // namespace

inline void Tokenizer::make(Token& token, TokenKind kind, const char* begin, const char* end, std::uint8_t traits) {
  at_ = end;
  token.kind = kind;
  token.traits = static_cast<std::uint8_t>(traits | space_);
  token.text = std::string_view(begin, static_cast<std::size_t>(end - begin));
}

// Moves to the next byte that belongs to a token; true when anything was skipped.
inline bool Tokenizer::skip_blank() {
  const char* const begin = at_;
  while (at_ < end_) {
    if (class_of(*at_) & kSpace)
      ++at_;
    else if ((*at_ != '-' && *at_ != '/') || !starts_comment(at_, end_))
      break;
    else
      at_ = *at_ == '-' ? line_end(at_, end_) : block_comment_end(at_, end_);
  }
  return at_ != begin;
}

// `from` is behind the opening quote; returns the byte behind the closing one.
const char* Tokenizer::quoted_part_end(const char* from, bool escapes, bool doubled, std::uint8_t& traits) const {
  const auto note_backslash = [&](const char* slash) {
    traits |= Token::kBackslash;
    if (slash > from && (class_of(slash[-1]) & kHigh)) traits |= Token::kHighBeforeBackslash;
  };
  for (const char* at = from; at < end_;) {
    if (!escapes) {
      const char* const quote = find(at, end_, '\'');
      for (at = find(at, quote, '\\'); at < quote; at = find(at + 1, quote, '\\')) note_backslash(at);
      if (quote == end_) break;
    } else if (*at == '\\') {
      note_backslash(at);
      at += std::min<std::ptrdiff_t>(2, end_ - at);  // takes the byte after it, a quote too
      continue;
    } else if (*at != '\'') {
      ++at;
      continue;
    }
    if (!doubled || at + 1 >= end_ || at[1] != '\'') return at + 1;
    at += 2;
  }
  traits |= Token::kUnterminated;
  return end_;
}

// Like quoted_part_end, but goes on where white space with a line break and another '…' follow: one literal, read by
// the same rules as its first part.
const char* Tokenizer::string_end(const char* from, bool escapes, std::uint8_t& traits) const {
  for (;;) {
    const char* const close = quoted_part_end(from, escapes, true, traits);
    bool line_break = false;
    const char* at = close;
    while (at < end_) {
      if (class_of(*at) & kSpace) {
        line_break |= *at == '\n' || *at == '\r';
        ++at;
      } else if (*at == '-' && at + 1 < end_ && at[1] == '-') {
        at = line_end(at, end_);
      } else {
        break;
      }
    }
    if (!line_break || at == end_ || *at != '\'') return close;
    from = at + 1;
  }
}

// $1, $tag$…$tag$, or a lone dollar.
void Tokenizer::dollar(Token& token, const char* begin) {
  const char* at = begin + 1;
  if (at < end_ && (class_of(*at) & kDigit)) {
    while (at < end_ && (class_of(*at) & kDigit)) ++at;
    return make(token, TokenKind::kParameter, begin, at);
  }
  if (at < end_ && (class_of(*at) & kWordStart))
    while (at < end_ && *at != '$' && (class_of(*at) & kWordPart)) ++at;
  if (at == end_ || *at != '$') return make(token, TokenKind::kPunctuation, begin, begin + 1);
  const std::string_view tag(begin, static_cast<std::size_t>(at + 1 - begin));
  for (const char* close = find(at + 1, end_, '$'); close < end_; close = find(close + 1, end_, '$')) {
    if (static_cast<std::size_t>(end_ - close) < tag.size()) break;
    if (std::memcmp(close, tag.data(), tag.size()) == 0)
      return make(token, TokenKind::kDollarString, begin, close + tag.size());
  }
  return make(token, TokenKind::kDollarString, begin, end_, Token::kUnterminated);
}

// Stops before letters that are no part of a number: before PostgreSQL 15, `1into` is a number and a word.
void Tokenizer::number(Token& token, const char* begin) {
  const char* at = begin;
  const auto digits = [&] {
    while (at < end_ && ((class_of(*at) & kDigit) || (*at == '_' && at + 1 < end_ && (class_of(at[1]) & kDigit)))) ++at;
  };
  digits();
  if (at < end_ && *at == '.' && !(at + 1 < end_ && at[1] == '.')) {  // 1..2 is 1 .. 2
    ++at;
    digits();
  }
  if (at < end_ && (*at | 0x20) == 'e') {
    const char* exponent = at + 1;
    if (exponent < end_ && (*exponent == '+' || *exponent == '-')) ++exponent;
    if (exponent < end_ && (class_of(*exponent) & kDigit)) {
      at = exponent;
      digits();
    }
  }
  return make(token, TokenKind::kNumber, begin, at);
}

void Tokenizer::next(Token& token) {
  space_ = skip_blank() ? Token::kSpaceBefore : 0;
  if (at_ == end_) return make(token, TokenKind::kEnd, end_, end_);
  const char* const begin = at_;
  const std::uint8_t kind = class_of(*begin);

  if (kind & kWordStart) {
    const char* at = begin + 1;
    std::uint8_t seen = kind;
    for (; at < end_; ++at) {
      const std::uint8_t c = class_of(*at);
      if (!(c & kWordPart)) break;
      seen |= c;
    }
    if (at - begin == 1 && at < end_ && (*at == '\'' || *at == '&')) {
      // `make` reads the traits that finding the end fills in: never in one expression.
      std::uint8_t traits = 0;
      const char letter = static_cast<char>(*begin | 0x20);
      if (letter == 'e' && *at == '\'') {
        const char* close = string_end(at + 1, true, traits);
        return make(token, TokenKind::kEscapeString, begin, close, traits);
      }
      if ((letter == 'b' || letter == 'x') && *at == '\'') {
        const char* close = quoted_part_end(at + 1, false, false, traits);
        return make(token, TokenKind::kBitString, begin, close, traits);
      }
      if (letter == 'u' && *at == '&' && at + 1 < end_ && at[1] == '\'') {
        const char* close = string_end(at + 2, false, traits);
        return make(token, TokenKind::kUnicodeString, begin, close, traits);
      }
      if (letter == 'u' && *at == '&' && at + 1 < end_ && at[1] == '"') {
        const std::uint8_t space = space_;
        at_ = at + 1;
        next(token);
        space_ = space;
        return make(token, TokenKind::kUnicodeIdentifier, begin, at_, token.traits);
      }
    }
    return make(token, TokenKind::kWord, begin, at,
                static_cast<std::uint8_t>(seen >> 5) & (Token::kHighByte | Token::kHasV));
  }
  if (*begin == '\'') {
    std::uint8_t traits = 0;
    const char* close = string_end(begin + 1, !standard_strings_, traits);
    return make(token, standard_strings_ ? TokenKind::kString : TokenKind::kEscapeString, begin, close, traits);
  }
  if (*begin == '"') {
    const char* at = begin + 1;
    for (;; at += 2) {
      at = find(at, end_, '"');
      if (at == end_) return make(token, TokenKind::kQuotedIdentifier, begin, end_, Token::kUnterminated);
      if (at + 1 == end_ || at[1] != '"') break;
    }
    const bool high = std::any_of(begin, at, [](char c) { return class_of(c) & kHigh; });
    return make(token, TokenKind::kQuotedIdentifier, begin, at + 1, high ? Token::kHighByte : 0);
  }
  if (*begin == '$') return dollar(token, begin);
  if ((kind & kDigit) || (*begin == '.' && begin + 1 < end_ && (class_of(begin[1]) & kDigit)))
    return number(token, begin);
  if (kind & kOperatorByte) {
    const char* at = begin + 1;
    while (at < end_ && (class_of(*at) & kOperatorByte) && !starts_comment(at, end_)) ++at;
    return make(token, TokenKind::kOperator, begin, at);
  }
  if (*begin == ':' && begin + 1 < end_ && begin[1] == ':')
    return make(token, TokenKind::kPunctuation, begin, begin + 2);
  return make(token, TokenKind::kPunctuation, begin, begin + 1);
}

std::string identifier_name(std::string_view token_text) {
  std::string name;
  if (!token_text.empty() && token_text.front() == '"') {
    token_text.remove_prefix(1);
    if (!token_text.empty() && token_text.back() == '"') token_text.remove_suffix(1);
    for (std::size_t i = 0; i < token_text.size(); ++i) {
      name += token_text[i];
      if (token_text[i] == '"') ++i;  // doubled
    }
  } else {
    for (const char c : token_text) name += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  if (name.size() > 63) {
    std::size_t cut = 63;  // never inside of a UTF-8 character
    while (cut > 60 && (static_cast<unsigned char>(name[cut]) & 0xc0) == 0x80) --cut;
    name.resize(cut);
  }
  return name;
}

bool equals_folded(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == lower[i]) continue;
    const char letter = static_cast<char>(text[i] | 0x20);
    if (letter != (lower[i] | 0x20) || letter < 'a' || letter > 'z') return false;
  }
  return true;
}

bool contains_folded(std::string_view text, std::string_view lower) {
  if (text.size() < lower.size()) return false;
  for (std::size_t i = 0; i + lower.size() <= text.size(); ++i)
    if ((text[i] | 0x20) == (lower[0] | 0x20) && equals_folded(text.substr(i, lower.size()), lower)) return true;
  return false;
}

}  // namespace dbproxy::session::postgres
