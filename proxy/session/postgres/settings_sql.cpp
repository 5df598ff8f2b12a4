// The SQL by which settings are put on a server connection and read back from it.
#include <algorithm>
#include <array>

#include "proxy/session/postgres/settings.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {
namespace {

namespace wire = dbproxy::wire::postgres;

// Of all that one query reads, and so of all that a session holds beyond what is reported.
constexpr std::size_t kMaxValue = 64u << 10;

bool plain(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
}

// E'…' means the same whatever standard_conforming_strings is.
void append_literal(std::string& out, std::string_view text) {
  out += "E'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  out += '\'';
}

// The same, whatever client_encoding is.
void append_value(std::string& out, std::string_view text, std::string_view encoding) {
  if (plain(text)) return append_literal(out, text);
  static constexpr char kDigits[] = "0123456789abcdef";
  out += "pg_catalog.convert_from(E'\\\\x";
  for (char c : text) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  out += "'::pg_catalog.bytea, ";
  append_literal(out, encoding);
  out += ')';
}

void append_statement(std::string& sql, std::string_view statement) {
  if (!sql.empty()) sql += "; ";
  sql += statement;
}

// Statement by statement, so that none sees the next one's value: search_path, for one, decides what names mean.
void append_set(std::string& sql, std::string_view name, std::string_view value, std::string_view encoding = "UTF8") {
  append_statement(sql, "SELECT pg_catalog.set_config(");
  append_literal(sql, name);
  sql += ", ";
  append_value(sql, value, encoding);
  sql += ", false)";
}

void append_reset(std::string& sql, std::string_view name) {
  append_statement(sql, "RESET \"");
  sql += name;
  sql += '"';
}

const std::string* value_of(const Settings& settings, const Settings& base, std::string_view name) {
  auto own = settings.find_tracked(name);
  return own != nullptr ? own : base.find_tracked(name);
}

bool same(const std::string* one, const std::string* other) {
  return one == nullptr || other == nullptr ? one == other : *one == *other;
}

}  // namespace

std::string set_meaning_sql(const Settings& from, const Settings& to, const Settings& base,
                            const std::vector<std::string>& unknown) {
  const auto value = [&](const Settings& settings, const std::string& name) {
    const auto* told = settings.find(name);
    return told != nullptr ? told : value_of(settings, base, name);
  };
  std::vector<std::string> names(unknown);
  for (const auto* values : {&from.values(), &to.values(), &from.tracked(), &to.tracked()})
    for (const auto& item : *values) names.push_back(item.first);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::string sql;
  for (const auto& name : names) {
    if (!decides_meaning(name)) continue;
    const auto* wanted = value(to, name);
    const bool known = std::find(unknown.begin(), unknown.end(), name) == unknown.end();
    if (known && same(value(from, name), wanted)) continue;
    sql += sql.empty() ? "SELECT pg_catalog.set_config(" : ", pg_catalog.set_config(";
    append_literal(sql, name);
    sql += ", ";
    if (wanted != nullptr) {
      append_value(sql, *wanted, "UTF8");
    } else {
      sql += "NULL";
    }
    sql += ", true)";
  }
  return sql;
}

std::string tracked_name(std::string_view text) {
  std::string name;
  if (text.size() >= 2 && text.front() == '\'') {
    name = text.substr(1, text.size() - 2);
  } else {
    Tokenizer tokens(text, true);
    for (auto token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next()) {
      if (token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedIdentifier) {
        name += identifier_name(token.text);
      } else if (token.is('.')) {
        name += '.';
      } else {
        return {};
      }
    }
  }
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '$' || c == '-';
    if (!good) return {};
  }
  // seed cannot be read; temp_buffers cannot be set once temporary tables were used; the last two are one setting.
  static constexpr std::string_view kNever[] = {"seed", "temp_buffers", "force_parallel_mode", "debug_parallel_query"};
  if (name.size() > 200 || std::find(std::begin(kNever), std::end(kNever), name) != std::end(kNever)) return {};
  if (name == "sort_mem") return "work_mem";  // PostgreSQL's map_old_guc_names
  if (name == "vacuum_mem") return "maintenance_work_mem";
  return name;
}

