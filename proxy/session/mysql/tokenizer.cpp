#include "proxy/session/mysql/tokenizer.hpp"

#include <cstring>

namespace dbproxy::session::mysql {
namespace {

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

}  // namespace

bool is_conditional(std::string_view text) {
  return text.find("/*!") != std::string_view::npos || text.find("/*M") != std::string_view::npos;
}

bool equals_folded(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) != lower[i]) return false;
  }
  return true;
}

bool Token::is_word(std::string_view lower) const {
  return kind == TokenKind::kWord && equals_folded(text, lower);
}

void Tokenizer::skip_blank() {
  for (;;) {
    while (at_ < end_ && is_space(*at_)) ++at_;
    const auto left = static_cast<std::size_t>(end_ - at_);
    if (left == 0) return;
    const bool dashes = left >= 2 && at_[0] == '-' && at_[1] == '-' && (left == 2 || is_space(at_[2]));
    if (*at_ == '#' || dashes) {
      const void* line = std::memchr(at_, '\n', left);
      at_ = line ? static_cast<const char*>(line) + 1 : end_;
    } else if (left >= 3 && at_[0] == '/' && at_[1] == '*' &&
               (at_[2] == '!' || (left >= 4 && at_[2] == 'M' && at_[3] == '!'))) {
      at_ += at_[2] == '!' ? 3 : 4;
      while (at_ < end_ && is_digit(*at_)) ++at_;
    } else if (left >= 2 && at_[0] == '*' && at_[1] == '/') {
      at_ += 2;  // the end of an executable comment
    } else if (left >= 2 && at_[0] == '/' && at_[1] == '*') {
      const std::string_view rest(at_ + 2, left - 2);
      const auto close = rest.find("*/");
      at_ = close == std::string_view::npos ? end_ : rest.data() + close + 2;
    } else {
      return;
    }
  }
}

// Behind the closing quote.
const char* Tokenizer::quoted_end(const char* from) const {
  const char quote = *from;
  const bool escapes = quote != '`' && !(quote == '"' && options_.ansi_quotes) && !options_.no_backslash_escapes;
  for (const char* p = from + 1; p < end_; ++p) {
    const bool two_bytes = options_.two_byte_characters && static_cast<unsigned char>(*p) >= 0x81;
    if (two_bytes || (*p == '\\' && escapes)) {
      ++p;
    } else if (*p == quote) {
      if (p + 1 < end_ && p[1] == quote)
        ++p;
      else
        return p + 1;
    }
  }
  return end_;
}

Token Tokenizer::next() {
  skip_blank();
  if (at_ >= end_) return {};
  const char* begin = at_;
  const char c = *begin;
  const auto word_end = [this](const char* p) {
    while (p < end_ && (is_letter(*p) || is_digit(*p))) ++p;
    return p;
  };
  if (c == '\'') return make(TokenKind::kString, begin, quoted_end(begin));
  if (c == '"')
    return make(options_.ansi_quotes ? TokenKind::kQuotedIdentifier : TokenKind::kString, begin, quoted_end(begin));
  if (c == '`') return make(TokenKind::kQuotedIdentifier, begin, quoted_end(begin));
  if (is_digit(c)) {
    const char* end = word_end(begin);  // an identifier may begin with digits
    for (const char* p = begin; p < end; ++p)
      if (!is_digit(*p))
        return make(*p == 'e' || *p == 'E' || *p == 'x' || *p == 'b' ? TokenKind::kNumber : TokenKind::kWord, begin,
                    end);
    return make(TokenKind::kNumber, begin, end);
  }
  if (is_letter(c)) return make(TokenKind::kWord, begin, word_end(begin));
  if (c == '@') {
    const bool system = begin + 1 < end_ && begin[1] == '@';
    const char* name = begin + (system ? 2 : 1);
    const TokenKind kind = system ? TokenKind::kSystemVariable : TokenKind::kUserVariable;
    if (name < end_ && (*name == '\'' || *name == '"' || *name == '`')) return make(kind, begin, quoted_end(name));
    const char* end = name;
    while (end < end_ && (is_letter(*end) || is_digit(*end) || (*end == '.' && !system))) ++end;
    return make(kind, begin, end);
  }
  if (c == ':' && begin + 1 < end_ && begin[1] == '=') return make(TokenKind::kAssign, begin, begin + 2);
  return make(TokenKind::kPunctuation, begin, begin + 1);
}

std::string folded(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

std::string_view unquoted(std::string_view text) {
  if (text.size() >= 2 && (text[0] == '\'' || text[0] == '"' || text[0] == '`') && text.back() == text[0])
    return text.substr(1, text.size() - 2);
  return text;
}

}  // namespace dbproxy::session::mysql
