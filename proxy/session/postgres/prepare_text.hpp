// Texts and answers about statements that SQL's PREPARE made. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbproxy::session::postgres {

struct PreparedInSql {
  std::string name;
  std::string text;   // the whole text that made it, of which PREPARE may be a part
  std::string types;  // of its parameters, as in Parse
  bool from_sql = false;
};

// One query for the prepared statements of a session whose names do not begin with `prefix`, and what its rows say.
// Nothing: these are not its rows.
std::string read_prepared_sql(std::string_view prefix);
std::optional<std::vector<PreparedInSql>> read_prepared(std::string_view messages);

// The last PREPARE of that name, and the statement behind its AS; both empty: there is none.
struct PrepareText {
  std::string_view whole, body;
  bool alone = false;  // nothing else is in the text
};
PrepareText find_prepare(std::string_view sql, std::string_view name, bool standard_conforming_strings);

// The statement with blanks before it, so that the positions of errors in it are those in the text that it came from.
std::string at_its_place(std::string_view sql, std::string_view body);
// EXECUTE failed: whether the error's position is in the statement that it ran, and not in its own text. Where both
// have a token there, the error's words tell.
bool is_of_statement(std::size_t position, std::string_view message, std::string_view execute,
                     std::string_view statement);

std::string quoted_name(std::string_view name);
// Of UTF-8, as error positions count.
std::size_t characters(std::string_view text);

}  // namespace dbproxy::session::postgres
