#include "proxy/session/mysql/settings.hpp"

#include <algorithm>
#include <array>

#include "proxy/session/mysql/tracking.hpp"

namespace dbproxy::session::mysql {
namespace {

constexpr std::string_view kConnection = "character_set_connection", kCollation = "collation_connection",
                           kClient = "character_set_client", kResults = "character_set_results";
constexpr std::array<std::string_view, 4> kReading = {kClient, kConnection, kCollation, "sql_mode"};
constexpr std::string_view kJoinSize = "max_join_size", kBigSelects = "sql_big_selects";

// Session variables that statements, drivers and people set; MySQL 8.0's and 8.4's names, and older ones.
constexpr std::string_view kTracked =
    "autocommit,big_tables,block_encryption_mode,bulk_insert_buffer_size,character_set_client,"
    "character_set_connection,character_set_database,character_set_filesystem,character_set_results,"
    "collation_connection,completion_type,cte_max_recursion_depth,default_collation_for_utf8mb4,"
    "default_storage_engine,default_tmp_storage_engine,default_week_format,div_precision_increment,end_markers_in_json,"
    "eq_range_index_dive_limit,explicit_defaults_for_timestamp,foreign_key_checks,"
    "generated_random_password_length,group_concat_max_len,information_schema_stats_expiry,"
    "innodb_ft_enable_stopword,innodb_ft_user_stopword_table,innodb_lock_wait_timeout,innodb_strict_mode,"
    "innodb_table_locks,interactive_timeout,internal_tmp_mem_storage_engine,join_buffer_size,"
    "keep_files_on_create,lc_messages,lc_time_names,lock_wait_timeout,long_query_time,low_priority_updates,"
    "max_delayed_threads,max_error_count,max_execution_time,max_heap_table_size,max_join_size,"
    "max_length_for_sort_data,max_points_in_geometry,max_seeks_for_key,max_sort_length,max_sp_recursion_depth,"
    "min_examined_row_limit,myisam_repair_threads,myisam_sort_buffer_size,myisam_stats_method,"
    "net_buffer_length,net_read_timeout,net_retry_count,net_write_timeout,new,old_alter_table,"
    "optimizer_prune_level,optimizer_search_depth,optimizer_switch,optimizer_trace,optimizer_trace_features,"
    "optimizer_trace_limit,optimizer_trace_max_mem_size,optimizer_trace_offset,parser_max_mem_size,"
    "preload_buffer_size,print_identified_with_as_hex,profiling,profiling_history_size,query_alloc_block_size,"
    "query_prealloc_size,range_alloc_block_size,range_optimizer_max_mem_size,read_buffer_size,"
    "read_rnd_buffer_size,resultset_metadata,secondary_engine_cost_threshold,select_into_buffer_size,"
    "session_track_gtids,"
    "show_create_table_verbosity,show_old_temporals,sort_buffer_size,sql_auto_is_null,sql_big_selects,"
    "sql_buffer_result,sql_log_off,sql_mode,sql_notes,sql_quote_show_create,sql_require_primary_key,sql_safe_updates,"
    "sql_select_limit,sql_warnings,storage_engine,time_zone,tmp_table_size,transaction_alloc_block_size,"
    "transaction_isolation,transaction_prealloc_size,transaction_read_only,tx_isolation,tx_read_only,unique_checks,"
    "updatable_views_with_limit,use_secondary_engine,wait_timeout,windowing_use_high_precision,"
    "auto_increment_increment,auto_increment_offset,binlog_format,binlog_row_image";

// Of one statement or transaction, or about the session as such: SET of them elsewhere would be wrong. In the last two
// lines are those of MariaDB's that change another one, of which it says nothing.
constexpr std::array<std::string_view, 21> kNotReplayed = {"statement_id",
                                                           "timestamp",
                                                           "insert_id",
                                                           "last_insert_id",
                                                           "identity",
                                                           "rand_seed1",
                                                           "rand_seed2",
                                                           "pseudo_thread_id",
                                                           "error_count",
                                                           "warning_count",
                                                           "gtid_next",
                                                           "gtid_seq_no",
                                                           "last_gtid",
                                                           "server_id",
                                                           "pseudo_slave_mode",
                                                           "proxy_user",
                                                           "log_queries_not_using_indexes",
                                                           "log_slow_admin_statements",
                                                           "log_slow_slave_statements",
                                                           "old",
                                                           "wsrep_causal_reads"};

struct Alias {
  std::string_view name, own;
};
// Seen on MySQL 8.0 (of 5.7 documented) and MariaDB 10.11. What is kept is the name that most versions know.
constexpr std::array<Alias, 3> kMysqlAliases = {{{"tx_isolation", "transaction_isolation"},
                                                 {"tx_read_only", "transaction_read_only"},
                                                 {"storage_engine", "default_storage_engine"}}};
constexpr std::array<Alias, 8> kMariadbAliases = {{{"transaction_isolation", "tx_isolation"},
                                                   {"transaction_read_only", "tx_read_only"},
                                                   {"storage_engine", "default_storage_engine"},
                                                   {"alter_algorithm", "old_alter_table"},
                                                   {"tmp_memory_table_size", "tmp_table_size"},
                                                   {"log_slow_query", "slow_query_log"},
                                                   {"log_slow_query_time", "long_query_time"},
                                                   {"log_slow_min_examined_row_limit", "min_examined_row_limit"}}};

bool is_number(std::string_view text) {
  std::size_t dots = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '.')
      ++dots;
    else if (!(text[i] >= '0' && text[i] <= '9') && !(i == 0 && text[i] == '-' && text.size() > 1))
      return false;
  }
  return !text.empty() && dots <= 1 && text != "." && text.back() != '.';
}