std::string replay_sql(const Settings& from, const Settings& to, const std::vector<std::string>& unknown,
                       const Settings& base) {
  std::string sql;
  auto encoding = to.find("client_encoding");
  for (const auto& [name, value] : to.values()) {
    if (!is_settable(name)) continue;
    auto current = from.find(name);
    if (current != nullptr && *current != value) append_set(sql, name, value, encoding ? *encoding : "UTF8");
  }
  auto known = [&](std::string_view name) { return std::find(unknown.begin(), unknown.end(), name) == unknown.end(); };
  auto bring = [&](const std::string& name) {
    if (name == "role") return;
    auto wanted = value_of(to, base, name);
    if (known(name) && same(value_of(from, base, name), wanted)) return;
    if (wanted != nullptr) {
      append_set(sql, name, *wanted);
    } else {
      append_reset(sql, name);
    }
  };
  for (const auto& [name, value] : to.tracked()) bring(name);
  for (const auto& [name, value] : from.tracked())
    if (to.find_tracked(name) == nullptr) bring(name);
  for (const auto& name : unknown)
    if (to.find_tracked(name) == nullptr && from.find_tracked(name) == nullptr) bring(name);

  auto user = to.find("session_authorization"), user_before = from.find("session_authorization");
  auto user_at_start = base.find("session_authorization");
  auto role = value_of(to, base, "role"), role_before = value_of(from, base, "role");
  bool same_user = same(user, user_before) && same(role, role_before) && known("role");
  bool itself = same(user, user_at_start) && same(user_before, user_at_start) && role == nullptr &&
                role_before == nullptr && known("role");
  if (itself || (same_user && sql.empty())) return sql;
  std::string whole = "RESET SESSION AUTHORIZATION; RESET ROLE";
  if (!sql.empty()) append_statement(whole, sql);
  if (user != nullptr && !same(user, user_at_start)) append_set(whole, "session_authorization", *user);
  if (role != nullptr) append_set(whole, "role", *role);
  return whole;
}

std::string read_settings_sql(const std::vector<std::string>& names, bool sources) {
  // Not as the session's own settings have it: serializable transactions wait, or cannot be had on a replica.
  std::string sql = "BEGIN ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE; SELECT ";
  const auto append = [&](std::string_view before, std::string_view after) {
    for (const auto& name : names) {
      if (&name != &names.front()) sql += ", ";
      sql += before;
      append_literal(sql, name);
      sql += after;
    }
  };
  append("pg_catalog.current_setting(", ", true)");
  if (sources) {
    // pg_settings is made anew, row by row, for each query of it.
    sql +=
        ", (SELECT pg_catalog.string_agg(pg_catalog.concat(pg_catalog.lower(s.name), E'=', s.source), E',')"
        " FROM pg_catalog.pg_settings AS s WHERE pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) ANY (ARRAY[";
    append("", "");
    sql += "]))";
  }
  return sql + "; COMMIT";
}

std::optional<ReadSettings> read_settings(std::string_view messages, const std::vector<std::string>& names,
                                          bool sources, std::string_view encoding) {
  const auto frame = wire::scan_frame(messages);
  if (frame.scan != wire::Scan::kMessage || frame.type != 'D' || frame.size != messages.size()) return std::nullopt;
  wire::Reader reader(messages.substr(wire::kHeaderSize));
  if (reader.u16() != names.size() + (sources ? 1 : 0)) return std::nullopt;
  auto column = [&]() -> std::optional<std::string_view> {
    const auto size = reader.u32();
    if (size == 0xffffffffu) return std::nullopt;
    return reader.bytes(size);
  };
  std::vector<std::optional<std::string_view>> values(names.size());
  for (auto& value : values) value = column();
  const auto said = sources ? column() : std::nullopt;
  if (!reader.ok() || !reader.rest().empty()) return std::nullopt;
  // Empty where pg_settings does not show it.
  const auto source_of = [&](std::string_view name) {
    for (auto rest = said.value_or(std::string_view()); !rest.empty();) {
      const auto one = rest.substr(0, rest.find(','));
      if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=')
        return one.substr(name.size() + 1);
      rest.remove_prefix(std::min(one.size() + 1, rest.size()));
    }
    return std::string_view();
  };
  ReadSettings out;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto source = source_of(names[i]);
    auto& item = out.emplace_back(ReadSetting{names[i], std::nullopt, !source.empty()});
    const auto& value = values[i];
    if (!value || (!source.empty() && source != "session")) continue;
    if (!plain(*value) && encoding != "UTF8") return std::nullopt;
    if ((bytes += value->size()) > kMaxValue) return std::nullopt;
    item.value = std::string(*value);
  }
  return out;
}

}  // namespace dbproxy::session::postgres
