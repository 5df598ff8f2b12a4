#include "proxy/session/postgres/plain.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "proxy/session/postgres/words.hpp"

namespace dbproxy::session::postgres {
namespace {

constexpr std::size_t kBlock = 64;

// One bit for each byte of a block.
struct Masks {
  std::uint64_t name = 0;  // may stand in an identifier: letters, digits, _, $, bytes ≥ 0x80
  std::uint64_t stop = 0;  // backslashes and semicolons: classify() has to see them
  std::uint64_t v = 0;     // the letter v, as in "advisory", and $
};

#if defined(__SSE2__)

std::uint64_t bits(__m128i found) {
  return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(found)));
}

Masks look(const char* block) {
  Masks out;
  const __m128i blank = _mm_set1_epi8(0x20);
  for (int part = 0; part < 4; ++part) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * part));
    const __m128i lower = _mm_or_si128(bytes, blank);
    const auto within = [](__m128i value, char from, char count) {
      const __m128i shifted = _mm_sub_epi8(value, _mm_set1_epi8(from));
      return _mm_cmpeq_epi8(_mm_min_epu8(shifted, _mm_set1_epi8(count)), shifted);
    };
    const auto equals = [](__m128i value, char byte) { return _mm_cmpeq_epi8(value, _mm_set1_epi8(byte)); };
    const __m128i word = _mm_or_si128(_mm_or_si128(within(lower, 'a', 25), within(bytes, '0', 9)),
                                      _mm_or_si128(equals(bytes, '_'), equals(bytes, '$')));
    // The sign bit of `bytes` itself is that of the bytes ≥ 0x80.
    out.name |= bits(_mm_or_si128(word, bytes)) << (16 * part);
    out.stop |= bits(_mm_or_si128(equals(bytes, '\\'), equals(bytes, ';'))) << (16 * part);
    out.v |= bits(_mm_or_si128(equals(lower, 'v'), equals(bytes, '$'))) << (16 * part);
  }
  return out;
}

#else

Masks look(const char* block) {
  Masks out;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const char c = block[i];
    const char lower = static_cast<char>(c | 0x20);
    const bool name = (c & 0x80) || (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
    out.name |= std::uint64_t{name} << i;
    out.stop |= std::uint64_t{c == '\\' || c == ';'} << i;
    out.v |= std::uint64_t{lower == 'v' || c == '$'} << i;
  }
  return out;
}

#endif

// First words behind which only the names in a statement matter.
constexpr std::string_view kPlainStarts[] = {"select",  "insert", "update",   "delete", "with",  "values",
                                             "commit",  "end",    "rollback", "abort",  "show",  "savepoint",
                                             "release", "fetch",  "close",    "move",   "table", "merge"};

// Words of words.hpp that matter wherever they stand. INTO only matters where it is not INSERT's or MERGE's.
constexpr bool matters_anywhere(Word word) {
  return word == Word::kTemp || word == Word::kTemporary || word == Word::kInto || word >= Word::kSetConfig;
}

constexpr std::string_view kTemporarySchemas = "pg_t";  // pg_temp, pg_toast_temp

struct Letter {
  std::uint64_t lengths = 0;  // bit n: a word of n letters that matters begins with this letter
  std::uint32_t seconds = 0;  // bit n: the second letter of one has these lowest five bits
  std::uint32_t family_seconds = 0, family_thirds = 0;  // the same of families, and of pg_temp
};

constexpr std::array<Letter, 32> kLetters = [] {
  std::array<Letter, 32> letters{};
  for (const auto& entry : words::kTable) {
    if (!matters_anywhere(entry.word)) continue;
    Letter& letter = letters[entry.text[0] & 31];
    letter.lengths |= std::uint64_t{1} << entry.text.size();
    letter.seconds |= std::uint32_t{1} << (entry.text[1] & 31);
  }
  const auto add = [&letters](std::string_view prefix) {
    letters[prefix[0] & 31].family_seconds |= std::uint32_t{1} << (prefix[1] & 31);
    letters[prefix[0] & 31].family_thirds |= std::uint32_t{1} << (prefix[2] & 31);
  };
  for (const std::string_view prefix : words::kPrefixes) add(prefix);
  add(kTemporarySchemas);
  return letters;
}();

// Of a word's first letter and its length, at most 31: bit n when its second letter may have these lowest five bits and
// name() must look. One load tells of nearly every word that it need not.
constexpr std::array<std::uint32_t, 32 * 32> kSuspects = [] {
  std::array<std::uint32_t, 32 * 32> suspects{};
  for (std::size_t first = 0; first < 32; ++first) {
    for (std::size_t size = 2; size < 32; ++size) {
      auto& seconds = suspects[first * 32 + size];
      const std::uint64_t sizes = size < 31 ? std::uint64_t{1} << size : ~std::uint64_t{0} << 31;
      if (kLetters[first].lengths & sizes) seconds |= kLetters[first].seconds;
      if (size > 3) seconds |= kLetters[first].family_seconds;
    }
  }
  return suspects;
}();

class Scan {
 public:
  Scan(std::string_view sql, const HazardSet* hazards) : sql_(sql), hazards_(hazards) {}

  bool run() {
    const char* const begin = sql_.data();
    char padded[kBlock];
    for (std::size_t at = 0; at < sql_.size(); at += kBlock) {
      const char* block = begin + at;
      if (sql_.size() - at < kBlock) {
        std::memset(padded, ' ', kBlock);
        std::memcpy(padded, block, sql_.size() - at);
        block = padded;
      }
      const Masks masks = look(block);
      if (masks.stop != 0) return false;
      if (!words_of(masks, at)) return false;
    }
    if (open_ && !word(open_at_, sql_.size() - open_at_, true)) return false;
    return seen_first_;
  }

