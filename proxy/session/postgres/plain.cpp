#include "proxy/session/postgres/plain.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
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
  // A name that begins here may matter, by its first two bytes, or is a number; of others only a v tells.
  std::uint64_t suspect = ~std::uint64_t{0};
};

// First words behind which only the names in a statement matter.
constexpr std::string_view kPlainStarts[] = {"select",  "insert", "update",   "delete", "with",  "values",
                                             "commit",  "end",    "rollback", "abort",  "show",  "savepoint",
                                             "release", "fetch",  "close",    "move",   "table", "merge"};

// Words of words.hpp that matter wherever they stand. INTO only matters where it is not INSERT's or MERGE's.
constexpr bool matters_anywhere(Word word) {
  return word == Word::kTemp || word == Word::kTemporary || word == Word::kInto || word >= Word::kSetConfig;
}

constexpr std::string_view kTemporarySchemas = "pg_t";  // pg_temp, pg_toast_temp

// Of a word's first letter and its length, at most 31: bit n when the second letter of one that matters, of a family or
// of pg_temp has these lowest five bits, and name() must look. One load tells of nearly every word that it need not.
using ByLetterAndSize = std::array<std::uint32_t, 32 * 32>;
constexpr std::size_t letter_and_size(char letter, std::size_t size) {
  return static_cast<std::size_t>(letter & 31) * 32 + std::min<std::size_t>(size, 31);
}
constexpr std::uint32_t bit_of(char letter) {
  return std::uint32_t{1} << (letter & 31);
}

constexpr ByLetterAndSize kWords = [] {
  ByLetterAndSize seconds{};
  for (const auto& [text, word] : words::kTable) {
    if (matters_anywhere(word)) seconds[letter_and_size(text[0], text.size())] |= bit_of(text[1]);
  }
  return seconds;
}();

// The same of families and of pg_temp, which are known by their beginning.
constexpr ByLetterAndSize kFamilies = [] {
  ByLetterAndSize seconds{};
  const auto add = [&seconds](std::string_view prefix) {
    for (std::size_t size = prefix.size(); size < 32; ++size) {
      seconds[letter_and_size(prefix[0], size)] |= bit_of(prefix[1]);
    }
  };
  for (const std::string_view prefix : words::kPrefixes) add(prefix);
  add(kTemporarySchemas);
  return seconds;
}();

// By the first letter: the third letters of these.
constexpr std::array<std::uint32_t, 32> kFamilyThirds = [] {
  std::array<std::uint32_t, 32> thirds{};
  for (const std::string_view prefix : words::kPrefixes) thirds[prefix[0] & 31] |= bit_of(prefix[2]);
  thirds[kTemporarySchemas[0] & 31] |= bit_of(kTemporarySchemas[2]);
  return thirds;
}();

constexpr ByLetterAndSize kSuspects = [] {
  ByLetterAndSize seconds{};
  for (std::size_t i = 0; i < seconds.size(); ++i) seconds[i] = kWords[i] | kFamilies[i];
  return seconds;
}();

// Each way to look at a block is a type, for Scan. Those for x86 are compiled for their own instruction set, and so is
// all of Scan that comes to lie in them. One byte behind the block may be read, too.
#if defined(__SSE2__)

struct By16 {
  static std::uint64_t bits(__m128i found) {
    return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(found)));
  }
  static __m128i equals(__m128i value, char byte) { return _mm_cmpeq_epi8(value, _mm_set1_epi8(byte)); }
  static __m128i within(__m128i value, char from, char count) {
    const __m128i shifted = _mm_sub_epi8(value, _mm_set1_epi8(from));
    return _mm_cmpeq_epi8(_mm_min_epu8(shifted, _mm_set1_epi8(count)), shifted);
  }
  static Masks look(const char* block) {
    Masks out;
    for (std::size_t at = 0; at < kBlock; at += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + at));
      const __m128i lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
      const __m128i word = _mm_or_si128(_mm_or_si128(within(lower, 'a', 25), within(bytes, '0', 9)),
                                        _mm_or_si128(equals(bytes, '_'), equals(bytes, '$')));
      // The sign bit of `bytes` itself is that of the bytes ≥ 0x80.
      out.name |= bits(_mm_or_si128(word, bytes)) << at;
      out.stop |= bits(_mm_or_si128(equals(bytes, '\\'), equals(bytes, ';'))) << at;
      out.v |= bits(_mm_or_si128(equals(lower, 'v'), equals(bytes, '$'))) << at;
    }
    return out;
  }
};

