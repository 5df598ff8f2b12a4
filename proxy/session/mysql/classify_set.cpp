// The part of the Classifier that reads SET: which variables of the session it is about.
#include "proxy/session/mysql/classifier.hpp"
#include "proxy/session/mysql/tracking.hpp"

namespace dbproxy::session::mysql {

void Classifier::set() {
  do {
    bool session = true, scoped = false;
    for (bool more = true; more;) {
      more = false;
      if (token_.is_word("global") || token_.is_word("persist") || token_.is_word("persist_only")) {
        session = false;
        more = scoped = true;
      } else if (token_.is_word("session") || token_.is_word("local")) {
        more = scoped = true;
      }
      if (more) advance();
    }
    assignment(session, scoped);
    verdict_.set_list |= token_.is(',');
  } while (token_.is(',') && (advance(), true));
  // MariaDB's SET STATEMENT … FOR …, and whatever else is no list of assignments.
  if (!at_end()) {
    pin(PinReason::kOpaque);
    verdict_.only_sets = false;
    rest();
  }
}

void Classifier::setting(std::string_view name) {
  verdict_.sets = true;
  name = unquoted(name);
  if (is_tracking(name)) verdict_.session_tracking = true;
  if (verdict_.settings.size() < Verdict::kMaxSettings)
    verdict_.settings.push_back(name);
  else
    verdict_.too_many_settings = true;
}

void Classifier::assignment(bool session, bool scoped) {
  if (token_.kind == TokenKind::kUserVariable) {
    user_variable(true);
    return expression();
  }
  if (token_.kind == TokenKind::kSystemVariable) {
    std::string_view name = token_.text.substr(2);
    advance();
    if (token_.is('.')) {
      session = equals_folded(name, "session") || equals_folded(name, "local");
      advance();
      if (!session && !equals_folded(name, "global") && !equals_folded(name, "persist") &&
          !equals_folded(name, "persist_only")) {
        pin(PinReason::kSetVariable);  // @@cache.key_buffer_size
      }
      name = token_.text;
      advance();
    }
    if (session) setting(name);
    return expression();
  }
  if (!scoped && take("names")) return names();
  if (!scoped && (token_.is_word("charset") || (token_.is_word("character") && peek().is_word("set")))) {
    take("character");
    advance();
    return names();
  }
  if (take("transaction")) {
    // Without SESSION it is for the next transaction only, which the server tells as its characteristics.
    if (session && scoped) {
      const bool isolation = token_.is_word("isolation");
      setting(isolation ? "transaction_isolation" : "transaction_read_only");
      while (!at_end()) {
        advance();
        if (token_.is(',')) setting(isolation ? "transaction_read_only" : "transaction_isolation");
      }
    } else if (!scoped) {
      verdict_.only_sets = false;
    }
    while (!at_end()) advance();
    return;
  }
  if (token_.is_word("role") || token_.is_word("resource")) {
    pin(PinReason::kRole);
    verdict_.only_sets = false;
    while (!at_end()) advance();
    return;
  }
  if (token_.is_word("password") || token_.is_word("default") || token_.is_word("statement")) {
    if (token_.is_word("statement")) pin(PinReason::kOpaque);
    verdict_.only_sets = false;
    return rest();
  }
  if (token_.kind != TokenKind::kWord && token_.kind != TokenKind::kQuotedIdentifier) {
    pin(PinReason::kOpaque);
    return rest();
  }
  const std::string_view name = token_.text;
  advance();
  if (token_.is('.')) {  // cache.variable, or in a trigger NEW.column
    pin(PinReason::kSetVariable);
    while (!at_end() && !token_.is('=') && token_.kind != TokenKind::kAssign) advance();
  }
  if (session) setting(name);
  expression();
}

void Classifier::names() {
  verdict_.names = verdict_.sets = true;
  verdict_.collation = {};
  while (!at_end() && !token_.is(',')) {
    if (take("collate"))
      verdict_.collation = token_.is_word("default") ? std::string_view() : unquoted(token_.text);
    else
      hazard();
    if (!at_end() && !token_.is(',')) advance();
  }
}

// Up to a comma outside of parentheses.
void Classifier::expression() {
  int depth = 0;
  while (!at_end() && (depth > 0 || !token_.is(','))) {
    if (token_.is('(')) ++depth;
    if (token_.is(')')) --depth;
    hazard();
    advance();
  }
}

}  // namespace dbproxy::session::mysql
