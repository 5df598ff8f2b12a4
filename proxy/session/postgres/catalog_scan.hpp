// What of a database's catalogue may change session state when it is used: functions, and what calls them unseen.
//
// A statement's text shows names only. One query reads the functions' sources and what depends on them (views, rules,
// triggers, policies, defaults, checks, domains); CatalogScan follows both and fills a HazardSet with the names whose
// mention must pin. Pure; PostgreSQL 12 to 18; any role may run the query, also on a replica. It takes no locks but
// those of reading the catalogue's own tables.
//
// Known limits: functions of index expressions and of extended statistics, which must be immutable; functions in C
// that serve an operator, a cast, an index or an aggregate; state that a foreign server keeps.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/session/postgres/hazard_set.hpp"

namespace dbproxy::session::postgres {

// Each for one simple Query: several statements in an implicit transaction, after which all settings are as they were.
// Their rows go to CatalogScan. The first brings the fingerprint alone, and costs the server a fifth of the second.
std::string catalog_fingerprint_sql();
std::string catalog_scan_sql();

class CatalogScan {
 public:
  // False: this is no row of the query.
  bool add_row(const std::vector<std::optional<std::string_view>>& columns);
  // DataRow messages, one after the other. False: there is something else in it.
  bool add_messages(std::string_view messages);

  const std::string& fingerprint() const { return fingerprint_; }
  bool complete() const { return !fingerprint_.empty(); }

  struct Result {
    std::shared_ptr<const HazardSet> hazards;
    std::string everything;  // what makes every statement a hazard, for the log: "operator ===", …; or empty
    std::string ddl;         // what makes every change of the schema one: "event trigger audit", …; or empty
  };
  Result finish() const;

 private:
  struct Node {
    std::string name;
    std::string body;
    bool named = false;  // the name goes into the set
    bool hazardous = false;
    bool definer = false;  // may set what its caller may not
    std::vector<std::string> dependents;
  };
  struct Reach {
    std::string function, description;
    bool ddl = false;
  };
  Node& node(std::string_view id);

  std::string fingerprint_;
  std::unordered_map<std::string, Node> nodes_;
  std::vector<Reach> reaches_;
};

}  // namespace dbproxy::session::postgres
