#include "proxy/session/postgres/classify.hpp"

#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/session/postgres/words.hpp"

namespace dbproxy::session::postgres {
namespace {

std::string_view without_quotes(const Token& token) {
  std::string_view text = token.text;
  if (token.kind == TokenKind::kQuotedIdentifier) {
    text.remove_prefix(1);
    if (!(token.traits & Token::kUnterminated)) text.remove_suffix(1);
  }
  return text;
}

bool is_name(const Token& token) {
  return token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedIdentifier ||
         token.kind == TokenKind::kUnicodeIdentifier;
}

// Session-level advisory locks: everything that is called so, but for what ends with the transaction or only unlocks.
bool takes_advisory_lock(std::string_view name) {
  return contains_folded(name, "advisory") && !contains_folded(name, "advisory_xact") &&
         !contains_folded(name, "advisory_unlock");
}

class Classifier {
 public:
  Classifier(std::string_view sql, const ClassifyOptions& options)
      : sql_(sql), options_(options), tokens_(sql, options.standard_conforming_strings) {}

  Verdict run();

 private:
  // The statement's next token, observed; kEnd at its end, which is a semicolon at any depth of parentheses: inside of
  // a rule's or function's body that only makes for more first words, and no miscounted parenthesis can hide one.
  const Token& next();
  void finish() {
    while (token_.kind != TokenKind::kEnd) next();
  }
  void pin(PinReason reason) { verdict_.pins |= bit(reason); }

  void observe();
  void observe_name(std::string_view name);
  void observe_word();

  void statement();
  void explain();
  void create();
  void alter_or_drop();
  void declare();
  void prepare();
  void deallocate();
  void begin(bool start);
  void set();
  void set_name();
  void reset();
  void set_config(Tokenizer ahead);
  void execute();
  void count_name();

  bool at_assignment() const {
    return token_.is('.') || (token_.kind == TokenKind::kOperator && token_.text == "=") || word_ == Word::kTo ||
           word_ == Word::kFrom;
  }
  bool is_reported(std::string_view setting) const;

  std::string_view sql_;
  const ClassifyOptions& options_;
  Tokenizer tokens_;
  Verdict verdict_;