// As character_set_client is reset, too, by the time it is read: only ASCII is safe in it, and nothing that is escaped.
void append_value(std::string& sql, std::string_view name, std::string_view value) {
  if (value.empty() && name == "character_set_results") {
    sql += "NULL";
  } else if (is_number(value) && name.find("time_zone") == std::string_view::npos) {
    sql += value;
  } else {
    // A hexadecimal literal is a string of bytes whatever the SQL mode and character set say of quotes and backslashes.
    static constexpr char kDigits[] = "0123456789abcdef";
    const bool plain = std::all_of(value.begin(), value.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
             std::string_view("_-+:,./ =").find(c) != std::string_view::npos;
    });
    if (plain) {
      sql.append("'").append(value).append("'");
      return;
    }
    sql += "CONVERT(x'";
    for (const char c : value) {
      sql += kDigits[static_cast<unsigned char>(c) >> 4];
      sql += kDigits[static_cast<unsigned char>(c) & 15];
    }
    sql += "' USING utf8mb4)";
  }
}

const std::string* find_in(const Settings::Variables& variables, std::string_view name) {
  const auto it = std::lower_bound(variables.begin(), variables.end(), name,
                                   [](const auto& entry, std::string_view key) { return entry.first < key; });
  return it != variables.end() && it->first == name ? &it->second : nullptr;
}

}  // namespace

const std::string* Settings::find(std::string_view name) const {
  return find_in(variables_, name);
}

Settings::Settings(std::string schema, Variables variables)
    : schema_(std::move(schema)), variables_(std::move(variables)) {
  if (const std::string* mode = find("sql_mode")) {
    knows_sql_mode_ = true;
    lex_.ansi_quotes = mode->find("ANSI_QUOTES") != std::string::npos;
    lex_.no_backslash_escapes = mode->find("NO_BACKSLASH_ESCAPES") != std::string::npos;
  }
  if (const std::string* set = find("character_set_client"))
    for (const std::string_view name : {"big5", "gbk", "sjis", "cp932", "gb18030"})
      lex_.two_byte_characters = lex_.two_byte_characters || *set == name;
}

std::string Settings::reading() const {
  std::string reading = schema_;
  for (const std::string_view name : kReading) {
    reading += '\0';
    if (const std::string* value = find(name)) reading += *value;
  }
  return reading;
}

std::pair<std::string, Settings::Variables> Settings::read_into(const Settings& other) const {
  Variables variables = other.variables_;
  std::erase_if(variables, [](const auto& entry) {
    return std::find(kReading.begin(), kReading.end(), entry.first) != kReading.end();
  });
  for (const std::string_view name : kReading)
    if (const std::string* value = find(name)) variables.emplace_back(name, *value);
  std::sort(variables.begin(), variables.end());
  return {schema_, std::move(variables)};
}

