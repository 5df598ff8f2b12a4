// The machine behind classify.hpp; not for users of the module. Reads one statement after the other: every token is
// looked at for what it means anywhere (observe), and the first words say which function reads the rest.
#pragma once

#include <string_view>

#include "proxy/session/postgres/classify.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/session/postgres/words.hpp"

namespace dbproxy::session::postgres {

inline std::string_view without_quotes(const Token& token) {
  std::string_view text = token.text;
  if (token.kind == TokenKind::kQuotedIdentifier) {
    text.remove_prefix(1);
    if (!(token.traits & Token::kUnterminated)) text.remove_suffix(1);
  }
  return text;
}

inline bool is_name(const Token& token) {
  return token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedIdentifier ||
         token.kind == TokenKind::kUnicodeIdentifier;
}

class Classifier {
 public:
  Classifier(std::string_view sql, const ClassifyOptions& options)
      : sql_(sql), options_(options), tokens_(sql, options.standard_conforming_strings) {}

  Verdict run();

 private:
  // The statement's next token, observed; kEnd at its end, which is a semicolon at any depth of parentheses: inside of
  // a rule's or function's body that only makes for more first words, and no miscounted parenthesis can hide one.
  const Token& next();
  void finish() {
    while (token_.kind != TokenKind::kEnd) next();
  }
  Word before(int tokens = 1) const { return static_cast<Word>((history_ >> (8 * (tokens - 1))) & 0xff); }
  void pin(PinReason reason) { verdict_.pins |= bit(reason); }
  // Something that is not in the text runs, and may leave this.
  void opaque(std::uint32_t leaves = bit(PinReason::kOpaque)) {
    if (leaves == 0) return;
    pin(PinReason::kOpaque);
    verdict_.leaves |= leaves;
  }

  // A name that the HazardSet may know.
  void hazard(std::string_view name) {
    if (options_.hazards == nullptr) return;
    if (const auto leaves = options_.hazards->leaves(name); leaves != 0) hazard(leaves, name);
  }
  void hazard(std::uint32_t leaves, std::string_view name);

  void observe();
  void observe_name(std::string_view name);
  void observe_word();

  void statement();
  void unnamed_hazards();
  void block();
  std::uint32_t block_hazards(std::string_view body);
  void explain();
  void create();
  void alter_or_drop();
  void declare();
  void prepare();
  void deallocate();
  void begin(bool start);
  void set();
  void set_name();
  void reset();
  std::string_view whole_name(const Token& first);
  void note_setting(std::string_view text);
  void note_hidden_setting(std::string_view name);
  void note_parameter(std::string_view number);
  void set_config(Tokenizer ahead);
  void execute();
  void count_name();

  bool at_assignment() const {
    return token_.is('.') || (token_.kind == TokenKind::kOperator && token_.text.front() == '=') ||
           word_ == Word::kTo || word_ == Word::kFrom;
  }
  bool is_reported(std::string_view setting) const;

  std::string_view sql_;
  const ClassifyOptions& options_;
  Tokenizer tokens_;
  Verdict verdict_;

  Token token_;
  Word word_ = Word::kOther;   // of the token, where it is a word without quotes
  std::uint32_t history_ = 0;  // words of the tokens before it, the last one in the lowest byte; one load, one store
  bool text_ended_ = false, statement_ended_ = false;
  bool maybe_advisory_ = false;                // the token before was such a name: a call, if a parenthesis follows
  bool pg_settings_ = false, update_ = false;  // both in one statement: UPDATE pg_settings calls set_config
  bool search_path_ = false;                   // a search path is set: pg_temp may stand in a string
  bool set_ = false;                           // in a SET
  bool maybe_into_ = false;                    // a SELECT whose INTO would be a change of the schema
  bool names_seen_ = false;
};

}  // namespace dbproxy::session::postgres