#define DBPROXY_WIDE __attribute__((target("avx2,bmi")))

// For each letter, or its lowest five bits, a set of groups. A pair of letters is suspect when they share a group.
// First letters with many words have a group of their own.
struct Pairs {
  std::array<std::uint8_t, 32> firsts{}, seconds{};
  constexpr void add(std::string_view text) {
    const std::size_t own = std::string_view("cdnpst").find(text[0]);
    const auto group = static_cast<std::uint8_t>(1u << (own < 6 ? own : 6 + (text[0] & 1u)));
    firsts[text[0] & 31] |= group;
    seconds[text[1] & 31] |= group;
  }
};

constexpr Pairs kPairs = [] {
  Pairs pairs;
  for (const auto& [text, word] : words::kTable) {
    if (matters_anywhere(word)) pairs.add(text);
  }
  for (const std::string_view prefix : words::kPrefixes) pairs.add(prefix);
  pairs.add(kTemporarySchemas);
  pairs.add("u&");
  return pairs;
}();

struct By32 {
  DBPROXY_WIDE static __m256i groups(const std::array<std::uint8_t, 32>& table, __m256i bytes) {
    const __m256i which = _mm256_and_si256(bytes, _mm256_set1_epi8(31));
    const auto half = [&table](std::size_t at) DBPROXY_WIDE {
      return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table.data() + at)));
    };
    return _mm256_blendv_epi8(_mm256_shuffle_epi8(half(0), which), _mm256_shuffle_epi8(half(16), which),
                              _mm256_slli_epi16(which, 3));
  }
  DBPROXY_WIDE static std::uint64_t bits(__m256i found) {
    return static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_epi8(found)));
  }
  DBPROXY_WIDE static __m256i equals(__m256i value, char byte) {
    return _mm256_cmpeq_epi8(value, _mm256_set1_epi8(byte));
  }
  DBPROXY_WIDE static __m256i within(__m256i value, char from, char count) {
    const __m256i shifted = _mm256_sub_epi8(value, _mm256_set1_epi8(from));
    return _mm256_cmpeq_epi8(_mm256_min_epu8(shifted, _mm256_set1_epi8(count)), shifted);
  }
  DBPROXY_WIDE static Masks look(const char* block) {
    Masks out;
    out.suspect = 0;
    for (std::size_t at = 0; at < kBlock; at += 32) {
      const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + at));
      const __m256i lower = _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
      const __m256i next = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + at + 1));
      const __m256i number = _mm256_or_si256(within(bytes, '0', 9), equals(bytes, '$'));
      const __m256i word = _mm256_or_si256(_mm256_or_si256(within(lower, 'a', 25), equals(bytes, '_')), number);
      const __m256i shared = _mm256_and_si256(groups(kPairs.firsts, bytes), groups(kPairs.seconds, next));
      const __m256i alien = _mm256_andnot_si256(number, _mm256_cmpeq_epi8(shared, _mm256_setzero_si256()));
      out.name |= bits(_mm256_or_si256(word, bytes)) << at;
      out.suspect |= (bits(alien) ^ 0xffffffff) << at;
      out.stop |= bits(_mm256_or_si256(equals(bytes, '\\'), equals(bytes, ';'))) << at;
      out.v |= bits(_mm256_or_si256(equals(lower, 'v'), equals(bytes, '$'))) << at;
    }
    return out;
  }
};

#else

struct By1 {
  static Masks look(const char* block) {
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
};

#endif

class Scan {
 public:
  Scan(std::string_view sql, const HazardSet* hazards) : sql_(sql), hazards_(hazards) {}