SettingsPtr SettingsInterner::intern(std::string schema, Settings::Variables variables) {
  Key key(std::move(schema), std::move(variables));
  std::weak_ptr<const Settings>& slot = known_[key];
  SettingsPtr settings = slot.lock();
  if (!settings) {
    settings = std::make_shared<const Settings>(key.first, key.second);
    slot = settings;
    if (known_.size() > sweep_at_) {
      std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
      sweep_at_ = std::max<std::size_t>(64, 2 * known_.size());
    }
  }
  return settings;
}

SettingsPtr SettingsInterner::with_schema(const SettingsPtr& base, std::string_view schema) {
  return base->schema() == schema ? base : intern(std::string(schema), base->variables());
}

SettingsPtr SettingsInterner::with(const SettingsPtr& base, std::string_view name, std::string_view value) {
  const std::string* now = base->find(name);
  if (now != nullptr && *now == value) return base;
  Settings::Variables variables = base->variables();
  const auto it = std::lower_bound(variables.begin(), variables.end(), name,
                                   [](const auto& entry, std::string_view key) { return entry.first < key; });
  if (now != nullptr)
    it->second = value;
  else
    variables.emplace(it, name, value);
  return intern(base->schema(), std::move(variables));
}

SettingsPtr SettingsInterner::without(const SettingsPtr& base, std::string_view name) {
  if (base->find(name) == nullptr) return base;
  Settings::Variables variables = base->variables();
  std::erase_if(variables, [name](const auto& entry) { return entry.first == name; });
  return intern(base->schema(), std::move(variables));
}

bool is_replayed(std::string_view name) {
  return std::find(kNotReplayed.begin(), kNotReplayed.end(), name) == kNotReplayed.end() && !is_tracking(name);
}

std::string_view own_name(std::string_view name, bool mariadb) {
  const auto in = [name](const auto& aliases) {
    for (const Alias& alias : aliases)
      if (equals_folded(name, alias.name)) return alias.own;
    return name;
  };
  return mariadb ? in(kMariadbAliases) : in(kMysqlAliases);
}

std::string_view big_selects_of(std::string_view max_join_size) {
  return max_join_size == "18446744073709551615" ? "ON" : "OFF";  // no limit, or one
}

std::string replay_sql(const Settings& from, const Settings& to, const Settings& base) {
  const auto value_of = [&base](const Settings& settings, std::string_view name) {
    const std::string* value = settings.find(name);
    // Without one of its own it is that of its character set, wherever that comes from.
    if (name == kCollation && settings.find(kConnection) != nullptr) return value;
    return value != nullptr ? value : base.find(name);
  };
  const auto same = [](const std::string* one, const std::string* other) {
    return one == nullptr || other == nullptr ? one == other : *one == *other;
  };
  const auto differs = [&](std::string_view name) { return !same(value_of(from, name), value_of(to, name)); };
  std::string sql;
  const auto add = [&](std::string_view name) {
    sql += sql.empty() ? "SET " : ", ";
    sql.append("@@SESSION.").append(name).append(" = ");
    const std::string* value = value_of(to, name);
    if (value == nullptr)
      sql += "DEFAULT";
    else
      append_value(sql, name, *value);
  };
  // A character set brings its own collation: that has to be put back behind it, or by it. Likewise what max_join_size
  // makes of sql_big_selects.
  bool connection = differs(kConnection) || differs(kCollation);
  const bool big_selects = differs(kBigSelects) || (differs(kJoinSize) && value_of(to, kBigSelects) != nullptr);
  // Nothing but SET NAMES … COLLATE gives results a collation, and it sets all the others as well.
  const std::string *collation = to.find(kResultsCollation), *results = value_of(to, kResults);
  const bool results_differ = differs(kResults) || !same(collation, from.find(kResultsCollation));
  const std::string* of_client = to.find(kClientCollation);
  bool client = differs(kClient) || !same(of_client, from.find(kClientCollation));
  if (client && of_client != nullptr && collation == nullptr) {
    const std::string* set = value_of(to, kClient);
    sql.append("SET NAMES '").append(set != nullptr ? *set : std::string()).append("' COLLATE '").append(*of_client) +=
        '\'';
    add(kResults);
    client = false;
    connection = true;
  } else if (results_differ && collation != nullptr && results != nullptr && !results->empty()) {
    sql.append("SET NAMES '").append(*results).append("' COLLATE '").append(*collation).append("'");
    client = !same(results, value_of(to, kClient)) || !same(collation, of_client);
    connection = !same(results, value_of(to, kConnection)) || !same(collation, value_of(to, kCollation));
  } else if (results_differ) {
    add(kResults);
  }
  if (client) add(kClient);
  const auto apart = [](std::string_view name) {
    return name == kConnection || name == kCollation || name == kBigSelects || name == kClient || name == kResults ||
           name == kResultsCollation || name == kClientCollation;
  };
  // Both are sorted by name: walked side by side, so that equal ones by two names cost no allocation.
  auto left = from.variables().begin(), right = to.variables().begin();
  const auto left_end = from.variables().end(), right_end = to.variables().end();
  while (left != left_end || right != right_end) {
    const bool of_left = right == right_end || (left != left_end && left->first <= right->first);
    const std::string_view name = of_left ? left->first : right->first;
    if (right != right_end && right->first == name) ++right;
    if (of_left) ++left;
    if (!apart(name) && differs(name)) add(name);
  }
  if (big_selects) add(kBigSelects);
  if (connection) {
    add(kConnection);
    if (value_of(to, kCollation) != nullptr) add(kCollation);
  }
  return sql;
}

