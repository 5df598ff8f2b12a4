// Any bytes: no crash, no endless loop, tokens that cover the text in order, and verdicts that agree with themselves.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/session/postgres/classify.hpp"
#include "proxy/session/postgres/tokenizer.hpp"

using namespace dbproxy::session::postgres;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view sql(reinterpret_cast<const char*>(data), size);
  for (const bool standard : {true, false}) {
    Tokenizer tokens(sql, standard);
    const char* at = sql.data();
    for (Token token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next()) {
      if (token.text.empty() || token.text.data() < at) std::abort();
      at = token.text.data() + token.text.size();
      if (at > sql.data() + size) std::abort();
    }
    const Verdict verdict = classify(sql, standard);
    if (verdict.begin_only && (verdict.statement_count != 1 || verdict.discard_all || verdict.copy)) std::abort();
    // State that a statement leaves is seen wherever the statement stands.
    if (verdict.pins & ~classify("SELECT 1;" + std::string(sql), standard).pins) std::abort();
    if (digest(sql, standard).size() > 200) std::abort();
  }
  (void)body_is_hazardous(sql);
  return 0;
}