 private:
  // Words that end in this block; one that goes on in the next is left open.
  bool words_of(const Masks& masks, std::size_t at) {
    std::uint64_t names = masks.name;
    if (open_) {
      const int end = std::countr_one(names);
      if (end == 64) return true;
      open_ = false;
      if (!word(open_at_, at + static_cast<std::size_t>(end) - open_at_, true)) return false;
      names &= ~std::uint64_t{0} << end;
    }
    while (names != 0) {
      const int start = std::countr_zero(names);
      const int size = std::countr_one(names >> start);
      const auto where = at + static_cast<std::size_t>(start);
      if (start + size >= 64) {
        open_ = true;
        open_at_ = where;
        return true;
      }
      const std::uint64_t its = ((std::uint64_t{1} << size) - 1) << start;
      names &= ~its;
      const bool has_v = (masks.v & its) != 0;
      if (!has_v && is_harmless(sql_.data() + where, static_cast<std::size_t>(size))) continue;
      if (!word(where, static_cast<std::size_t>(size), has_v)) return false;
    }
    return true;
  }

  // A word, without v or dollar, that needs no closer look. It begins with a letter, so it is no number.
  bool is_harmless(const char* text, std::size_t size) const {
    if (!seen_first_ || size < 2 || !(text[0] & 0x40)) return false;
    const auto suspects = kSuspects[static_cast<std::size_t>(text[0] & 31) * 32 + std::min<std::size_t>(size, 31)];
    if ((suspects >> (text[1] & 31)) & 1) return false;
    return hazards_ == nullptr || !hazards_->contains({text, size});
  }

  // False: not plain. `has_v`, a v or a dollar in it, may say yes too often.
  bool word(std::size_t at, std::size_t size, bool has_v) {
    const std::string_view text = sql_.substr(at, size);
    if (!seen_first_) return first(text, at);
    const char c = text.front();
    // A dollar inside of a word may be the end of a string.
    if (has_v && text.find('$', 1) != std::string_view::npos) return false;
    if ((c >= '0' && c <= '9') || c == '$') return number(text, at);
    return name(text, at, has_v);
  }

  // A parameter, or a number, behind which a word may begin without a blank.
  bool number(std::string_view text, std::size_t at) {
    if (text.size() > 24) return false;
    for (std::size_t i = 1; i < text.size(); ++i) {
      const char c = text[i];
      if (c >= '0' && c <= '9') continue;
      if (text[0] == '$' || !name(text.substr(i), at + i, true)) return false;
    }
    // 1.e5set_config, 1._5set_config: the number ends inside of the word behind its point.
    const std::string_view rest = sql_.substr(at + text.size());
    return rest.size() < 3 || rest[0] != '.' || ((rest[1] | 0x20) != 'e' && rest[1] != '_') || rest[2] < '0' ||
           rest[2] > '9';
  }

  bool name(std::string_view text, std::size_t at, bool has_v) {
    const Letter& letter = kLetters[text[0] & 31];
    if (text.size() < 64 && ((letter.lengths >> text.size()) & 1) && ((letter.seconds >> (text[1] & 31)) & 1)) {
      const Word word = find_word(text);
      if (matters_anywhere(word) && !(word == Word::kInto && inserts_)) return false;
    }
    if (text.size() > 3 && ((letter.family_seconds >> (text[1] & 31)) & (letter.family_thirds >> (text[2] & 31)) & 1) &&
        (in_opaque_family(text) || starts_folded(text, kTemporarySchemas)))
      return false;
    if (has_v && text.size() >= 8 && contains_folded(text, "advisory")) return false;
    // U&"…": its escapes can spell anything.
    if (text.size() == 1 && (text[0] | 0x20) == 'u' && at + 1 < sql_.size() && sql_[at + 1] == '&') return false;
    return hazards_ == nullptr || !hazards_->contains(text);
  }

  bool first(std::string_view text, std::size_t at) {
    // What stands before it may only be white space and parentheses.
    if (sql_.substr(0, at).find_first_not_of(" \t\r\n\f\v(") != std::string_view::npos) return false;
    for (const std::string_view start : kPlainStarts) {
      if (text.size() != start.size() || !equals_folded(text, start)) continue;
      seen_first_ = true;
      inserts_ = start == "insert";
      return hazards_ == nullptr || !hazards_->contains(text);
    }
    return false;
  }

  std::string_view sql_;
  const HazardSet* hazards_;
  bool seen_first_ = false;
  bool inserts_ = false;
  bool open_ = false;
  std::size_t open_at_ = 0;
};

}  // namespace

bool is_plain(std::string_view sql, const HazardSet* hazards) {
  while (!sql.empty() && (sql.back() == ' ' || sql.back() == '\n' || sql.back() == '\r' || sql.back() == '\t')) {
    sql.remove_suffix(1);
  }
  if (!sql.empty() && sql.back() == ';') sql.remove_suffix(1);
  if (hazards != nullptr) {
    if (hazards->everything() || hazards->ddl()) return false;
    // A name that is no single word can only stand in quotes.
    if (hazards->has_odd_names() && sql.find('"') != std::string_view::npos) return false;
  }
  return Scan(sql, hazards).run();
}

}  // namespace dbproxy::session::postgres
