#include "proxy/session/mysql/tracking.hpp"

#include <algorithm>
#include <utility>

namespace dbproxy::session::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;

constexpr std::string_view kPrefix = "session_track_";

// One of a SET's: `text` is all of it, `name` its variable's, `value` the only token behind the equals sign, if it is.
struct Assignment {
  std::string_view text, name;
  bool global = false;
  Token value;
  std::size_t values = 0;
  bool of_tracking() const { return !global && is_tracking(name); }
};

void read_target(const Token& token, Assignment& found) {
  std::string_view name = token.text;
  if (token.kind == TokenKind::kSystemVariable) name.remove_prefix(2);
  if (token.kind != TokenKind::kSystemVariable && token.kind != TokenKind::kWord &&
      token.kind != TokenKind::kQuotedIdentifier)
    return;
  found.name = unquoted(name);
  found.global = found.global || equals_folded(found.name, "global") || equals_folded(found.name, "persist") ||
                 equals_folded(found.name, "persist_only");
}

template <class F>
void each_assignment(std::string_view sql, const LexOptions& lex, F&& use) {
  Tokenizer tokens(sql, lex);
  tokens.next();  // SET
  Assignment found;
  bool target = true;
  int depth = 0;
  for (Token token = tokens.next();; token = tokens.next()) {
    const bool end = token.kind == TokenKind::kEnd;
    if (end || (depth == 0 && (token.is(',') || token.is(';')))) {
      if (!found.text.empty()) use(found);
      if (end) return;
      found = {};
      target = true;
      continue;
    }
    const auto at = static_cast<std::size_t>(token.text.data() - sql.data());
    const std::size_t from = found.text.empty() ? at : static_cast<std::size_t>(found.text.data() - sql.data());
    found.text = sql.substr(from, at + token.text.size() - from);
    if (token.is('(')) ++depth;
    if (token.is(')')) --depth;
    if (target && (token.is('=') || token.kind == TokenKind::kAssign)) {
      target = false;
    } else if (target) {
      read_target(token, found);
    } else {
      ++found.values;
      found.value = token;
    }
  }
}

// Of what has one value out of a few; nothing: it is not said in plain words.
std::optional<std::string> word_of(const Assignment& assignment) {
  const Token& value = assignment.value;
  const bool plain = value.kind == TokenKind::kWord || value.kind == TokenKind::kNumber ||
                     value.kind == TokenKind::kString || value.kind == TokenKind::kQuotedIdentifier;
  if (assignment.values != 1 || !plain) return std::nullopt;
  return folded(unquoted(value.text));
}

bool turned_on(const std::optional<std::string>& word, bool by_default) {
  if (word == "default") return by_default;
  return word != "off" && word != "0" && word != "false";
}

void track_variables(Tracking& tracking, const Assignment& assignment) {
  tracking.variables.reset();
  tracking.all_variables = false;
  const auto word = word_of(assignment);
  const bool text =
      assignment.value.kind == TokenKind::kString || assignment.value.kind == TokenKind::kQuotedIdentifier;
  if (word == "default") return;
  if (word && !text && word != "null") return;  // an error on the server
  if (!word || word == "*") {
    tracking.all_variables = true;
    return;
  }
  tracking.variables.emplace();
  std::string name;
  for (const char c : text ? *word + ',' : std::string()) {
    if (c == ',' && !name.empty()) tracking.variables->push_back(std::exchange(name, {}));
    if (c != ',' && c != ' ') name += c;
  }
}

bool is_told_by_default(std::string_view name) {
  return name == "autocommit" || name == "time_zone" || name == "character_set_client" ||
         name == "character_set_connection" || name == "character_set_results";
}

}  // namespace

bool is_tracking(std::string_view name) {
  return name.size() > kPrefix.size() && equals_folded(name.substr(0, kPrefix.size()), kPrefix) &&
         !equals_folded(name.substr(kPrefix.size()), "gtids");
}

bool Tracking::hears_of(const wire::StateChange& change) const {
  switch (change.type) {
    case wire::StateType::kSchema:
      return schema;
    case wire::StateType::kStateChange:
      return state;
    case wire::StateType::kGtids:
      return true;
    case wire::StateType::kTransactionState:
      return transaction_state;
    case wire::StateType::kCharacteristics:
      return characteristics;
    case wire::StateType::kSystemVariable:
      break;
  }
  if (all_variables) return true;
  if (!variables) return is_told_by_default(change.name);
  return std::any_of(variables->begin(), variables->end(),
                     [&](const std::string& name) { return equals_folded(change.name, name); });
}

Tracking after_set(Tracking now, std::string_view sql, const LexOptions& lex) {
  each_assignment(sql, lex, [&now](const Assignment& assignment) {
    if (!assignment.of_tracking()) return;
    const std::string_view what = assignment.name.substr(kPrefix.size());
    const auto word = word_of(assignment);
    if (equals_folded(what, "schema")) now.schema = turned_on(word, true);
    if (equals_folded(what, "state_change")) now.state = turned_on(word, false);
    if (equals_folded(what, "transaction_info")) {
      now.transaction_state = turned_on(word, false);
      now.characteristics = now.transaction_state && word != "state" && word != "1";
    }
    if (equals_folded(what, "system_variables")) track_variables(now, assignment);
  });
  return now;
}

std::string without_tracking(std::string_view sql, const LexOptions& lex) {
  if (is_conditional(sql)) return {};
  std::string out;
  each_assignment(sql, lex, [&out](const Assignment& assignment) {
    if (!assignment.of_tracking()) out.append(out.empty() ? "SET " : ", ").append(assignment.text);
  });
  return out;
}

}  // namespace dbproxy::session::mysql
