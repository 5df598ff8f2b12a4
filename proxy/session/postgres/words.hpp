// The words that classify cares about, and the test that nearly every other word fails at once.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "proxy/session/postgres/tokenizer.hpp"

namespace dbproxy::session::postgres {

// clang-format off
enum class Word : std::uint8_t {
  kOther = 0,
  // Key words.
  kAbort,
  kAll,
  kAlter,
  kAnalyse,
  kAnalyze,
  kAs,
  kAtomic,
  kAuthorization,
  kBegin,
  kCall,
  kCharacteristics,
  kCheck,
  kConstraints,
  kCopy,
  kCreate,
  kDeallocate,
  kDeclare,
  kDefault,
  kDiscard,
  kDo,
  kDrop,
  kExecute,
  kExplain,
  kFrom,
  kGenerated,
  kGlobal,
  kHold,
  kInsert,
  kInto,
  kListen,
  kLoad,
  kLocal,
  kMerge,
  kNames,
  kPrepare,
  kReplace,
  kReset,
  kRole,
  kSchema,
  kSession,
  kSet,
  kStart,
  kTable,
  kTemp,
  kTemporary,
  kTime,
  kTo,
  kTransaction,
  kTrue,
  kUnlisten,
  kUpdate,
  kVerbose,
  kWith,
  kZone,
  kCreateReplicationSlot,
  // What follows CREATE, ALTER, DROP and can change what a statement reaches.
  kCatalogObject,
  // Functions and relations.
  kSetConfig,
  kPgSettings,
  kListeningChannels,
  kPreparedStatements,
  kSearchPath,
  kSequenceFunction,
  kSetsVariable,
  kRunsText,
  kReplicationSlot,
};
// clang-format on

namespace words {

struct Entry {
  std::string_view text;
  Word word;
};

// Sorted by first letter; the order within a letter does not matter.
// clang-format off
inline constexpr Entry kTable[] = {
    {"abort", Word::kAbort},
    {"all", Word::kAll},
    {"alter", Word::kAlter},
    {"analyse", Word::kAnalyse},
    {"analyze", Word::kAnalyze},
    {"as", Word::kAs},
    {"atomic", Word::kAtomic},
    {"authorization", Word::kAuthorization},
    {"aggregate", Word::kCatalogObject},
    {"begin", Word::kBegin},
    {"call", Word::kCall},
    {"characteristics", Word::kCharacteristics},
    {"check", Word::kCheck},
    {"constraints", Word::kConstraints},
    {"copy", Word::kCopy},
    {"create", Word::kCreate},
    {"currval", Word::kSequenceFunction},
    {"cast", Word::kCatalogObject},
    {"conversion", Word::kCatalogObject},
    {"connectby", Word::kRunsText},
    {"create_replication_slot", Word::kCreateReplicationSlot},
    {"cursor_to_xml", Word::kRunsText},
    {"cursor_to_xmlschema", Word::kRunsText},
    {"deallocate", Word::kDeallocate},
    {"declare", Word::kDeclare},
    {"default", Word::kDefault},
    {"discard", Word::kDiscard},
    {"do", Word::kDo},
    {"drop", Word::kDrop},
    {"domain", Word::kCatalogObject},
    {"database_to_xml", Word::kRunsText},
    {"database_to_xml_and_xmlschema", Word::kRunsText},
    {"database_to_xmlschema", Word::kRunsText},
    {"execute", Word::kExecute},
    {"explain", Word::kExplain},
    {"extension", Word::kCatalogObject},
    {"from", Word::kFrom},
    {"function", Word::kCatalogObject},
    {"generated", Word::kGenerated},
    {"global", Word::kGlobal},
    {"hold", Word::kHold},
    {"insert", Word::kInsert},
    {"into", Word::kInto},
    {"listen", Word::kListen},
    {"load", Word::kLoad},
    {"local", Word::kLocal},
    {"lastval", Word::kSequenceFunction},
    {"language", Word::kCatalogObject},
    {"merge", Word::kMerge},
    {"names", Word::kNames},
    {"nextval", Word::kSequenceFunction},
    {"operator", Word::kCatalogObject},
    {"prepare", Word::kPrepare},
    {"pg_settings", Word::kPgSettings},
    {"pg_listening_channels", Word::kListeningChannels},
    {"pg_prepared_statement", Word::kPreparedStatements},
    {"pg_prepared_statements", Word::kPreparedStatements},
    {"policy", Word::kCatalogObject},
    {"procedure", Word::kCatalogObject},
    {"pg_create_logical_replication_slot", Word::kReplicationSlot},
    {"pg_create_physical_replication_slot", Word::kReplicationSlot},
    {"pg_copy_logical_replication_slot", Word::kReplicationSlot},
    {"pg_copy_physical_replication_slot", Word::kReplicationSlot},
    {"pg_replication_origin_session_setup", Word::kRunsText},
    {"pg_start_backup", Word::kRunsText},
    {"pg_backup_start", Word::kRunsText},
    {"query_to_xml", Word::kRunsText},
    {"query_to_xml_and_xmlschema", Word::kRunsText},
    {"query_to_xmlschema", Word::kRunsText},
    {"replace", Word::kReplace},
    {"reset", Word::kReset},
    {"role", Word::kRole},
    {"routine", Word::kCatalogObject},
    {"rule", Word::kCatalogObject},
    {"schema", Word::kSchema},
    {"session", Word::kSession},
    {"set", Word::kSet},
    {"start", Word::kStart},
    {"set_config", Word::kSetConfig},
    {"setval", Word::kSequenceFunction},
    {"search_path", Word::kSearchPath},
    {"setseed", Word::kRunsText},
    {"set_limit", Word::kSetsVariable},
    {"schema_to_xml", Word::kRunsText},
    {"schema_to_xml_and_xmlschema", Word::kRunsText},
    {"schema_to_xmlschema", Word::kRunsText},
    {"table", Word::kTable},
    {"temp", Word::kTemp},
    {"temporary", Word::kTemporary},
    {"time", Word::kTime},
    {"to", Word::kTo},
    {"transaction", Word::kTransaction},
    {"true", Word::kTrue},
    {"trigger", Word::kCatalogObject},
    {"type", Word::kCatalogObject},
    {"ts_stat", Word::kRunsText},
    {"ts_rewrite", Word::kRunsText},
    {"table_to_xml", Word::kRunsText},
    {"table_to_xml_and_xmlschema", Word::kRunsText},
    {"table_to_xmlschema", Word::kRunsText},
    {"transform", Word::kCatalogObject},
    {"unlisten", Word::kUnlisten},
    {"update", Word::kUpdate},
    {"verbose", Word::kVerbose},
    {"view", Word::kCatalogObject},
    {"with", Word::kWith},
    {"xpath_table", Word::kRunsText},
    {"zone", Word::kZone},
};
// clang-format on

// Families that are known by their beginning: remote sessions, tablefunc's text-running functions, packages that keep
// variables in the session.
inline constexpr std::string_view kPrefixes[] = {"crosstab", "dblink", "dbms_", "pgv_", "plv8_", "plvsubst"};

struct Letter {
  std::uint8_t begin = 0, end = 0;
  std::uint64_t lengths = 0;  // bit n: a word of n letters starts with this letter
  std::uint32_t seconds = 0;  // bit n: a word's second letter has these lowest five bits
  bool prefix = false;        // a family does
};

inline constexpr std::array<Letter, 32> kLetters = [] {
  std::array<Letter, 32> letters{};
  for (std::size_t i = 0; i < std::size(kTable); ++i) {
    Letter& letter = letters[kTable[i].text[0] & 31];
    if (letter.end == 0) letter.begin = static_cast<std::uint8_t>(i);
    letter.end = static_cast<std::uint8_t>(i + 1);
    letter.lengths |= std::uint64_t{1} << kTable[i].text.size();
    letter.seconds |= std::uint32_t{1} << (kTable[i].text[1] & 31);
  }
  for (const std::string_view prefix : kPrefixes) letters[prefix[0] & 31].prefix = true;
  return letters;
}();

static_assert(std::is_sorted(std::begin(kTable), std::end(kTable),
                             [](const Entry& a, const Entry& b) { return a.text[0] < b.text[0]; }));

}  // namespace words

// `text` is an identifier without its quotes, of at least one byte. Bytes that are no letters find nothing: every
// entry is compared in full.
inline Word find_word(std::string_view text) {
  const words::Letter& letter = words::kLetters[text[0] & 31];
  if (text.size() >= 64 || !((letter.lengths >> text.size()) & 1) || !((letter.seconds >> (text[1] & 31)) & 1))
    return Word::kOther;
  for (std::size_t i = letter.begin; i < letter.end; ++i)
    if (words::kTable[i].text.size() == text.size() && (text[1] | 0x20) == (words::kTable[i].text[1] | 0x20) &&
        equals_folded(text, words::kTable[i].text))
      return words::kTable[i].word;
  return Word::kOther;
}

inline bool in_opaque_family(std::string_view text) {
  if (!words::kLetters[text[0] & 31].prefix) return false;
  return std::any_of(std::begin(words::kPrefixes), std::end(words::kPrefixes),
                     [&](std::string_view prefix) { return starts_folded(text, prefix); });
}

}  // namespace dbproxy::session::postgres
