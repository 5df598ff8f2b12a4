#include <algorithm>
#include <iterator>

#include "proxy/session/postgres/classifier.hpp"
#include "proxy/session/postgres/plain.hpp"

namespace dbproxy::session::postgres {
namespace {

// Session-level advisory locks: everything that is called so, but for what ends with the transaction or only unlocks.
bool takes_advisory_lock(std::string_view name) {
  return !contains_folded(name, "advisory_xact") && !contains_folded(name, "advisory_unlock");
}

}  // namespace

const Token& Classifier::next() {
  if (statement_ended_) return token_;
  history_ = (history_ << 8) | static_cast<std::uint32_t>(word_);
  tokens_.next(token_);
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
      opaque();  // its escapes can spell anything
      break;
    case TokenKind::kString:
      if (token_.traits & Token::kBackslash) verdict_.quoting_matters = true;
      break;
    case TokenKind::kEscapeString:
      if (token_.text.front() == '\'' && (token_.traits & Token::kBackslash)) verdict_.quoting_matters = true;
      if (options_.backslash_in_characters && (token_.traits & Token::kHighBeforeBackslash)) opaque();
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
      contains_folded(name, "advisory")) {
    if (contains_folded(name, "unlock") || contains_folded(name, "try")) verdict_.may_end = true;
    if (takes_advisory_lock(name)) {
      if (starts_folded(name, "pg_"))
        pin(PinReason::kAdvisoryLock);
      else
        maybe_advisory_ = true;
    }
  }
  if (in_opaque_family(name)) opaque();
  hazard(name);
}

void Classifier::hazard(std::uint32_t leaves, std::string_view name) {
  if ((leaves & bit(PinReason::kSetVariable)) && !(leaves & bit(PinReason::kOpaque)))
    for (const auto& setting : options_.hazards->settings(name)) note_hidden_setting(setting);
  opaque(leaves & ~bit(PinReason::kSetVariable));
}

void Classifier::observe_word() {
  switch (word_) {
    case Word::kTemp:
    case Word::kTemporary: {
      // CREATE [OR REPLACE] [LOCAL] TEMP …, SELECT … INTO [LOCAL] TEMP …; but INSERT INTO temp is a table of that name.
      const Word last = before();
      if (last == Word::kCreate || last == Word::kReplace || last == Word::kLocal || last == Word::kGlobal ||
          (last == Word::kInto && before(2) != Word::kInsert && before(2) != Word::kMerge))
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
    case Word::kInto:
      if (before() != Word::kInsert && before() != Word::kMerge) verdict_.changes_schema = true;
      if (maybe_into_ && before() != Word::kInsert && before() != Word::kMerge) opaque();
      break;
    case Word::kPgSettings:
      pg_settings_ = true;
      break;
    case Word::kSearchPath:
      search_path_ = true;
      break;
    case Word::kSchema:
      search_path_ |= set_;  // SET [SESSION | LOCAL] SCHEMA is another name of it
      break;
    case Word::kSequenceFunction:
      verdict_.sequence_use = true;
      break;
    case Word::kPreparedStatements:
      verdict_.lists_names = true;
      break;
    case Word::kListeningChannels:
      verdict_.lists_channels = true;
      break;
    case Word::kSetsVariable:
      pin(PinReason::kSetVariable);
      break;
    case Word::kRunsText:
      opaque();
      break;
    case Word::kReplicationSlot:
      pin(PinReason::kReplicationSlot);
      break;
    default:
      break;
  }
}

void Classifier::statement() {
  set_ = update_ = pg_settings_ = maybe_advisory_ = maybe_into_ = statement_ended_ = false;
  word_ = Word::kOther;
  do next();
  while (token_.is('('));
  if (token_.kind == TokenKind::kEnd) return;
  ++verdict_.statement_count;
  if (options_.everything || (options_.hazards && (options_.hazards->everything() || options_.hazards->ddl())))
    unnamed_hazards();
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
    case Word::kUnlisten:
      verdict_.unlistens = true;
      break;
    case Word::kLoad:
      pin(PinReason::kLoad);
      break;
    case Word::kDo:
      block();
      break;
    case Word::kCall:
      // The procedure's name is looked up as any other is.
      if (!options_.catalog_known) opaque();
      verdict_.runs_block = true;
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
      verdict_.changes_schema = true;
      create();
      break;
    case Word::kAlter:
    case Word::kDrop:
      verdict_.changes_schema = true;
      alter_or_drop();
      break;
    case Word::kCreateReplicationSlot:
      pin(PinReason::kReplicationSlot);
      break;
    default:
      break;
  }
  finish();
  if (update_ && pg_settings_) verdict_.sets_listed = verdict_.sets_path = true;
}

// At a statement's first word, where names do not tell what it may call.
void Classifier::unnamed_hazards() {
  static constexpr std::string_view kComputeNothing[] = {
      "begin", "start", "commit", "end",    "rollback", "abort",    "savepoint", "release",   "show",
      "set",   "reset", "notify", "listen", "lock",     "unlisten", "discard",   "checkpoint"};
  static constexpr std::string_view kChangeNoSchema[] = {"insert", "update",  "delete",     "merge", "values",
                                                         "table",  "execute", "deallocate", "fetch", "move",
                                                         "close",  "copy",    "truncate",   "vacuum"};
  if (token_.kind == TokenKind::kWord) {
    const auto is = [this](std::string_view known) { return equals_folded(token_.text, known); };
    if (std::any_of(std::begin(kComputeNothing), std::end(kComputeNothing), is)) return;
    const bool everything = options_.everything || options_.hazards->everything();
    if (!everything && std::any_of(std::begin(kChangeNoSchema), std::end(kChangeNoSchema), is)) return;
    // SELECT … INTO makes a table, EXPLAIN ANALYZE CREATE TABLE AS, too.
    if (!everything && (is("select") || is("with"))) {
      maybe_into_ = true;
      return;
    }
  }
  opaque();
}

Verdict Classifier::run() {
  while (!text_ended_) statement();
  if (verdict_.statement_count != 1) verdict_.begin_only = false;
  if (verdict_.pinned_by(PinReason::kSetVariable)) verdict_.setting_parameter = 0;
  if (verdict_.setting_parameter != 0) pin(PinReason::kSetVariable);
  // `SET search_path = 'pg_temp'` makes every CREATE TABLE a temporary one.
  // No probe tells what such a path will lead to.
  if (search_path_ && contains_folded(sql_, "pg_temp")) {
    pin(PinReason::kTemporaryObject);
    verdict_.leaves |= bit(PinReason::kOpaque);
  }
  return verdict_;
}

Verdict classify(std::string_view sql, const ClassifyOptions& options) {
  if (sql.size() > kMaxStatement) {
    Verdict verdict;
    verdict.pins = bit(PinReason::kStatementTooLarge);
    verdict.statement_count = 1;
    return verdict;
  }
  if (!options.everything && is_plain(sql, options.hazards)) {
    Verdict verdict;
    verdict.statement_count = 1;
    return verdict;
  }
  return classify_exactly(sql, options);
}

Verdict classify_exactly(std::string_view sql, const ClassifyOptions& options) {
  return Classifier(sql, options).run();
}

}  // namespace dbproxy::session::postgres
