// Diagnostic: one thing that is wrong with a manifest, in a form that a person can act on.
//
// Plain data. Never holds the value of a secret: whoever makes one passes kHidden instead.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dbproxy::manifest {

enum class Severity { kError, kWarning };

inline constexpr std::string_view kHidden = "(hidden)";

struct Diagnostic {
  std::string file;
  int line = 0;        // from 1; 0 where the file as a whole is meant
  int column = 0;      // from 1; 0 where it would say nothing (all but syntax errors)
  std::string object;  // "DBProxy shop/orders"; empty where no object is known
  std::string field;   // "spec.targetGroups[0].connectionPool.maxConnectionsPercent"
  std::string value;   // as it is shown: a number bare, a string in quotes; empty where there is none
  std::string rule;    // continues the value: "is not between 1 and 100"
  std::string remedy;  // what to do; may be empty
  Severity severity = Severity::kError;
  bool operator==(const Diagnostic&) const = default;
};

// `file:line[:column]: [warning: ]object: field: value rule; remedy`, without the parts that are empty.
std::string to_text(const Diagnostic& diagnostic);

bool has_errors(const std::vector<Diagnostic>& diagnostics);

// The candidate that was probably meant: equal but for case and separators, or a few edits away; "" if none is near.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

// A string for a diagnostic: in quotes, control characters escaped, at most 64 bytes.
std::string in_quotes(std::string_view text);

}  // namespace dbproxy::manifest