  Token token_;
  Word word_ = Word::kOther;  // of the token, where it is a word without quotes
  Word before_[2] = {};       // of the two tokens before it
  bool text_ended_ = false, statement_ended_ = false;
  bool maybe_advisory_ = false;                // the token before was such a name: a call, if a parenthesis follows
  bool pg_settings_ = false, update_ = false;  // both in one statement: UPDATE pg_settings calls set_config
  bool search_path_ = false;                   // a search path is set: pg_temp may stand in a string
  bool names_seen_ = false;
};

const Token& Classifier::next() {
  if (statement_ended_) return token_;
  before_[1] = before_[0];
  before_[0] = word_;
  token_ = tokens_.next();
  word_ = Word::kOther;
  if (token_.kind == TokenKind::kEnd || token_.is(';')) {
    text_ended_ = token_.kind == TokenKind::kEnd;
    statement_ended_ = true;
    token_ = Token{};
    return token_;
  }
  observe();
  return token_;
}

void Classifier::observe() {
  if (maybe_advisory_) {
    if (token_.is('(')) pin(PinReason::kAdvisoryLock);
    maybe_advisory_ = false;
  }
  switch (token_.kind) {
    case TokenKind::kWord:
      word_ = find_word(token_.text);
      if (word_ != Word::kOther) observe_word();
      observe_name(token_.text);
      break;
    case TokenKind::kQuotedIdentifier: {
      const std::string_view name = without_quotes(token_);
      if (name.empty()) break;
      const Word word = find_word(name);
      if (word >= Word::kSetConfig) {  // a function or relation: quotes change nothing
        word_ = word;
        observe_word();
        word_ = Word::kOther;
      }
      observe_name(name);
      break;
    }
    case TokenKind::kUnicodeIdentifier:
      pin(PinReason::kOpaque);  // its escapes can spell anything
      break;
    case TokenKind::kString:
      if (token_.traits & Token::kBackslash) verdict_.quoting_matters = true;
      break;
    case TokenKind::kEscapeString:
      if (token_.text.front() == '\'' && (token_.traits & Token::kBackslash)) verdict_.quoting_matters = true;
      if (options_.backslash_in_characters && (token_.traits & Token::kHighBeforeBackslash)) pin(PinReason::kOpaque);
      break;
    default:
      break;
  }
}

// What a name means wherever it stands, apart from the words of words.hpp.
void Classifier::observe_name(std::string_view name) {
  const char first = static_cast<char>(name[0] | 0x20);
  if (first == 'p' && name.size() >= 7 && name[2] == '_') {
    if (starts_folded(name, "pg_temp") || starts_folded(name, "pg_toast_temp")) pin(PinReason::kTemporaryObject);
  }
  // kHasV is not kept for quoted names.
  if (name.size() >= 8 && (token_.kind != TokenKind::kWord || (token_.traits & Token::kHasV)) &&
      takes_advisory_lock(name)) {
    if (starts_folded(name, "pg_"))
      pin(PinReason::kAdvisoryLock);
    else
      maybe_advisory_ = true;
  }
  if (in_opaque_family(name)) pin(PinReason::kOpaque);
  if (options_.hazards && options_.hazards->contains(name)) pin(PinReason::kOpaque);
}

void Classifier::observe_word() {
  switch (word_) {
    case Word::kTemp:
    case Word::kTemporary: {
      // CREATE [OR REPLACE] [LOCAL] TEMP …, SELECT … INTO [LOCAL] TEMP …; but INSERT INTO temp is a table of that name.
      const Word before = before_[0];
      if (before == Word::kCreate || before == Word::kReplace || before == Word::kLocal || before == Word::kGlobal ||
          (before == Word::kInto && before_[1] != Word::kInsert && before_[1] != Word::kMerge))
        pin(PinReason::kTemporaryObject);
      break;
    }
    case Word::kSetConfig:
      search_path_ = true;
      if (!verdict_.pinned_by(PinReason::kSetVariable)) set_config(tokens_);
      break;
    case Word::kUpdate:
      update_ = true;
      break;
    case Word::kPgSettings:
      pg_settings_ = true;
      break;
    case Word::kSearchPath:
    case Word::kSchema:
      search_path_ = true;
      break;
    case Word::kSequenceFunction:
      verdict_.sequence_use = true;
      break;
    case Word::kSetsVariable:
      pin(PinReason::kSetVariable);
      break;
    case Word::kRunsText:
      pin(PinReason::kOpaque);
      break;
    case Word::kReplicationSlot:
      pin(PinReason::kReplicationSlot);
      break;
    default:
      break;
  }
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

void Classifier::statement() {
  update_ = pg_settings_ = maybe_advisory_ = statement_ended_ = false;
  word_ = Word::kOther;
  do next();
  while (token_.is('('));
  if (token_.kind == TokenKind::kEnd) return;
  ++verdict_.statement_count;
  if (word_ == Word::kExplain) explain();
  switch (word_) {
    case Word::kBegin:
      begin(false);
      break;
    case Word::kStart:
      begin(true);
      break;
    case Word::kSet:
      set();
      break;
    case Word::kReset:
      reset();
      break;
    case Word::kListen:
      pin(PinReason::kListen);
      break;
    case Word::kLoad:
      pin(PinReason::kLoad);
      break;
    case Word::kDo:
      pin(PinReason::kOpaque);
      verdict_.may_report_catalog_change = true;
      break;
    case Word::kCall:
      pin(PinReason::kOpaque);
      break;
    case Word::kPrepare:
      prepare();
      break;
    case Word::kDeallocate:
      deallocate();
      break;
    case Word::kExecute:
      execute();
      break;
    case Word::kDiscard:
      next();
      if (word_ == Word::kAll) verdict_.discard_all = true;
      break;
    case Word::kDeclare:
      declare();
      break;
    case Word::kCopy:
      verdict_.copy = true;
      break;
    case Word::kCreate:
      create();
      break;
    case Word::kAlter:
    case Word::kDrop:
      alter_or_drop();
      break;
    case Word::kCreateReplicationSlot:
      pin(PinReason::kReplicationSlot);
      break;
    default:
      break;
  }
  finish();
  if (update_ && pg_settings_) pin(PinReason::kSetVariable);
}

// EXPLAIN [ANALYZE] [VERBOSE] …, EXPLAIN (options) …: leaves the explained statement's first word as the token.
void Classifier::explain() {
  next();
  if (token_.is('(')) {
    for (int depth = 1; depth > 0 && token_.kind != TokenKind::kEnd;) {
      next();
      if (token_.is('(')) ++depth;
      if (token_.is(')')) --depth;
    }
    next();
  }
  while (word_ == Word::kAnalyze || word_ == Word::kAnalyse || word_ == Word::kVerbose || token_.is('(')) next();
}

void Classifier::create() {
  bool first_as = true;
  int depth = 0;
  for (int words = 0; next().kind != TokenKind::kEnd;) {
    if (token_.is('(')) ++depth;
    if (token_.is(')')) --depth;
    if (token_.kind != TokenKind::kWord) continue;
    if (++words <= 6 && (word_ == Word::kCatalogObject || word_ == Word::kSchema))
      verdict_.may_report_catalog_change = true;
    // A table's defaults, checks and generated columns can call any function.
    if (word_ == Word::kDefault || word_ == Word::kGenerated || word_ == Word::kCheck)
      verdict_.may_report_catalog_change = true;
    if (depth == 0 && before_[0] == Word::kAs && first_as) {
      first_as = false;
      if (word_ == Word::kExecute) execute();  // CREATE TABLE … AS EXECUTE
    }
  }
}

void Classifier::alter_or_drop() {
  const bool alter = word_ == Word::kAlter;
  for (int words = 0; words < 6 && next().kind != TokenKind::kEnd; ++words)
    if (word_ == Word::kCatalogObject || (alter && word_ == Word::kTable)) verdict_.may_report_catalog_change = true;
}

void Classifier::declare() {
  while (next().kind != TokenKind::kEnd)
    if (word_ == Word::kHold && before_[0] == Word::kWith) pin(PinReason::kHoldableCursor);
}

// PREPARE name … AS …; PREPARE TRANSACTION 'gid' is two-phase commit, but a statement may be called "transaction".
void Classifier::prepare() {
  next();
  const Token name = token_;
  const bool transaction = word_ == Word::kTransaction;
  next();
  if (transaction && token_.is_string()) return;
  pin(PinReason::kSqlPrepare);
  count_name();
  verdict_.prepared_name = name.text;
}

// DEALLOCATE [PREPARE] name | ALL; a statement may be called "prepare".
void Classifier::deallocate() {
  next();
  Token name = token_;
  Word word = word_;
  if (word == Word::kPrepare && is_name(next())) {
    name = token_;
    word = word_;
  }
  if (word == Word::kAll) {
    verdict_.deallocate_all = true;
    return;
  }
  verdict_.deallocate = true;
  count_name();
  verdict_.prepared_name = name.text;
}

void Classifier::execute() {
  next();
  verdict_.executes_prepared = true;
  count_name();
  verdict_.executed_name = token_.text;
}

void Classifier::count_name() {
  if (names_seen_) verdict_.several_names = true;
  names_seen_ = true;
}

void Classifier::begin(bool start) {
  if (start && (next(), word_ != Word::kTransaction)) return;
  bool plain = verdict_.statement_count == 1;
  while (next().kind != TokenKind::kEnd)
    if ((token_.kind != TokenKind::kWord && !token_.is(',')) || word_ == Word::kAtomic) plain = false;
  verdict_.begin_only = plain;
}

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

Verdict Classifier::run() {
  while (!text_ended_) statement();
  if (verdict_.statement_count != 1) verdict_.begin_only = false;
  // `SET search_path = 'pg_temp'` makes every CREATE TABLE a temporary one.
  if (search_path_ && contains_folded(sql_, "pg_temp")) pin(PinReason::kTemporaryObject);
  return verdict_;
}

}  // namespace

std::string_view to_string(PinReason reason) {
  switch (reason) {
    case PinReason::kSetVariable:
      return "set_variable";
    case PinReason::kSessionAuthorization:
      return "session_authorization";
    case PinReason::kListen:
      return "listen";
    case PinReason::kSqlPrepare:
      return "sql_prepare";
    case PinReason::kTemporaryObject:
      return "temporary_object";
    case PinReason::kAdvisoryLock:
      return "advisory_lock";
    case PinReason::kHoldableCursor:
      return "holdable_cursor";
    case PinReason::kLoad:
      return "load";
    case PinReason::kOpaque:
      return "opaque";
    case PinReason::kReplicationSlot:
      return "replication_slot";
    case PinReason::kStatementTooLarge:
      return "statement_too_large";
    case PinReason::kProtocol:
      return "protocol";
    case PinReason::kSequence:
      return "sequence";
  }
  return "unknown";
}

Verdict classify(std::string_view sql, const ClassifyOptions& options) {
  if (sql.size() > kMaxStatement) {
    Verdict verdict;
    verdict.pins = bit(PinReason::kStatementTooLarge);
    verdict.statement_count = 1;
    return verdict;
  }
  return Classifier(sql, options).run();
}

}  // namespace dbproxy::session::postgres
