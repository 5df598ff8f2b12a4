#include <algorithm>
#include <charconv>

#include "proxy/session/postgres/classifier.hpp"
#include "proxy/session/postgres/settings.hpp"

namespace dbproxy::session::postgres {

void Classifier::set() {
  verdict_.sets = set_ = true;
  next();
  if (word_ == Word::kLocal) {
    // Ends with the transaction; but `SET local.x = 1` is a setting of that name.
    const Token name = token_;
    next();
    if (at_assignment()) note_setting(whole_name(name));
    return;
  }
  if (word_ == Word::kSession) {
    const Token name = token_;
    next();
    if (word_ == Word::kAuthorization) {
      verdict_.role_too = true;
      return;
    }
    if (word_ == Word::kCharacteristics) {
      verdict_.characteristics = true;
      return;
    }
    if (at_assignment()) return note_setting(whole_name(name));
  }
  set_name();
}

// The name that begins with `first`, of which the token after it has been read: words with dots between them.
std::string_view Classifier::whole_name(const Token& first) {
  const char* end = first.text.data() + first.text.size();
  while (token_.is('.')) {
    next();
    if (token_.kind == TokenKind::kEnd) break;
    end = token_.text.data() + token_.text.size();
    next();
  }
  return {first.text.data(), static_cast<std::size_t>(end - first.text.data())};
}

void Classifier::note_setting(std::string_view text) {
  if (verdict_.settings.size() == Verdict::kMaxSettings || tracked_name(text).empty())
    return pin(PinReason::kSetVariable);
  verdict_.settings.push_back(text);
}

// By what the text mentions; many times the same, perhaps. When it is over it may be as it was.
void Classifier::note_hidden_setting(std::string_view name) {
  verdict_.settings_go_back = true;
  const auto& known = verdict_.settings;
  if (std::find(known.begin(), known.end(), name) == known.end()) note_setting(name);
}

void Classifier::set_name() {
  const Token name = token_;
  const Word word = word_;
  next();
  switch (word) {
    case Word::kTransaction:
    case Word::kConstraints:
      if (!at_assignment()) return;
      break;
    case Word::kTime:
    case Word::kNames:
      if (word == Word::kTime ? word_ == Word::kZone : !at_assignment()) {
        verdict_.reported_setting = true;
        return;
      }
      break;
    case Word::kSchema:
      if (at_assignment()) break;
      if (options_.search_path_reported)
        verdict_.reported_setting = true;
      else
        note_setting("search_path");
      return;
    case Word::kRole:
      return note_setting(whole_name(name));
    default:
      break;
  }
  const std::string_view setting = without_quotes(name);
  if (!is_name(name)) return pin(PinReason::kSetVariable);
  if (at_assignment() && !token_.is('.')) {
    if (is_reported(setting)) {
      verdict_.reported_setting = true;
      return;
    }
    if (equals_folded(setting, "session_authorization")) {
      verdict_.role_too = true;
      return;
    }
    // These are of one transaction; outside of one they do nothing.
    if (equals_folded(setting, "transaction_isolation") || equals_folded(setting, "transaction_read_only") ||
        equals_folded(setting, "transaction_deferrable"))
      return;
  }
  if (name.kind == TokenKind::kWord && equals_folded(setting, "xml") && !at_assignment())
    return note_setting("xmloption");
  note_setting(whole_name(name));
}

void Classifier::reset() {
  next();
  const Token name = token_;
  const Word word = word_;
  next();
  verdict_.settings_go_back = true;
  if (word == Word::kAll && !token_.is('.')) {
    verdict_.reset_all = true;
  } else if ((word == Word::kTime && word_ == Word::kZone) || (is_reported(without_quotes(name)) && !token_.is('.'))) {
    verdict_.reported_setting = true;
  } else {
    verdict_.reset_other = true;
    if ((word == Word::kSession && word_ == Word::kAuthorization) ||
        equals_folded(without_quotes(name), "session_authorization")) {
      verdict_.role_too = true;
    } else if (name.kind != TokenKind::kEnd) {
      note_setting(whole_name(name));
    }
  }
}

// Pins unless the call's third argument is the word true alone: then the setting ends with the transaction; or its
// first is a string that names the setting. The look-ahead is bounded, so that nested calls cannot make it quadratic.
void Classifier::set_config(Tokenizer ahead) {
  constexpr int kLookAhead = 64;
  Token token = ahead.next();
  Token setting, second, type, third;
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
          const bool cast = tokens_in_first == 3 && second.text == "::" &&
                            (equals_folded(type.text, "text") || equals_folded(type.text, "varchar"));
          if (cast) tokens_in_first = 1;
          if (tokens_in_first == 1 && setting.kind == TokenKind::kParameter)
            return note_parameter(setting.text.substr(1));
          if (tokens_in_first != 1 || !setting.is_string() || setting.text.size() < 3 || setting.text.front() != '\'' ||
              (setting.traits & Token::kBackslash))
            break;
          auto name = setting.text.substr(1, setting.text.size() - 2);
          if (is_reported(name)) {
            verdict_.reported_setting = true;
            return;
          }
          if (equals_folded(name, "session_authorization")) {
            verdict_.role_too = true;
            return;
          }
          // At times of one transaction only: reading it back tells.
          verdict_.settings_go_back = true;
          note_setting(setting.text);
          return;
          break;
        }
      }
      if (argument == 1) {
        ++tokens_in_first;
        (tokens_in_first == 1 ? setting : tokens_in_first == 2 ? second : type) = token;
      }
      if (argument == 3 && ++tokens_in_third == 1) third = token;
    }
  }
  pin(PinReason::kSetVariable);
}

// What Bind brings for it will tell.
void Classifier::note_parameter(std::string_view number) {
  std::uint16_t parameter = 0;
  std::from_chars(number.data(), number.data() + number.size(), parameter);
  if (parameter == 0 || (verdict_.setting_parameter != 0 && verdict_.setting_parameter != parameter))
    return pin(PinReason::kSetVariable);
  verdict_.settings_go_back = true;
  verdict_.setting_parameter = parameter;
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
