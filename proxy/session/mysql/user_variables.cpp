#include "proxy/session/mysql/user_variables.hpp"

#include <algorithm>

#include "proxy/session/mysql/tokenizer.hpp"
#include "proxy/wire/mysql/messages.hpp"

namespace dbproxy::session::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;

constexpr std::size_t kMaxName = 64;       // of MySQL's
constexpr std::size_t kColumnsOfEach = 4;  // of ask_variables_sql()

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && std::all_of(text.begin(), text.end(), [](char c) {
    return c >= ' ' && c <= '~' && c != '`' && c != '\\' && c != '\'' && c != '"';
  });
}

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && std::all_of(text.begin(), text.end(), [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

// Such as the server writes them, in a character set in which they can be read.
bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 90 && text.find_first_of("0123456789") != std::string_view::npos &&
         text.find_first_not_of("0123456789+-.eE") == std::string_view::npos;
}

std::string quoted(std::string_view own_name) {
  return std::string("@`").append(own_name) += '`';
}

// `number`, or without one, of a NULL, one of the same type.
std::optional<std::string> number_of(const wire::Column& column, const std::optional<std::string>& told) {
  if (told && !is_number(*told)) return std::nullopt;
  const std::string number = told.value_or("0");
  switch (column.type) {
    case wire::column::kLongLong:
      return column.flags & wire::column::kUnsignedFlag ? "CAST(" + number + " AS UNSIGNED)" : number;
    case wire::column::kNewDecimal:
      return number.find('.') == std::string::npos ? number + '.' : number;
    case wire::column::kDouble:
      return number.find_first_of("eE") == std::string::npos ? number + "e0" : number;
    default:
      return std::nullopt;
  }
}

std::optional<std::string> string_of(std::string_view hexadecimal, std::string_view set, std::string_view collation) {
  if (!is_word(set) || !is_word(collation)) return std::nullopt;
  if (hexadecimal.find_first_not_of("0123456789ABCDEF") != std::string_view::npos) return std::nullopt;
  std::string bytes = std::string("x'").append(hexadecimal) += '\'';
  if (set == "binary") return bytes;
  return std::string("_").append(set).append(" ").append(bytes).append(" COLLATE ").append(collation);
}

}  // namespace

bool has_own_variable(std::string_view written) {
  return written.starts_with('@') && is_name(unquoted(written.substr(1)));
}

std::optional<std::string> own_variable(std::string_view written) {
  if (!has_own_variable(written)) return std::nullopt;
  return folded(unquoted(written.substr(1)));
}

const UserVariable& unset_variable() {
  static const UserVariable unset{"x''", true};
  return unset;
}

std::string set_variables_sql(const UserVariables& variables) {
  std::string sql;
  for (const auto& [own_name, variable] : variables) {
    const std::string name = quoted(own_name);
    sql.append(sql.empty() ? "SET " : ", ").append(name).append(" = ").append(variable.value);
    if (variable.null) sql.append(", ").append(name).append(" = NULL");
  }
  return sql;
}

std::string ask_variables_sql(std::span<const std::string> own_names) {
  std::string columns, short_enough;
  for (const std::string& each : own_names) {
    const std::string name = quoted(each);
    columns.append(columns.empty() ? "SELECT " : ", ").append(name).append(", HEX(").append(name);
    columns.append("), CHARSET(").append(name).append("), COLLATION(").append(name) += ')';
    short_enough.append(short_enough.empty() ? " FROM DUAL WHERE " : " AND ").append("COALESCE(LENGTH(").append(name);
    short_enough.append("), 0) <= ") += std::to_string(kMaxUserVariable);
  }
  return columns + short_enough;
}

std::optional<UserVariables> read_variables(std::span<const std::string> own_names,
                                            std::span<const std::string> columns,
                                            const std::vector<std::vector<std::optional<std::string>>>& rows) {
  const std::size_t count = own_names.size() * kColumnsOfEach;
  if (rows.size() != 1 || rows[0].size() != count || columns.size() != count) return std::nullopt;
  UserVariables found;
  for (std::size_t i = 0; i < own_names.size(); ++i) {
    wire::Column column;
    const auto* const told = &rows[0][i * kColumnsOfEach];
    if (!wire::read_column(columns[i * kColumnsOfEach], column)) return std::nullopt;
    const bool string = column.type >= wire::column::kFirstString && column.type <= wire::column::kLastString;
    auto value = string ? string_of(told[1].value_or(""), told[2].value_or(""), told[3].value_or(""))
                        : number_of(column, told[0]);
    if (!value) return std::nullopt;
    found.emplace(own_names[i], UserVariable{std::move(*value), !told[0]});
  }
  return found;
}

}  // namespace dbproxy::session::mysql
