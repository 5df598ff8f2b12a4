// MySQL's lexer and classifier on any text: tokens lie in the text, one after the other, and so does what the verdict
// points to; where a text is only quoted or commented, it says nothing.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/session/mysql/classify.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dbproxy::session::mysql;
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  ClassifyOptions options;
  options.lex = {(data[0] & 1) != 0, (data[0] & 2) != 0, (data[0] & 4) != 0};
  options.multi_statements = (data[0] & 8) != 0;
  Tokenizer tokens(text, options.lex);
  const char* at = text.data();
  for (Token token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next()) {
    if (token.text.empty() || token.text.data() < at) std::abort();
    at = token.text.data() + token.text.size();
    if (at > text.data() + text.size()) std::abort();
  }
  const Verdict verdict = classify(text, options);
  for (std::size_t i = 0; i < verdict.settings.size(); ++i) {
    const std::string_view name = verdict.settings[i];
    if (!name.empty() && (name.data() < text.data() || name.data() + name.size() > text.data() + text.size())) {
      if (name != "transaction_isolation" && name != "transaction_read_only") std::abort();
    }
  }
  if (digest(text, options.lex).size() > 200) std::abort();
  // Whatever it is, as an identifier it does nothing.
  std::string quoted = "SELECT `";
  for (const char c : text) quoted += c == '`' ? 'x' : c;
  quoted += "`";
  if (!options.lex.two_byte_characters && classify(quoted, options).pins != 0) std::abort();
  return 0;
}
