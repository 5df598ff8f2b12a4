#include "proxy/session/postgres/transaction_text.hpp"

#include <initializer_list>

#include "proxy/session/postgres/tokenizer.hpp"

namespace dbproxy::session::postgres {
namespace {

// Longer than any text that is known here: what is longer is not looked at.
constexpr std::size_t kLongest = 80;

class Words {
 public:
  explicit Words(std::string_view sql) : rest_(sql) {
    while (!rest_.empty() && is_blank(rest_.back())) rest_.remove_suffix(1);
    if (!rest_.empty() && rest_.back() == ';') rest_.remove_suffix(1);
  }

  bool done() {
    blanks();
    return rest_.empty();
  }
  // Takes these words if they are next; all or none of them.
  bool take(std::initializer_list<std::string_view> words) {
    const auto before = rest_;
    for (const auto word : words) {
      if (next() == word.size() && equals_folded(rest_.substr(0, word.size()), word)) {
        rest_.remove_prefix(word.size());
      } else {
        rest_ = before;
        return false;
      }
    }
    return true;
  }
  bool take_comma() {
    blanks();
    if (rest_.empty() || rest_.front() != ',') return false;
    rest_.remove_prefix(1);
    return true;
  }

 private:
  static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  void blanks() {
    while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
  }
  // The length of the word that is next.
  std::size_t next() {
    blanks();
    std::size_t size = 0;
    while (size < rest_.size() && (rest_[size] | 0x20) >= 'a' && (rest_[size] | 0x20) <= 'z') ++size;
    const bool cut = size < rest_.size() && !is_blank(rest_[size]) && rest_[size] != ',';
    return cut ? 0 : size;
  }

  std::string_view rest_;
};

bool modes(Words& words) {
  for (bool first = true; !words.done(); first = false) {
    if (!first) (void)words.take_comma();
    if (!words.take({"isolation", "level", "read", "committed"}) &&
        !words.take({"isolation", "level", "read", "uncommitted"}) &&
        !words.take({"isolation", "level", "repeatable", "read"}) && !words.take({"read", "only"}))
      return false;
  }
  return true;
}

// Asked for every query: nearly all have other first letters.
bool may_be_one(std::string_view sql) {
  if (sql.size() < 3) return false;
  const char first = static_cast<char>(sql[0] | 0x20);
  const char second = static_cast<char>(sql[1] | 0x20);
  switch (first) {
    case 'd':
      return second == 'i';
    case 'b':
    case 'a':
    case 'e':
    case ' ':
      return true;
    case 's':
      return second == 't';
    case 'c':
    case 'r':
      return second == 'o';
    default:
      return sql[0] < ' ';
  }
}

}  // namespace

TransactionText transaction_text(std::string_view sql) {
  if (sql.size() > kLongest || !may_be_one(sql)) return TransactionText::kOther;
  Words words(sql);
  if (words.take({"start", "transaction"})) return modes(words) ? TransactionText::kStart : TransactionText::kOther;
  const auto noise = [&] { (void)(words.take({"work"}) || words.take({"transaction"})); };
  if (words.take({"begin"})) {
    noise();
    return modes(words) ? TransactionText::kBegin : TransactionText::kOther;
  }
  if (words.take({"commit"}) || words.take({"end"})) {
    noise();
    return words.done() ? TransactionText::kCommit : TransactionText::kOther;
  }
  if (words.take({"discard", "all"})) return words.done() ? TransactionText::kDiscardAll : TransactionText::kOther;
  if (words.take({"rollback"}) || words.take({"abort"})) {
    noise();
    return words.done() ? TransactionText::kRollback : TransactionText::kOther;
  }
  return TransactionText::kOther;
}

bool runs_in_failed_transaction(std::string_view sql) {
  Tokenizer tokens(sql, true);
  auto token = tokens.next();
  while (token.is(';')) token = tokens.next();
  if (token.kind == TokenKind::kEnd) return true;
  if (token.kind != TokenKind::kWord) return false;
  if (equals_folded(token.text, "prepare")) return equals_folded(tokens.next().text, "transaction");
  const bool exits = equals_folded(token.text, "rollback") || equals_folded(token.text, "commit") ||
                     equals_folded(token.text, "abort") || equals_folded(token.text, "end");
  return exits && !equals_folded(tokens.next().text, "prepared");
}

}  // namespace dbproxy::session::postgres