std::optional<Settings::Variables> variables_of_collation(std::uint16_t collation) {
  struct Known {
    std::uint16_t id;
    std::string_view character_set;
    std::string_view collation;  // empty: the character set's own, or one that not every server knows
  };
  static constexpr std::array<Known, 22> kKnown = {{{8, "latin1", ""},
                                                    {47, "latin1", "latin1_bin"},
                                                    {48, "latin1", "latin1_general_ci"},
                                                    {11, "ascii", ""},
                                                    {65, "ascii", "ascii_bin"},
                                                    {63, "binary", ""},
                                                    {9, "latin2", ""},
                                                    {51, "cp1251", ""},
                                                    {26, "cp1250", ""},
                                                    {1, "big5", ""},
                                                    {28, "gbk", ""},
                                                    {24, "gb2312", ""},
                                                    {13, "sjis", ""},
                                                    {95, "cp932", ""},
                                                    {12, "ujis", ""},
                                                    {19, "euckr", ""},
                                                    {33, "utf8", ""},
                                                    {83, "utf8", "utf8_bin"},
                                                    {192, "utf8", "utf8_unicode_ci"},
                                                    {45, "utf8mb4", "utf8mb4_general_ci"},
                                                    {46, "utf8mb4", "utf8mb4_bin"},
                                                    {224, "utf8mb4", "utf8mb4_unicode_ci"}}};
  Settings::Variables variables;
  const auto make = [&variables](std::string_view set, std::string_view name) {
    for (const std::string_view variable :
         {"character_set_client", "character_set_connection", "character_set_results"})
      variables.emplace_back(variable, set);
    if (!name.empty()) variables.emplace_back(kCollation, name);
  };
  // Whatever the server takes for utf8mb4's own; MariaDB does not know MySQL's 0900.
  if (collation >= 255) {
    if (collation != 255) return std::nullopt;
    make("utf8mb4", "");
    return variables;
  }
  for (const Known& known : kKnown) {
    if (known.id != collation) continue;
    make(known.character_set, known.collation);
    return variables;
  }
  return std::nullopt;
}

std::string tracking_sql(bool mariadb) {
  std::string sql =
      "SET SESSION session_track_state_change = ON, SESSION session_track_schema = ON,"
      " SESSION session_track_transaction_info = 'CHARACTERISTICS', SESSION session_track_system_variables = '";
  return sql.append(mariadb ? std::string_view("*") : kTracked).append("'");
}

}  // namespace dbproxy::session::mysql
