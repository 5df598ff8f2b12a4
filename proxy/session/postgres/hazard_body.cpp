#include "proxy/session/postgres/classify.hpp"
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

bool is_hazardous(std::string_view word) {
  static constexpr std::string_view kWords[] = {"reset",   "set_config", "execute",   "listen",      "load",
                                                "prepare", "deallocate", "discard",   "temp",        "temporary",
                                                "hold",    "setseed",    "set_limit", "pg_settings", "authorization"};
  for (const std::string_view hazard : kWords)
    if (equals_folded(word, hazard)) return true;
  const Word known = find_word(word);
  if (known == Word::kRunsText || known == Word::kReplicationSlot || known == Word::kSetsVariable) return true;
  if (in_opaque_family(word)) return true;
  if (starts_folded(word, "pg_temp") || starts_folded(word, "_shared")) return true;  // PL/Perl's %_SHARED
  return contains_folded(word, "advisory") && !contains_folded(word, "advisory_xact") &&
         !contains_folded(word, "advisory_unlock");
}

}  // namespace

// Words are looked at wherever they stand, so that no quoting of any language has to be understood. The one word that
// every other function has in code, UPDATE's SET, is told apart by what stands between the two.
bool body_is_hazardous(std::string_view body) {
  bool in_update = false;
  for (std::size_t at = 0; at < body.size();) {
    if (!is_word_byte(body[at])) {
      if (!may_stand_in_update(body[at])) in_update = false;
      // U&"…" can spell any of the words.
      if (body[at] == '&' && at > 0 && (body[at - 1] | 0x20) == 'u' && at + 1 < body.size() && body[at + 1] == '"')
        return true;
      ++at;
      continue;
    }
    const std::size_t begin = at;
    while (at < body.size() && is_word_byte(body[at])) ++at;
    const std::string_view word = body.substr(begin, at - begin);
    if (equals_folded(word, "update")) {
      in_update = true;
    } else if (equals_folded(word, "set")) {
      if (!in_update && !is_local(body.substr(at))) return true;
      in_update = false;
    } else if (equals_folded(word, "then") || equals_folded(word, "begin") || equals_folded(word, "else") ||
               equals_folded(word, "loop")) {
      in_update = false;
    } else if (is_hazardous(word)) {
      return true;
    }
  }
  return false;
}

}  // namespace dbproxy::session::postgres
