#include <algorithm>
#include <optional>

#include "proxy/session/postgres/classify.hpp"
#include "proxy/session/postgres/settings.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/session/postgres/words.hpp"

namespace dbproxy::session::postgres {
namespace {

bool is_word_byte(char c) {
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || (c & 0x80);
}

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// What may stand between UPDATE and its SET: UPDATE ONLY "a"."b" * AS c SET.
bool may_stand_in_update(char c) {
  return is_word_byte(c) || is_blank(c) || c == '.' || c == '"' || c == '*' || c == '$';
}

// SET LOCAL x ends with the transaction; SET LOCAL = 1, SET LOCAL.x = 1, SET LOCAL TO 1 are settings.
bool is_local(std::string_view after_set) {
  std::size_t at = 0;
  const auto blanks = [&] {
    const std::size_t begin = at;
    while (at < after_set.size() && is_blank(after_set[at])) ++at;
    return at > begin;
  };
  blanks();
  if (!starts_folded(after_set.substr(at), "local")) return false;
  at += 5;
  if (!blanks() || at == after_set.size() || !is_word_byte(after_set[at])) return false;
  const std::size_t begin = at;
  while (at < after_set.size() && is_word_byte(after_set[at])) ++at;
  return !equals_folded(after_set.substr(begin, at - begin), "to");
}

// What the word may leave behind, wherever it stands.
std::uint32_t word_hazards(std::string_view word) {
  static constexpr std::uint32_t kUnknown = bit(PinReason::kOpaque);
  struct Known {
    std::string_view word;
    std::uint32_t leaves;
  };
  static constexpr Known kWords[] = {{"reset", kUnknown},
                                     {"execute", kUnknown},
                                     {"listen", bit(PinReason::kListen)},
                                     {"load", kUnknown},
                                     {"prepare", kUnknown},
                                     {"deallocate", kUnknown},
                                     {"discard", kUnknown},
                                     {"temp", bit(PinReason::kTemporaryObject)},
                                     {"temporary", bit(PinReason::kTemporaryObject)},
                                     {"hold", bit(PinReason::kHoldableCursor)},
                                     {"setseed", kUnknown},
                                     {"set_limit", kUnknown},
                                     {"pg_settings", kUnknown},
                                     {"authorization", kUnknown}};
  for (const auto& known : kWords)
    if (equals_folded(word, known.word)) return known.leaves;
  const Word known = find_word(word);
  if (known == Word::kReplicationSlot) return bit(PinReason::kReplicationSlot);
  if (known == Word::kRunsText || known == Word::kSetsVariable) return kUnknown;
  if (in_opaque_family(word) || starts_folded(word, "_shared")) return kUnknown;  // PL/Perl's %_SHARED
  if (starts_folded(word, "pg_temp")) return bit(PinReason::kTemporaryObject);
  const bool lock = contains_folded(word, "advisory") && !contains_folded(word, "advisory_xact") &&
                    !contains_folded(word, "advisory_unlock");
  return lock ? bit(PinReason::kAdvisoryLock) : 0;
}

// What a SET or a set_config leaves: a setting that can be read back, nothing (""), or nobody can tell.
using Sets = std::optional<std::string>;

Sets setting_called(std::string_view text) {
  auto name = tracked_name(text);
  if (name.empty() || name == "session_authorization") return std::nullopt;
  return name;
}

// `rest` follows the word SET, where that is neither UPDATE's nor of SET LOCAL.
Sets set_statement(std::string_view rest) {
  const auto blanks = [&rest] {
    while (!rest.empty() && is_blank(rest.front())) rest.remove_prefix(1);
  };
  const auto word = [&] {
    blanks();
    std::size_t size = 0;
    while (size < rest.size() && (is_word_byte(rest[size]) || rest[size] == '.')) ++size;
    const auto text = rest.substr(0, size);
    rest.remove_prefix(size);
    return text;
  };
  auto name = word();
  blanks();
  if (equals_folded(name, "session") && !rest.starts_with('=')) {
    name = word();
    blanks();
  }
  if (rest.starts_with('=')) return setting_called(name);
  const auto next = word();
  if (equals_folded(next, "to")) return setting_called(name);
  if (next.empty()) return std::nullopt;
  if (equals_folded(name, "time") && equals_folded(next, "zone")) return "timezone";
  if (equals_folded(name, "role")) return "role";
  if (equals_folded(name, "transaction") || equals_folded(name, "constraints")) return "";  // of this transaction
  return std::nullopt;
}

// `rest` follows the word set_config. With the word true alone as its third argument the setting ends with the
// transaction. Strings that two readings could end differently tell nothing.
Sets set_config_call(std::string_view rest) {
  constexpr int kLookAhead = 64;
  Tokenizer tokens(rest, true);
  Token token = tokens.next(), setting;
  if (!token.is('(')) return std::nullopt;
  bool third_is_true = false;
  int in_first = 0;
  for (int i = 0, depth = 0, argument = 1, in_argument = 0; i < kLookAhead; ++i) {
    tokens.next(token);
    if (token.kind == TokenKind::kEnd || token.is(';')) return std::nullopt;
    if (token.traits & (Token::kUnterminated | Token::kBackslash)) return std::nullopt;
    if (depth == 0 && token.is(',')) {
      ++argument;
      in_argument = 0;
      continue;
    }
    if (depth == 0 && token.is(')')) {
      if (argument != 3) return std::nullopt;
      if (in_argument == 1 && third_is_true) return "";
      const bool told = in_first == 1 && setting.kind == TokenKind::kString && setting.text.front() == '\'';
      return told && setting.text.size() > 2 ? setting_called(setting.text) : std::nullopt;
    }
    if (token.is('(') || token.is('[')) ++depth;
    if (token.is(')') || token.is(']')) --depth;
    ++in_argument;
    if (argument == 1 && ++in_first == 1) setting = token;
    if (argument == 3) third_is_true = token.kind == TokenKind::kWord && equals_folded(token.text, "true");
  }
  return std::nullopt;
}

}  // namespace

// Words are looked at wherever they stand, so that no quoting of any language has to be understood. The one word that
// every other function has in code, UPDATE's SET, is told apart by what stands between the two.
std::uint32_t body_hazards(std::string_view body, std::vector<std::string>& settings) {
  constexpr std::uint32_t kUnknown = bit(PinReason::kOpaque);
  std::uint32_t leaves = 0;
  // False: nobody can tell.
  const auto note = [&](const Sets& sets) {
    if (!sets) return false;
    if (sets->empty()) return true;
    leaves |= bit(PinReason::kSetVariable);
    // What is created under it may be temporary.
    if (*sets == "search_path") leaves |= bit(PinReason::kTemporaryObject);
    if (std::find(settings.begin(), settings.end(), *sets) == settings.end()) settings.push_back(*sets);
    return settings.size() <= Verdict::kMaxSettings;
  };
  bool in_update = false;
  for (std::size_t at = 0; at < body.size();) {
    if (!is_word_byte(body[at])) {
      if (!may_stand_in_update(body[at])) in_update = false;
      // U&"…" can spell any of the words.
      if (body[at] == '&' && at > 0 && (body[at - 1] | 0x20) == 'u' && at + 1 < body.size() && body[at + 1] == '"')
        return kUnknown;
      ++at;
      continue;
    }
    const std::size_t begin = at;
    while (at < body.size() && is_word_byte(body[at])) ++at;
    const std::string_view word = body.substr(begin, at - begin);
    if (equals_folded(word, "update")) {
      in_update = true;
    } else if (equals_folded(word, "set")) {
      if (!in_update && !is_local(body.substr(at)) && !note(set_statement(body.substr(at)))) return kUnknown;
      in_update = false;
    } else if (equals_folded(word, "then") || equals_folded(word, "begin") || equals_folded(word, "else") ||
               equals_folded(word, "loop")) {
      in_update = false;
    } else if (equals_folded(word, "set_config")) {
      if (!note(set_config_call(body.substr(at)))) return kUnknown;
    } else {
      leaves |= word_hazards(word);
      if (leaves & kUnknown) return kUnknown;
    }
  }
  return leaves;
}

}  // namespace dbproxy::session::postgres
