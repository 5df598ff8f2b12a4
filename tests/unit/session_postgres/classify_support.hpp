// Verdicts as words, so that tests are tables that can be read.
#pragma once

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "proxy/session/postgres/classify.hpp"
#include "proxy/session/postgres/settings.hpp"

namespace dbproxy::session::postgres {

inline std::string pins_of(const Verdict& verdict) {
  std::string out;
  for (int i = 0; i < kPinReasonCount; ++i) {
    if (!verdict.pinned_by(pin_reason(i))) continue;
    if (!out.empty()) out += ' ';
    out += to_string(pin_reason(i));
  }
  // What is read back: "=work_mem".
  const auto add = [&](const std::string& name) { out += (out.empty() ? "=" : " =") + name; };
  for (std::size_t i = 0; i < verdict.settings.size(); ++i) add(tracked_name(verdict.settings[i]));
  if (verdict.role_too) add("role");
  if (verdict.characteristics) add("characteristics");
  if (verdict.sets_listed) add("listed");
  return out;
}

inline std::string flags_of(const Verdict& v) {
  std::string out;
  const auto add = [&](bool set, const char* name) {
    if (set) out += (out.empty() ? "" : " ") + std::string(name);
  };
  add(v.reported_setting, "reported");
  add(v.reset_all, "reset_all");
  add(v.reset_other, "reset_other");
  add(v.begin_only, "begin_only");
  add(v.discard_all, "discard_all");
  add(v.deallocate, "deallocate");
  add(v.deallocate_all, "deallocate_all");
  add(v.executes_prepared, "executes");
  add(v.several_names, "several_names");
  add(v.may_report_catalog_change, "catalog");
  add(v.sequence_use, "sequence");
  add(v.copy, "copy");
  add(v.quoting_matters, "quoting");
  return out;
}

struct Case {
  std::string sql, pins;
};

inline void check(const std::vector<Case>& cases, const ClassifyOptions& options = {}) {
  for (const Case& c : cases) {
    EXPECT_EQ(pins_of(classify(c.sql, options)), c.pins) << c.sql;
    // The same behind and before other statements, comments, in capitals, and below parentheses.
    EXPECT_EQ(pins_of(classify("SELECT 1; " + c.sql, options)), c.pins) << c.sql;
    EXPECT_EQ(pins_of(classify(";;/* x /* y */ */ " + c.sql + "; SELECT 1", options)), c.pins) << c.sql;
    EXPECT_EQ(pins_of(classify("-- x\n" + c.sql, options)), c.pins) << c.sql;
    if (c.sql.find_first_of("$\\") != std::string::npos) continue;
    std::string upper = c.sql;
    for (char& ch : upper) ch = ch >= 'a' && ch <= 'z' ? static_cast<char>(ch - 32) : ch;
    EXPECT_EQ(pins_of(classify(upper, options)), c.pins) << upper;
  }
}

}  // namespace dbproxy::session::postgres
