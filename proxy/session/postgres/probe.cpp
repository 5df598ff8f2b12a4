#include "proxy/session/postgres/probe.hpp"

#include "proxy/session/postgres/one_column.hpp"

namespace dbproxy::session::postgres {
namespace {

constexpr std::string_view kProbed = "probed";

struct Question {
  PinReason reason;
  std::string_view condition;
};

// Session-level locks: those of a transaction ended with it. pg_depend has whatever stands in a schema, except for
// schemas that came with the server's installation, which PostgreSQL before 14 does not note there.
constexpr Question kQuestions[] = {
    {PinReason::kAdvisoryLock,
     "EXISTS (SELECT FROM pg_catalog.pg_locks AS l WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory'"
     " AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())"},
    {PinReason::kTemporaryObject,
     "CASE WHEN pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN false"
     " WHEN EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.refclassid OPERATOR(pg_catalog.=) "
     "2615::pg_catalog.oid"
     " AND d.refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) THEN true"
     " WHEN pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid THEN false"
     " ELSE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.relnamespace OPERATOR(pg_catalog.=)"
     " pg_catalog.pg_my_temp_schema()) OR EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.typnamespace"
     " OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) OR EXISTS (SELECT FROM pg_catalog.pg_proc AS p"
     " WHERE p.pronamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) END"},
    {PinReason::kHoldableCursor, "EXISTS (SELECT FROM pg_catalog.pg_cursors AS c WHERE c.is_holdable)"},
    {PinReason::kSqlPrepare,
     "EXISTS (SELECT FROM pg_catalog.pg_prepared_statements AS s WHERE NOT pg_catalog.starts_with(s.name, '"},
    {PinReason::kListen, "EXISTS (SELECT FROM pg_catalog.pg_listening_channels())"},
    {PinReason::kReplicationSlot,
     "EXISTS (SELECT FROM pg_catalog.pg_replication_slots AS s WHERE s.temporary"
     " AND s.active_pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())"},
};

constexpr std::uint32_t kAnswerable = [] {
  std::uint32_t all = 0;
  for (const auto& question : kQuestions) all |= bit(question.reason);
  return all;
}();

}  // namespace

bool probe_can_tell(std::uint32_t pins, std::uint32_t leaves) {
  return (pins & ~(kAnswerable | bit(PinReason::kOpaque))) == 0 && (leaves & ~kAnswerable) == 0 &&
         (!(pins & bit(PinReason::kOpaque)) || leaves != 0);
}

std::string probe_sql(std::uint32_t reasons, std::string_view prefix) {
  std::string sql = "SELECT '" + std::string(kProbed) + "'";
  for (const auto& question : kQuestions) {
    if (!(reasons & bit(question.reason))) continue;
    sql += " UNION ALL SELECT '";
    sql += to_string(question.reason);
    sql += "' WHERE ";
    sql += question.condition;
    // The other prepared statements have names that clients chose.
    if (question.reason == PinReason::kSqlPrepare) sql += std::string(prefix) + "'))";
  }
  return sql;
}

std::optional<std::uint32_t> read_probe(std::string_view messages) {
  const auto names = read_one_column(messages);
  if (!names) return std::nullopt;
  std::uint32_t left = 0;
  bool probed = false;
  for (const auto name : *names) {
    bool known = name == kProbed;
    probed = probed || known;
    for (const auto& question : kQuestions) {
      if (name != to_string(question.reason)) continue;
      left |= bit(question.reason);
      known = true;
    }
    if (!known) return std::nullopt;
  }
  return probed ? std::optional(left) : std::nullopt;
}

}  // namespace dbproxy::session::postgres
