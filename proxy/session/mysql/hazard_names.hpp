// HazardNames: functions, tables with triggers, and views whose use may leave in a session what neither the server's
// trackers nor the statement's text show. (Seen on MySQL 8.0 and MariaDB 10.11: a user variable that a function or a
// trigger sets is not reported, nor is GET_LOCK ever.)
//
// Filled from information_schema with the rows of kHazardSources, then settled: what uses a hazard is one. Names
// without their schema, for a text need not say it. Immutable and thread-safe once settled.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace dbproxy::session::mysql {

// Rows of a name and a source; NULL where this user may not read it, which is taken for a hazard.
inline constexpr std::string_view kHazardSources =
    "SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_type = 'FUNCTION' "
    "UNION ALL SELECT event_object_table, action_statement FROM information_schema.triggers "
    "UNION ALL SELECT table_name, view_definition FROM information_schema.views "
    "WHERE table_schema NOT IN ('sys', 'information_schema', 'performance_schema')";

class HazardNames {
 public:
  // `source` empty: not known.
  void add(std::string_view name, std::string_view source);
  // Follows who uses whom. Sources are forgotten.
  void settle();
  // `name`: a word or a quoted identifier without its quotes.
  bool contains(std::string_view name) const;
  bool empty() const { return names_.empty(); }
  bool same_as(const HazardNames& other) const { return names_ == other.names_; }
  // What a prepared statement was judged by: differs where the names do.
  std::uint64_t version = 0;

 private:
  std::unordered_set<std::string> names_;                        // lower case
  std::vector<std::pair<std::string, std::string>> candidates_;  // those whose own text is harmless
};

}  // namespace dbproxy::session::mysql
