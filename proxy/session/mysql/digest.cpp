#include "proxy/session/mysql/classify.hpp"

namespace dbproxy::session::mysql {

std::string digest(std::string_view sql, const LexOptions& options) {
  constexpr std::size_t kMost = 200;
  std::string out;
  Tokenizer tokens(sql, options);
  TokenKind before = TokenKind::kPunctuation;
  for (Token token = tokens.next(); token.kind != TokenKind::kEnd && out.size() < kMost; token = tokens.next()) {
    const bool literal = token.kind == TokenKind::kString || token.kind == TokenKind::kNumber;
    const bool punctuation = token.kind == TokenKind::kPunctuation && !token.is('(') && !token.is('*');
    if (!out.empty() && !punctuation && out.back() != '(' && out.back() != '.' &&
        !(token.is('(') && before == TokenKind::kWord))
      out += ' ';
    out += literal ? std::string_view("?") : token.text;
    before = token.kind;
  }
  if (out.size() > kMost) {
    std::size_t cut = kMost;
    while (cut > 0 && (static_cast<unsigned char>(out[cut]) & 0xc0) == 0x80) --cut;
    out.resize(cut);
  }
  return out;
}

}  // namespace dbproxy::session::mysql
