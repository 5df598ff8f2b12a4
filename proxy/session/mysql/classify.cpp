#include "proxy/session/mysql/classify.hpp"

#include <algorithm>
#include <charconv>

namespace dbproxy::session::mysql {
namespace {

// Statements that leave nothing behind but what their words below say, or what the server reports.
constexpr std::array<std::string_view, 54> kKnown = {
    "alter",    "analyze",  "begin",   "binlog",   "cache",     "change",    "check",   "checksum", "clone",
    "commit",   "create",   "delete",  "desc",     "describe",  "do",        "drop",    "explain",  "flush",
    "get",      "grant",    "handler", "help",     "import",    "insert",    "install", "kill",     "load",
    "lock",     "optimize", "prepare", "purge",    "release",   "rename",    "repair",  "replace",  "reset",
    "resignal", "restart",  "revoke",  "rollback", "savepoint", "select",    "set",     "show",     "shutdown",
    "signal",   "start",    "stop",    "table",    "truncate",  "uninstall", "unlock",  "update",   "use"};
constexpr std::array<std::string_view, 6> kKnownToo = {"deallocate", "values", "value", "with", "xa", "execute"};

bool is_known(std::string_view word) {
  const auto is = [word](std::string_view known) { return equals_folded(word, known); };
  return std::any_of(kKnown.begin(), kKnown.end(), is) || std::any_of(kKnownToo.begin(), kKnownToo.end(), is);
}

bool is_without_tables(std::string_view word) {
  static constexpr std::array<std::string_view, 13> kWords = {"select",   "do",        "begin",   "start",  "commit",
                                                              "rollback", "savepoint", "release", "signal", "resignal",
                                                              "get",      "show",      "execute"};
  return std::any_of(kWords.begin(), kWords.end(),
                     [word](std::string_view known) { return equals_folded(word, known); });
}

std::string_view unquoted(std::string_view text) {
  if (text.size() >= 2 && (text[0] == '\'' || text[0] == '"' || text[0] == '`') && text.back() == text[0])
    return text.substr(1, text.size() - 2);
  return text;
}

class Classifier {
 public:
  Classifier(std::string_view sql, const ClassifyOptions& options) : tokens_(sql, options.lex), options_(options) {
    advance();
  }

  Verdict run() {
    verdict_.only_sets = true;
    while (token_.kind != TokenKind::kEnd) {
      if (token_.is(';')) {
        advance();
        continue;
      }
      ++verdict_.statement_count;
      statement();
    }
    if (verdict_.statement_count == 0) verdict_.only_sets = false;
    if (verdict_.statement_count != 1) verdict_.kill = verdict_.call = verdict_.shows_diagnostics = false;
    return verdict_;
  }

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

  void statement() {
    while (token_.is('(')) advance();  // (SELECT …) UNION …
    first_ = token_;
    if (token_.kind != TokenKind::kWord || !is_known(token_.text)) {
      verdict_.only_sets = false;
      verdict_.call = token_.is_word("call");
      pin(PinReason::kOpaque);  // CALL, a block of MariaDB's, or what nobody here knows
      return rest();
    }
    if (take("set")) return set();
    if (take("use")) {
      advance();
      return rest();
    }
    verdict_.only_sets = false;
    verdict_.tables = verdict_.tables || !is_without_tables(token_.text);
    ddl_ = token_.is_word("create") || token_.is_word("alter") || token_.is_word("drop") || token_.is_word("rename");
    if (take("create")) return create();
    if (take("prepare")) {
      pin(PinReason::kSqlPrepare);
    } else if (take("execute")) {
      pin(token_.is_word("immediate") ? PinReason::kOpaque : PinReason::kSqlPrepare);
    } else if (take("begin")) {
      if (token_.is_word("not")) pin(PinReason::kOpaque);  // BEGIN NOT ATOMIC: a block
    } else if (take("lock")) {
      pin(token_.is_word("instance") ? PinReason::kOpaque : PinReason::kLockTables);
    } else if (take("unlock")) {
      verdict_.unlocks = verdict_.unlocks || !token_.is_word("instance");
    } else if (take("select") || take("do")) {
      Tokenizer copy = tokens_;
      if (token_.is_word("release_all_locks") && copy.next().is('(') && copy.next().is(')') && ends(copy.next()))
        verdict_.releases = true;
    } else if (take("handler")) {
      handler_ = true;
    } else if (take("xa")) {
      if (!token_.is_word("recover")) pin(PinReason::kXa);
    } else if (take("binlog")) {
      pin(PinReason::kOpaque);
    } else if (take("show")) {
      const bool shows = token_.is_word("warnings") || token_.is_word("errors");
      verdict_.shows_diagnostics = verdict_.shows_diagnostics || shows;
      if (shows || token_.is_word("count"))
        verdict_.diagnostics = true;
      else
        verdict_.tables = true;
    } else if (take("get")) {
      verdict_.diagnostics = true;
      sets_variables_ = true;
    } else if (take("load")) {
      sets_variables_ = true;
    } else if (take("kill")) {
      kill();
    } else if (take("flush")) {
      flush_ = true;
    }
    rest();
  }

