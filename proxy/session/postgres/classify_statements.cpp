#include "proxy/session/postgres/classifier.hpp"

namespace dbproxy::session::postgres {
namespace {

// Where a setting stands in a block's body, so that its name lives as long as the text does. Empty: nowhere.
std::string_view place_of(std::string_view setting, std::string_view body) {
  if (setting == "timezone") return "timezone";
  for (std::size_t at = 0; at + setting.size() <= body.size(); ++at)
    if (equals_folded(body.substr(at, setting.size()), setting)) return body.substr(at, setting.size());
  return {};
}

}  // namespace

// DO [LANGUAGE name] '…' [LANGUAGE name]: its body stands in the text and is read as a function's is.
void Classifier::block() {
  verdict_.runs_block = true;
  Token body;
  int bodies = 0;
  bool plpgsql = true, language = false;
  while (next().kind != TokenKind::kEnd) {
    if (token_.is_literal()) {
      body = token_;
      ++bodies;
    } else if (language) {
      plpgsql = plpgsql && equals_folded(without_quotes(token_), "plpgsql");
      language = false;
    } else {
      language = token_.kind == TokenKind::kWord && equals_folded(token_.text, "language");
    }
  }
  const bool readable = bodies == 1 && plpgsql && !(body.traits & (Token::kUnterminated | Token::kBackslash)) &&
                        (body.kind == TokenKind::kDollarString || body.kind == TokenKind::kString);
  const auto leaves = readable && options_.catalog_known ? block_hazards(body.text) : bit(PinReason::kOpaque);
  opaque(leaves);
  if ((leaves & bit(PinReason::kOpaque)) || contains_folded(body.text, "create") ||
      contains_folded(body.text, "alter") || contains_folded(body.text, "drop"))
    verdict_.may_report_catalog_change = true;
}

// `body` with its quotes. Names inside of its strings are run by EXECUTE only, and that is a hazard by itself; so what
// is a string must be beyond doubt.
std::uint32_t Classifier::block_hazards(std::string_view body) {
  std::vector<std::string> settings;
  std::uint32_t leaves = body_hazards(body, settings);
  if (leaves & bit(PinReason::kOpaque)) return leaves;
  const bool dollar = body.front() == '$';
  const std::size_t quotes = dollar ? body.find('$', 1) + 1 : 1;
  body = body.substr(quotes, body.size() - 2 * quotes);
  if (body.find(dollar ? '\\' : '\'') != std::string_view::npos) return bit(PinReason::kOpaque);
  for (const auto& setting : settings) {
    const auto at = place_of(setting, body);
    if (at.empty()) return bit(PinReason::kOpaque);
    note_hidden_setting(at);
  }
  leaves &= ~bit(PinReason::kSetVariable);
  Tokenizer tokens(body, true);
  for (Token token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next())
    if (is_name(token)) hazard(without_quotes(token));
  return leaves;
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
    if (depth == 0 && before() == Word::kAs && first_as) {
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
    if (word_ == Word::kHold && before() == Word::kWith) pin(PinReason::kHoldableCursor);
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

}  // namespace dbproxy::session::postgres
