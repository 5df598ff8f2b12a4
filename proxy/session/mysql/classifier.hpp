// Classifier: the one pass over a text that classify() makes. An object is good for one run(); for classify's own
// files.
#pragma once

#include <limits>

#include "proxy/session/mysql/classify.hpp"

namespace dbproxy::session::mysql {

class Classifier {
 public:
  Classifier(std::string_view sql, const ClassifyOptions& options) : tokens_(sql, options.lex), options_(options) {
    advance();
  }

  Verdict run();

 private:
  void advance() {
    before_ = token_;
    token_ = tokens_.next();
  }
  Token peek() const {
    Tokenizer copy = tokens_;
    return copy.next();
  }
  bool take(std::string_view word) {
    if (!token_.is_word(word)) return false;
    advance();
    return true;
  }
  bool at_end() const { return ends(token_); }
  bool ends(const Token& token) const {
    return token.kind == TokenKind::kEnd || (token.is(';') && options_.multi_statements);
  }
  void pin(PinReason reason) { verdict_.pins |= bit(reason); }
  bool is_program() const {
    return token_.is_word("procedure") || token_.is_word("function") || token_.is_word("trigger") ||
           token_.is_word("event") || token_.is_word("package");
  }

  // Each from its first word to its end.
  void statement();
  void create();
  void kill();
  void rest();

  // SET, in classify_set.cpp.
  void set();
  void setting(std::string_view name);
  void assignment(bool session, bool scoped);
  void names();
  void expression();

  // What one token may do wherever it stands.
  void hazard();
  void system_variable(std::string_view name);
  void user_variable(bool sets);
  void word();
  void from();
  void parenthesis();
  bool shows_no_table() const;
  void last_insert_id();
  void inserted();

  Tokenizer tokens_;
  ClassifyOptions options_;
  Token token_, before_, first_;
  Verdict verdict_;
  static constexpr int kNoCall = std::numeric_limits<int>::min();
  int depth_ = 0, call_depth_ = kNoCall;  // of parentheses; of those of a call that may have a FROM of its own
  bool ddl_ = false, handler_ = false, flush_ = false, sets_variables_ = false, into_ = false;
  bool inserts_ = false, values_ = false, creates_ = false;
};

}  // namespace dbproxy::session::mysql