  void create() {
    if (take("or")) take("replace");
    if (token_.is_word("temporary")) pin(PinReason::kTemporaryTable);
    take("aggregate");
    // DEFINER = user
    if (take("definer")) {
      for (int i = 0; i < 4 && !at_end() && !is_program(); ++i) advance();
      if (take("sql")) take("security");
    }
    // Its body runs later; where nothing can follow it, it says nothing about this session.
    if (is_program() && !options_.multi_statements) {
      verdict_.changes_programs = true;
      while (token_.kind != TokenKind::kEnd) advance();
      return;
    }
    rest();
  }
  bool is_program() const {
    return token_.is_word("procedure") || token_.is_word("function") || token_.is_word("trigger") ||
           token_.is_word("event") || token_.is_word("package");
  }

  void kill() {
    take("hard") || take("soft");
    const bool query = token_.is_word("query");
    if (query || token_.is_word("connection")) advance();
    const std::string_view text = token_.text;
    std::uint64_t id = 0;
    const auto [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), id);
    // KILL of a user, of a query's number, or of an expression goes to the server.
    if (token_.kind != TokenKind::kNumber || failure != std::errc() || stop != text.data() + text.size()) return;
    advance();
    if (!at_end()) return;
    verdict_.kill = true;
    verdict_.kill_query = query;
    verdict_.kill_id = id;
  }

  void setting(std::string_view name) {
    verdict_.sets = true;
    name = unquoted(name);
    if (name.size() >= 14 && equals_folded(name.substr(0, 14), "session_track_")) verdict_.session_tracking = true;
    if (verdict_.setting_count < Verdict::kMaxSettings)
      verdict_.settings[verdict_.setting_count++] = name;
    else
      verdict_.too_many_settings = true;
  }

  void set() {
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
    } while (token_.is(',') && (advance(), true));
    // MariaDB's SET STATEMENT … FOR …, and whatever else is no list of assignments.
    if (!at_end()) {
      pin(PinReason::kOpaque);
      verdict_.only_sets = false;
      rest();
    }
  }