  template <class Look>
  [[gnu::always_inline]] bool run() {
    const char* const begin = sql_.data();
    char padded[kBlock + 1];
    for (std::size_t at = 0; at < sql_.size(); at += kBlock) {
      const char* block = begin + at;
      if (sql_.size() - at <= kBlock) {
        std::memset(padded, ' ', sizeof padded);
        std::memcpy(padded, block, sql_.size() - at);
        block = padded;
      }
      const Masks masks = Look::look(block);
      if (masks.stop != 0) return false;
      if (!words_of(masks, at)) return false;
    }
    if (open_ && !word(open_at_, sql_.size() - open_at_, true)) return false;
    return seen_first_;
  }

 private:
  // Words that end in this block; one that goes on in the next is left open.
  [[gnu::always_inline]] bool words_of(const Masks& masks, std::size_t at) {
    std::uint64_t names = masks.name;
    if (open_) {
      const int end = std::countr_one(names);
      if (end == 64) return true;
      open_ = false;
      if (!word(open_at_, at + static_cast<std::size_t>(end) - open_at_, true)) return false;
      names &= ~std::uint64_t{0} << end;
    }
    if (const int left = std::countl_one(names); left > 0) {
      open_ = true;
      open_at_ = at + kBlock - static_cast<std::size_t>(left);
      if (left == 64) return true;
      names &= ~std::uint64_t{0} >> left;
    }
    std::uint64_t starts = names & ~(names << 1);
    if (seen_first_ && hazards_ == nullptr) starts &= masks.suspect | starts_of(masks.v & names, starts);
    for (; starts != 0; starts &= starts - 1) {
      const int start = std::countr_zero(starts);
      const int size = std::countr_one(names >> start);
      const auto where = at + static_cast<std::size_t>(start);
      const bool has_v = ((masks.v >> start) & ((std::uint64_t{1} << size) - 1)) != 0;
      if (!has_v && is_harmless(sql_.data() + where, static_cast<std::size_t>(size))) continue;
      if (!word(where, static_cast<std::size_t>(size), has_v)) return false;
    }
    return true;
  }

  // Where the words begin that have one of these bytes.
  [[gnu::always_inline]] static std::uint64_t starts_of(std::uint64_t bytes, std::uint64_t starts) {
    std::uint64_t found = 0;
    for (; bytes != 0; bytes &= bytes - 1) found |= std::bit_floor(starts & (bytes ^ (bytes - 1)));
    return found;
  }

  // A word, without v or dollar, that needs no closer look. It begins with a letter, so it is no number.
  [[gnu::always_inline]] bool is_harmless(const char* text, std::size_t size) const {
    if (!seen_first_ || size < 2 || !(text[0] & 0x40)) return false;
    if (kSuspects[letter_and_size(text[0], size)] & bit_of(text[1])) return false;
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
    const std::size_t which = letter_and_size(text[0], text.size());
    const std::uint32_t second = text.size() < 2 ? 0 : bit_of(text[1]);
    if (kWords[which] & second) {
      const Word word = find_word(text);
      if (matters_anywhere(word) && !(word == Word::kInto && inserts_)) return false;
    }
    if ((kFamilies[which] & second) && (kFamilyThirds[text[0] & 31] & bit_of(text[2])) &&
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

#if defined(__SSE2__)

DBPROXY_WIDE bool scan_wide(Scan scan) {
  return scan.run<By32>();
}

bool run(Scan scan, Width width) {
  static const bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
  return wide && width == Width::kBest ? scan_wide(scan) : scan.run<By16>();
}

#else

bool run(Scan scan, Width) {
  return scan.run<By1>();
}

#endif

}  // namespace

bool is_plain(std::string_view sql, const HazardSet* hazards, Width width) {
  while (!sql.empty() && (sql.back() == ' ' || sql.back() == '\n' || sql.back() == '\r' || sql.back() == '\t')) {
    sql.remove_suffix(1);
  }
  if (!sql.empty() && sql.back() == ';') sql.remove_suffix(1);
  if (hazards != nullptr && hazards->empty()) hazards = nullptr;
  if (hazards != nullptr) {
    if (hazards->everything() || hazards->ddl()) return false;
    // A name that is no single word can only stand in quotes.
    if (hazards->has_odd_names() && sql.find('"') != std::string_view::npos) return false;
  }
  return run(Scan(sql, hazards), width);
}

}  // namespace dbproxy::session::postgres
