#include "proxy/session/postgres/classify.hpp"
#include "proxy/session/postgres/tokenizer.hpp"

namespace dbproxy::session::postgres {

std::string digest(std::string_view sql, bool standard_conforming_strings) {
  constexpr std::size_t kMaxDigest = 200;
  std::string out;
  Tokenizer tokens(sql, standard_conforming_strings);
  for (Token token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next()) {
    if ((token.traits & Token::kSpaceBefore) && !out.empty()) out += ' ';
    if (token.is_literal() || token.kind == TokenKind::kNumber)
      out += '?';
    else
      out += token.text.substr(0, kMaxDigest + 1);
    if (out.size() <= kMaxDigest) continue;
    std::size_t cut = kMaxDigest - 3;
    while (cut > 0 && (static_cast<unsigned char>(out[cut]) & 0xc0) == 0x80) --cut;  // not inside of a character
    out.resize(cut);
    out += "...";
    break;
  }
  // White space in quoted identifiers, and control characters that could fool a terminal.
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return out;
}

}  // namespace dbproxy::session::postgres
