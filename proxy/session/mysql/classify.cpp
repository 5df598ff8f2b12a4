#include "proxy/session/mysql/classify.hpp"

#include <algorithm>
#include <charconv>

#include "proxy/session/mysql/classifier.hpp"
#include "proxy/session/mysql/user_variables.hpp"

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

// Neither may what they call commit.
bool is_of_rows(const Token& first) {
  static constexpr std::array<std::string_view, 10> kWords = {"select", "insert", "update", "delete", "replace",
                                                              "with",   "values", "table",  "do",     "savepoint"};
  return first.is('(') ||
         std::any_of(kWords.begin(), kWords.end(), [&](std::string_view word) { return first.is_word(word); });
}

bool is_without_tables(std::string_view word) {
  static constexpr std::array<std::string_view, 22> kWords = {
      "select",  "do",       "begin", "start", "commit",  "rollback", "savepoint",  "release",
      "signal",  "resignal", "get",   "show",  "execute", "prepare",  "deallocate", "unlock",
      "explain", "values",   "xa",    "help",  "kill",    "with"};
  return std::any_of(kWords.begin(), kWords.end(),
                     [word](std::string_view known) { return equals_folded(word, known); });
}

// Of what an INSERT calls: none of these makes the key of a row.
bool makes_no_key(std::string_view function) {
  static constexpr std::array<std::string_view, 24> kWords = {
      "now",      "current_timestamp", "localtime",   "localtimestamp", "sysdate",     "utc_timestamp",
      "utc_date", "utc_time",          "curdate",     "current_date",   "curtime",     "current_time",
      "uuid",     "uuid_to_bin",       "unhex",       "inet6_aton",     "md5",         "sha1",
      "sha2",     "compress",          "json_object", "json_array",     "aes_encrypt", "st_geomfromtext"};
  static constexpr std::array<std::string_view, 4> kSyntax = {"values", "value", "row", "default"};
  const auto is = [function](std::string_view known) { return equals_folded(function, known); };
  return std::any_of(kWords.begin(), kWords.end(), is) || std::any_of(kSyntax.begin(), kSyntax.end(), is);
}

}  // namespace

Verdict Classifier::run() {
  verdict_.only_sets = true;
  while (token_.kind != TokenKind::kEnd) {
    if (token_.is(';')) {
      advance();
      continue;
    }
    verdict_.only_rows = ++verdict_.statement_count == 1 && is_of_rows(token_);
    statement();
  }
  if (verdict_.statement_count == 0) verdict_.only_sets = false;
  if (verdict_.statement_count != 1)
    verdict_.kill = verdict_.call = verdict_.shows_diagnostics = verdict_.get_diagnostics = false;
  return verdict_;
}

void Classifier::statement() {
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
  inserts_ = token_.is_word("insert") || token_.is_word("replace");
  verdict_.inserts = verdict_.inserts || inserts_;
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
  } else if (take("savepoint")) {
    verdict_.savepoint = true;
  } else if (take("commit")) {
    verdict_.ends_transaction = true;
  } else if (take("rollback")) {
    take("work");
    verdict_.ends_transaction = verdict_.ends_transaction || !token_.is_word("to");
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
      verdict_.tables = verdict_.tables || !shows_no_table();
  } else if (take("get")) {
    verdict_.diagnostics = verdict_.get_diagnostics = true;
    sets_variables_ = true;
  } else if (take("load")) {
    sets_variables_ = true;
    // Its OK has no number at all: so the connection begins with this client's.
    verdict_.inserts = verdict_.insert_id_untold = verdict_.last_insert_id = true;
  } else if (take("kill")) {
    kill();
  } else if (take("flush")) {
    flush_ = true;
  }
  rest();
}

