#include "proxy/session/postgres/classifier.hpp"

namespace dbproxy::session::postgres {

void Classifier::set() {
  verdict_.sets = true;
  next();
  if (word_ == Word::kLocal) {
    // Ends with the transaction; but `SET local.x = 1` is a setting of that name.
    next();
    if (at_assignment()) pin(PinReason::kSetVariable);
    return;
  }
  if (word_ == Word::kSession) {
    next();
    if (word_ == Word::kAuthorization) return pin(PinReason::kSessionAuthorization);
    if (word_ == Word::kCharacteristics || at_assignment()) return pin(PinReason::kSetVariable);
  }
  set_name();
}

void Classifier::set_name() {
  const Token name = token_;
  const Word word = word_;
  next();
  switch (word) {
    case Word::kTransaction:
    case Word::kConstraints:
      if (at_assignment()) pin(PinReason::kSetVariable);
      return;
    case Word::kTime:
    case Word::kNames:
      if (word == Word::kTime ? word_ == Word::kZone : !at_assignment())
        verdict_.reported_setting = true;
      else
        pin(PinReason::kSetVariable);
      return;
    case Word::kSchema:
      if (options_.search_path_reported && !at_assignment())
        verdict_.reported_setting = true;
      else
        pin(PinReason::kSetVariable);
      return;
    case Word::kRole:
      return pin(PinReason::kSessionAuthorization);
    default:
      break;
  }
  const std::string_view setting = without_quotes(name);
  if (equals_folded(setting, "session_authorization") || equals_folded(setting, "role"))
    return pin(PinReason::kSessionAuthorization);
  if (is_name(name) && is_reported(setting) && at_assignment() && !token_.is('.'))
    verdict_.reported_setting = true;
  else
    pin(PinReason::kSetVariable);
}

void Classifier::reset() {
  next();
  const Token name = token_;
  const Word word = word_;
  next();
  if (word == Word::kAll)
    verdict_.reset_all = true;
  else if ((word == Word::kTime && word_ == Word::kZone) || (is_reported(without_quotes(name)) && !token_.is('.')))
    verdict_.reported_setting = true;
  else
    verdict_.reset_other = true;
}

// Pins unless the call's third argument is the word true alone: then the setting ends with the transaction. The
// look-ahead is bounded, so that nested calls cannot make it quadratic.
void Classifier::set_config(Tokenizer ahead) {
  constexpr int kLookAhead = 64;
  Token token = ahead.next();
  Token setting, third;
  int depth = 0, argument = 1, tokens_in_third = 0, tokens_in_first = 0;
  if (token.is('(')) {
    for (int i = 0; i < kLookAhead; ++i) {
      token = ahead.next();
      if (token.kind == TokenKind::kEnd || token.is(';')) break;
      if (depth == 0 && token.is(',')) {
        ++argument;
        continue;
      }
      if (token.is('(') || token.is('[')) ++depth;
      if (token.is(')') || token.is(']')) {
        if (depth-- == 0) {
          const bool word_alone = argument == 3 && tokens_in_third == 1 && third.kind == TokenKind::kWord;
          if (word_alone && equals_folded(third.text, "true")) return;
          if (word_alone && equals_folded(third.text, "false") && tokens_in_first == 1 &&
              setting.kind == TokenKind::kString && setting.text.size() >= 2 &&
              is_reported(setting.text.substr(1, setting.text.size() - 2))) {
            verdict_.reported_setting = true;
            return;
          }
          break;
        }
      }
      if (argument == 1 && ++tokens_in_first == 1) setting = token;
      if (argument == 3 && ++tokens_in_third == 1) third = token;
    }
  }
  pin(PinReason::kSetVariable);
}

// GUC_REPORT in PostgreSQL's guc_tables.c, without those that cannot be set. Their names have no regard to case.
bool Classifier::is_reported(std::string_view setting) const {
  static constexpr std::string_view kReported[] = {
      "application_name",           "client_encoding", "datestyle", "intervalstyle", "timezone", "scram_iterations",
      "standard_conforming_strings"};
  for (const std::string_view name : kReported)
    if (equals_folded(setting, name)) return true;
  return (options_.read_only_reported && equals_folded(setting, "default_transaction_read_only")) ||
         (options_.search_path_reported && equals_folded(setting, "search_path"));
}

}  // namespace dbproxy::session::postgres