  void assignment(bool session, bool scoped) {
    if (token_.kind == TokenKind::kUserVariable) {
      pin(PinReason::kUserVariable);
      verdict_.only_sets = false;
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

  void names() {
    verdict_.names = verdict_.sets = true;
    while (!at_end() && !token_.is(',')) {
      if (take("collate"))
        verdict_.collation = unquoted(token_.text);
      else
        hazard();
      if (!at_end() && !token_.is(',')) advance();
    }
  }

  // Up to a comma outside of parentheses.
  void expression() {
    int depth = 0;
    while (!at_end() && (depth > 0 || !token_.is(','))) {
      if (token_.is('(')) ++depth;
      if (token_.is(')')) --depth;
      hazard();
      advance();
    }
  }
  void rest() {
    while (!at_end()) {
      hazard();
      advance();
    }
    handler_ = flush_ = sets_variables_ = into_ = ddl_ = false;
  }

  // What one token may do wherever it stands.
  void hazard() {
    switch (token_.kind) {
      case TokenKind::kUserVariable:
        if (sets_variables_ || into_ || peek().kind == TokenKind::kAssign) pin(PinReason::kUserVariable);
        return;
      case TokenKind::kSystemVariable:
        system_variable(token_.text.substr(2));
        return;
      case TokenKind::kWord:
        if (options_.hazards != nullptr && options_.hazards->contains(token_.text)) pin(PinReason::kOpaque);
        return word();
      case TokenKind::kQuotedIdentifier:
        if (options_.hazards != nullptr && options_.hazards->contains(unquoted(token_.text))) pin(PinReason::kOpaque);
        into_ = false;
        return;
      default:
        if (!token_.is(',')) into_ = false;
        return;
    }
  }

  void system_variable(std::string_view name) {
    if (equals_folded(name, "session") || equals_folded(name, "local")) {
      Tokenizer copy = tokens_;
      if (copy.next().is('.')) name = copy.next().text;
    }
    if (equals_folded(name, "last_insert_id") || equals_folded(name, "identity")) verdict_.last_insert_id = true;
    if (equals_folded(name, "warning_count") || equals_folded(name, "error_count")) verdict_.diagnostics = true;
  }

  void word() {
    const std::string_view text = token_.text;
    into_ = false;
    // A table takes its triggers with it.
    if (ddl_ && (is_program() || token_.is_word("view") || token_.is_word("database") || token_.is_word("schema") ||
                 token_.is_word("rename") || before_.is_word("rename")))
      verdict_.changes_programs = true;
    switch (text[0] | 0x20) {
      case 'c':
        if (equals_folded(text, "connection_id") && peek().is('(')) verdict_.connection_id = true;
        break;
      case 'g':
        if (equals_folded(text, "get_lock")) pin(PinReason::kLock);
        break;
      case 'r':
        if (equals_folded(text, "row_count") && peek().is('(')) verdict_.row_count = true;
        // FLUSH TABLES … WITH READ LOCK
        if (flush_ && equals_folded(text, "read")) pin(PinReason::kLockTables);
        break;
      case 'e':
        if (flush_ && equals_folded(text, "export")) pin(PinReason::kLockTables);
        break;
      case 'o':
        if (handler_ && equals_folded(text, "open")) pin(PinReason::kHandler);
        break;
      case 'i':
        into_ = equals_folded(text, "into");
        break;
      case 'f':
        if (equals_folded(text, "found_rows") && peek().is('(')) verdict_.found_rows = true;
        if (equals_folded(text, "from")) verdict_.tables = true;
        break;
      case 's':
        if (equals_folded(text, "sql_calc_found_rows")) verdict_.calc_found_rows = true;
        if (equals_folded(text, "service_get_read_locks") || equals_folded(text, "service_get_write_locks"))
          pin(PinReason::kLock);
        break;
      case 'l':
        if (equals_folded(text, "last_insert_id")) last_insert_id();
        break;
      default:
        break;
    }
  }

  // With an argument it sets what it returns; an OK tells that, the end of rows does not.
  void last_insert_id() {
    Tokenizer copy = tokens_;
    if (!copy.next().is('(')) return;
    verdict_.last_insert_id = true;
    if (!copy.next().is(')') && (first_.is_word("select") || first_.is_word("do") || first_.is_word("set")))
      pin(PinReason::kOpaque);
  }

  Tokenizer tokens_;
  ClassifyOptions options_;
  Token token_, before_, first_;
  Verdict verdict_;
  bool ddl_ = false, handler_ = false, flush_ = false, sets_variables_ = false, into_ = false;
};

}  // namespace

Verdict classify(std::string_view sql, const ClassifyOptions& options) {
  return Classifier(sql, options).run();
}

}  // namespace dbproxy::session::mysql
