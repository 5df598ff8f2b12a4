#include "proxy/session/postgres/plain.hpp"

#include <cctype>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "proxy/session/postgres/classify.hpp"
#include "proxy/session/postgres/words.hpp"

namespace dbproxy::session::postgres {
namespace {

constexpr const char* kPlain[] = {
    "SELECT 1",
    "select a, \"b\" from \"Orders\" where c = $1 and d = 1e5 and e = '550e8400-e29b-41d4-a716-446655440000';",
    "(SELECT 1) UNION (SELECT 2)",
    "  INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING a ;\n",
    "UPDATE t SET a = a + 1",
    "COMMIT",
    "ROLLBACK TO s",
    "SHOW work_mem",
    "SELECT schema, 'xpg_temp' FROM t",
    "SELECT \"set\177config\"",
};

constexpr const char* kNotPlain[] = {
    "",
    ";",
    "SET a = 1",
    "BEGIN",
    "SELECT 1; SELECT 2",
    "/* a */ SELECT 1",
    "SELECT E'a\\b'",
    "SELECT set_config('a', 'b', false)",
    "SELECT SET_CONFIG('a', 'b', false)",
    "SELECT 1set_config('a', 'b', false)",
    "SELECT 1.e5set_config('a', 'b', false)",
    "SELECT $$a$$set_config('a', 'b', false)",
    "SELECT pg_advisory_lock(1)",
    "SELECT my_Advisory_locks(1)",
    "SELECT a INTO b FROM c",
    "SELECT nextval('s')",
    "SELECT * FROM pg_temp.t",
    "SELECT dblink_exec('x')",
    "SELECT U&\"\\0061\"()",
    "UPDATE pg_settings SET setting = 1",
};

TEST(Plain, TellsWhatHasNothingToSee) {
  for (auto text : kPlain) {
    EXPECT_TRUE(is_plain(text, nullptr)) << text;
    EXPECT_TRUE(is_plain(text, nullptr, Width::kNarrow)) << text;
    const Verdict verdict = classify_exactly(text, {});
    EXPECT_EQ(verdict.pins, 0U) << text;
    EXPECT_EQ(verdict.statement_count, 1U) << text;
  }
  for (auto text : kNotPlain) EXPECT_FALSE(is_plain(text, nullptr)) << text;
}

// Words begin, end and are cut wherever the blocks are.
TEST(Plain, SeesWordsAtEveryOffset) {
  HazardSet hazards;
  hazards.insert("audit");
  for (std::size_t before = 0; before < 200; ++before) {
    for (const std::size_t after : {std::size_t{0}, std::size_t{1}, std::size_t{70}}) {
      const auto text = [&](std::string_view word) {
        return "SELECT " + std::string(before, ' ') + std::string(word) + "(1)" + std::string(after, ' ') + "+ 1";
      };
      ASSERT_TRUE(is_plain(text("harmless"), &hazards)) << before;
      ASSERT_TRUE(is_plain(text("audits"), &hazards)) << before;
      ASSERT_FALSE(is_plain(text("AUDIT"), &hazards)) << before;
      ASSERT_FALSE(is_plain(text("set_config"), &hazards)) << before;
      ASSERT_FALSE(is_plain(text("x_pg_advisory_lock"), &hazards)) << before;
      ASSERT_FALSE(is_plain(text("a\\b"), &hazards)) << before;
    }
  }
}

// Without hazards most words are passed over by their first two letters. Each one that matters alone is seen.
TEST(Plain, SeesEachWordThatMatters) {
  std::vector<std::string> words{"pg_temp_1", "pg_toast_temp_1", "x_advisory_lock", "$$", "1set_config", "u&\"a\""};
  for (const auto& [text, word] : words::kTable) {
    if (word == Word::kTemp || word == Word::kTemporary || word >= Word::kSetConfig) words.emplace_back(text);
  }
  for (const std::string_view prefix : words::kPrefixes) words.push_back(std::string(prefix) + "_x");
  ASSERT_GT(words.size(), 30U);
  const auto upper = [](std::string word) {
    for (char& c : word) c = static_cast<char>(std::toupper(c));
    return word;
  };
  for (std::size_t before = 0; before < 130; ++before) {
    for (const std::string& word : words) {
      for (const std::string& text : {word, upper(word)}) {
        const std::string sql = "SELECT vast" + std::string(before, ' ') + ' ' + text;
        for (const std::string& whole : {sql, sql + " v", sql + "(v)" + std::string(64, ' ') + '1'}) {
          ASSERT_FALSE(is_plain(whole, nullptr)) << whole;
          ASSERT_FALSE(is_plain(whole, nullptr, Width::kNarrow)) << whole;
        }
      }
    }
  }
}

TEST(Plain, TakesNoByteForAnUnderscore) {
  HazardSet hazards;
  hazards.insert("my_audit");
  EXPECT_TRUE(is_plain("SELECT \"my\177audit\"", &hazards));
  ClassifyOptions options;
  options.hazards = &hazards;
  EXPECT_EQ(classify_exactly("SELECT \"my\177audit\"", options).leaves, 0U);
  EXPECT_NE(classify_exactly("SELECT \"MY_audit\"", options).leaves, 0U);
}

TEST(Plain, LeavesOddNamesToTheExactWay) {
  HazardSet hazards;
  hazards.insert("two words");
  EXPECT_TRUE(is_plain("SELECT two", &hazards));
  EXPECT_FALSE(is_plain("SELECT \"two words\"()", &hazards));
  HazardSet everything;
  everything.set_everything();
  EXPECT_FALSE(is_plain("SELECT 1", &everything));
}

}  // namespace
}  // namespace dbproxy::session::postgres
