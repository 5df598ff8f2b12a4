#include "proxy/session/mysql/hazard_names.hpp"

#include "proxy/session/mysql/tokenizer.hpp"

namespace dbproxy::session::mysql {
namespace {

constexpr std::size_t kMaxName = 256;  // 64 characters

// Whether its own text may leave something. SET of system variables and temporary tables are reported.
bool is_hazard(std::string_view source) {
  Tokenizer tokens(source, {});
  for (Token token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next()) {
    if (token.kind == TokenKind::kUserVariable) return true;
    for (const std::string_view word : {"get_lock", "call", "prepare", "execute", "handler", "last_insert_id"})
      if (token.is_word(word)) return true;
  }
  return false;
}

}  // namespace

void HazardNames::add(std::string_view name, std::string_view source) {
  if (name.size() > kMaxName) return;
  if (source.empty() || is_hazard(source))
    names_.insert(folded(name));
  else
    candidates_.emplace_back(folded(name), source);
}

void HazardNames::settle() {
  const auto uses_one = [this](std::string_view source) {
    Tokenizer tokens(source, {});
    for (Token token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next()) {
      const bool quoted = token.kind == TokenKind::kQuotedIdentifier && token.text.size() >= 2;
      if (quoted ? contains(token.text.substr(1, token.text.size() - 2))
                 : token.kind == TokenKind::kWord && contains(token.text))
        return true;
    }
    return false;
  };
  for (bool more = !names_.empty(); more;) {
    more = false;
    for (auto& [name, source] : candidates_) {
      if (source.empty() || !uses_one(source)) continue;
      names_.insert(name);
      source.clear();
      more = true;
    }
  }
  candidates_.clear();
}

bool HazardNames::contains(std::string_view name) const {
  return !names_.empty() && name.size() <= kMaxName && names_.contains(folded(name));
}

}  // namespace dbproxy::session::mysql