void Classifier::create() {
  if (take("or")) take("replace");
  creates_ = token_.is_word("temporary") || token_.is_word("table");
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

void Classifier::kill() {
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

void Classifier::rest() {
  while (!at_end()) {
    hazard();
    if (inserts_ || creates_) inserted();
    advance();
  }
  handler_ = flush_ = sets_variables_ = into_ = ddl_ = inserts_ = values_ = creates_ = false;
  depth_ = 0;
  call_depth_ = kNoCall;
}

void Classifier::hazard() {
  switch (token_.kind) {
    case TokenKind::kUserVariable:
      return user_variable(sets_variables_ || into_ || peek().kind == TokenKind::kAssign);
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
      if (token_.is('(')) parenthesis();
      if (token_.is(')') && depth_-- == call_depth_) call_depth_ = kNoCall;
      return;
  }
}

// Whose FROM is no table's.
void Classifier::parenthesis() {
  ++depth_;
  for (const std::string_view word : {"trim", "extract", "substring", "substr", "mid"})
    if (before_.is_word(word)) call_depth_ = depth_;
}

// What the rows of an INSERT are made of: numbers, one of which may be a row's key, or what may come to any.
void Classifier::inserted() {
  const auto unsaid = [this] { verdict_.inserts = verdict_.insert_id_unsaid = true; };
  const std::string_view text = token_.text;
  if (token_.kind == TokenKind::kWord) {
    if (token_.is_word("select") || token_.is_word("duplicate") || (token_.is_word("table") && inserts_))
      return unsaid();
    if (!values_) {
      values_ = inserts_ && (token_.is_word("values") || token_.is_word("value") || token_.is_word("set"));
      return;
    }
    const Token after = peek();
    const bool literal = (token_.is_word("x") || token_.is_word("b")) && after.kind == TokenKind::kString;
    if (literal || token_.is_word("case") || token_.is_word("div") || token_.is_word("mod") ||
        (after.is('(') && !makes_no_key(text)))
      unsaid();
    return;
  }
  if (!values_) return;
  switch (token_.kind) {
    case TokenKind::kNumber:
      if (text.find_first_not_of("0123456789") != std::string_view::npos) return unsaid();
      return verdict_.numbers.add_text(text);
    case TokenKind::kString:
      return verdict_.numbers.add_text(unquoted(text));
    case TokenKind::kUserVariable:
    case TokenKind::kSystemVariable:
      return unsaid();
    case TokenKind::kPunctuation:
      // A sign is none that calculates.
      if ((token_.is('-') || token_.is('+')) && (before_.is('(') || before_.is(',') || before_.is('='))) return;
      if (std::string_view("+-*/%|&^~!<>").find(text[0]) != std::string_view::npos) unsaid();
      return;
    default:
      return;
  }
}

// One that cannot be put elsewhere, or that is one too many, keeps its client where it is set.
void Classifier::user_variable(bool sets) {
  auto it = std::find(verdict_.variables.begin(), verdict_.variables.end(), token_.text);
  if (it == verdict_.variables.end()) {
    if (verdict_.variables.size() == Verdict::kMaxVariables || !has_own_variable(token_.text)) {
      verdict_.all_variables = true;
      if (sets) pin(PinReason::kUserVariable);
      return;
    }
    verdict_.variables.push_back(token_.text);
    it = std::prev(verdict_.variables.end());
  }
  if (sets) verdict_.variables_set |= static_cast<std::uint8_t>(1u << (it - verdict_.variables.begin()));
}

void Classifier::system_variable(std::string_view name) {
  if (equals_folded(name, "session") || equals_folded(name, "local")) {
    Tokenizer copy = tokens_;
    if (copy.next().is('.')) name = copy.next().text;
  }
  if (equals_folded(name, "last_insert_id") || equals_folded(name, "identity")) verdict_.last_insert_id = true;
  if (equals_folded(name, "warning_count") || equals_folded(name, "error_count")) verdict_.diagnostics = true;
}

void Classifier::word() {
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
      // The end of its rows does not tell which number it made: so the connection begins with this client's, and has
      // it.
      if (equals_folded(text, "returning") && (first_.is_word("insert") || first_.is_word("replace")))
        verdict_.last_insert_id = verdict_.insert_id_untold = true;
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
      if (equals_folded(text, "from")) from();
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

// Of MariaDB's SHOW these have none.
bool Classifier::shows_no_table() const {
  for (const std::string_view word : {"processlist", "full", "grants", "privileges", "profiles", "profile"})
    if (token_.is_word(word)) return true;
  const Token after = peek();
  return token_.is_word("create") && !after.is_word("table") && !after.is_word("view");
}

// Not TRIM(a FROM b) and its like, nor a text that is prepared.
void Classifier::from() {
  if (first_.is_word("prepare") || depth_ == call_depth_ || peek().is_word("dual")) return;
  verdict_.tables = true;
}

// With an argument it sets what it returns; an OK tells that, the end of rows does not.
void Classifier::last_insert_id() {
  Tokenizer copy = tokens_;
  if (!copy.next().is('(')) return;
  verdict_.last_insert_id = true;
  if (!copy.next().is(')') && (first_.is_word("select") || first_.is_word("do") || first_.is_word("set")))
    pin(PinReason::kOpaque);
}

Verdict classify(std::string_view sql, const ClassifyOptions& options) {
  return Classifier(sql, options).run();
}

}  // namespace dbproxy::session::mysql
