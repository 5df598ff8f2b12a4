#include "proxy/session/mysql/holdings.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace dbproxy::session::mysql {
namespace {

constexpr std::size_t kMaxHeld = 64;
constexpr std::uint32_t kKinds = bit(PinReason::kTemporaryTable) | bit(PinReason::kLock) | bit(PinReason::kXa);

// One text, token by token.
class Text {
 public:
  Text(std::string_view sql, const LexOptions& lex) : tokens_(sql, lex), token_(tokens_.next()) {}
  const Token& token() const { return token_; }
  Token take() {
    const Token taken = token_;
    token_ = tokens_.next();
    return taken;
  }
  bool take(std::string_view word) { return token_.is_word(word) && (take(), true); }
  bool take(char punctuation) { return token_.is(punctuation) && (take(), true); }
  bool ended() {
    take(';');
    return token_.kind == TokenKind::kEnd;
  }
  // name or schema.name, as one word that no other table has.
  std::optional<std::string> table(std::string_view schema) {
    std::string_view name, of = schema;
    if (!identifier(name)) return std::nullopt;
    if (take('.')) {
      of = name;
      if (!identifier(name)) return std::nullopt;
    }
    return std::string(of).append(1, '\0').append(name);
  }

 private:
  bool identifier(std::string_view& name) {
    if (token_.kind != TokenKind::kWord && token_.kind != TokenKind::kQuotedIdentifier) return false;
    name = unquoted(take().text);
    return true;
  }

  Tokenizer tokens_;
  Token token_;
};

// CREATE [OR REPLACE] TEMPORARY TABLE [IF NOT EXISTS] name …
std::optional<std::string> created(Text text, std::string_view schema) {
  if (!text.take("create")) return std::nullopt;
  if (text.take("or")) text.take("replace");
  if (!text.take("temporary") || !text.take("table")) return std::nullopt;
  if (text.take("if")) {
    text.take("not");
    text.take("exists");
  }
  return text.table(schema);
}

// DROP [TEMPORARY] TABLE [IF EXISTS] name, … and nothing else.
std::vector<std::string> dropped(Text text, std::string_view schema) {
  std::vector<std::string> names;
  if (!text.take("drop")) return names;
  text.take("temporary");
  if (!text.take("table") && !text.take("tables")) return names;
  if (text.take("if")) text.take("exists");
  do {
    auto name = text.table(schema);
    if (!name) return {};
    names.push_back(std::move(*name));
  } while (text.take(','));
  if (!text.take("restrict")) text.take("cascade");
  return text.ended() ? names : std::vector<std::string>();
}

// SELECT or DO function('name', …) [[AS] alias] and nothing else: it is called once, whatever its value.
std::optional<std::string> locked(Text text, std::string_view function, bool with_time) {
  const bool select = text.take("select");
  if (!select && !text.take("do")) return std::nullopt;
  if (!text.take(function) || !text.take('(') || text.token().kind != TokenKind::kString) return std::nullopt;
  std::string name(text.take().text);
  if (with_time) {
    if (!text.take(',')) return std::nullopt;
    text.take('-');
    if (text.take().kind != TokenKind::kNumber) return std::nullopt;
    if (text.take('.') && text.take().kind != TokenKind::kNumber) return std::nullopt;
  }
  if (!text.take(')')) return std::nullopt;
  if (select && (text.take("as") || (!text.token().is_word("from") && text.token().kind == TokenKind::kWord) ||
                 text.token().kind == TokenKind::kQuotedIdentifier)) {
    const TokenKind alias = text.take().kind;
    if (alias != TokenKind::kWord && alias != TokenKind::kQuotedIdentifier && alias != TokenKind::kString)
      return std::nullopt;
  }
  return text.ended() ? std::optional(std::move(name)) : std::nullopt;
}

bool ends_xa(Text text) {
  return text.take("xa") && (text.take("commit") || text.take("rollback"));
}

}  // namespace

void Holdings::Names::take(std::string name) {
  if (held.size() < kMaxHeld)
    held.push_back(std::move(name));
  else
    unsure = true;
}

bool Holdings::Names::give(const std::vector<std::string>& names) {
  bool any = false;
  for (const std::string& name : names) {
    const auto it = std::find(held.begin(), held.end(), name);
    if (it == held.end()) continue;
    held.erase(it);
    any = true;
  }
  return any;
}

void Holdings::sent(std::string_view text, const LexOptions& lex, const Verdict& verdict, std::uint32_t pins,
                    std::string_view schema) {
  looked_at_ = (pins & kKinds) != 0;
  if (!looked_at_) return;
  request_ = {};
  const bool plain = verdict.statement_count == 1 && !is_conditional(text);
  const Text tokens(text, lex);
  if (verdict.pinned_by(PinReason::kTemporaryTable)) {
    auto name = plain ? created(tokens, schema) : std::nullopt;
    if (name)
      request_.table = std::move(*name);
    else
      tables_.unsure = true;
  } else if (pins & bit(PinReason::kTemporaryTable)) {
    // What is called otherwise now could not be found by its name.
    const bool renames = tokens.token().is_word("alter") || tokens.token().is_word("rename");
    tables_.unsure = tables_.unsure || renames || !plain;
    if (plain) request_.dropped = dropped(tokens, schema);
  }
  if (verdict.pinned_by(PinReason::kLock)) {
    auto name = plain ? locked(tokens, "get_lock", true) : std::nullopt;
    if (name)
      request_.lock = std::move(*name);
    else
      locks_.unsure = true;
  } else if (plain && (pins & bit(PinReason::kLock))) {
    if (auto name = locked(tokens, "release_lock", false)) request_.released.push_back(std::move(*name));
    request_.releases_all = verdict.releases;
  }
  request_.ends_xa = plain && ends_xa(tokens);
}

Holdings::Ended Holdings::done(bool failed, bool syntax_error) {
  Ended ended;
  if (!std::exchange(looked_at_, false)) return ended;
  Request request = std::exchange(request_, {});
  // A lock may have been taken by a statement that failed; a table is not there then.
  if (!request.lock.empty() && !syntax_error) locks_.take(std::move(request.lock));
  if (failed) return ended;
  if (!request.table.empty() &&
      std::find(tables_.held.begin(), tables_.held.end(), request.table) == tables_.held.end())
    tables_.take(std::move(request.table));
  ended.dropped = tables_.give(request.dropped);
  if (ended.dropped && tables_.none()) ended.pins |= bit(PinReason::kTemporaryTable);
  if (request.releases_all) locks_ = {};
  if (locks_.give(request.released) && locks_.none()) ended.pins |= bit(PinReason::kLock);
  if (request.ends_xa) ended.pins |= bit(PinReason::kXa);
  return ended;
}

}  // namespace dbproxy::session::mysql
