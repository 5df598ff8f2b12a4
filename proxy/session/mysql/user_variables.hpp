// User variables (@name): their values as texts, so that they can be put on another connection.
//
// Nothing of the protocol reports them. Whoever has set one asks for its value before the connection goes to somebody
// else, which finds none of them there, and has it put wherever a later text names it. What is put there has the type,
// the sign, the scale and the collation of what was read (as 8.0 and MariaDB 10.11 tell them by the column's
// definition, CHARSET() and COLLATION()); a NULL keeps its type. Pure.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dbproxy::session::mysql {

struct UserVariable {
  std::string value;  // what stands behind SET @name =; of one that is NULL, anything of its type. Empty: not known
  bool null = false;
  friend bool operator==(const UserVariable&, const UserVariable&) = default;
};
// By their own names: small letters, neither @ nor quotes.
using UserVariables = std::map<std::string, UserVariable, std::less<>>;

// Longer values, in bytes, stay where they are.
inline constexpr std::size_t kMaxUserVariable = 1024;
// Those of one client.
inline constexpr std::size_t kMaxUserVariables = 32;
// As one reads that nobody has ever set: no bytes, and NULL.
const UserVariable& unset_variable();

// Of what a text has for one, @ first. Nothing: not ASCII, where servers have names alike that differ, or quoted in a
// way that is not worth following.
std::optional<std::string> own_variable(std::string_view written);
// Whether there is one.
bool has_own_variable(std::string_view written);

// A SET of all of them; one that is NULL is set twice.
std::string set_variables_sql(const UserVariables& variables);

// A SELECT of one row, or of none where a value is too long.
std::string ask_variables_sql(std::span<const std::string> own_names);
// Its answer: definitions of columns, as the server sent them, and rows. Nothing: not all can be put elsewhere.
std::optional<UserVariables> read_variables(std::span<const std::string> own_names,
                                            std::span<const std::string> columns,
                                            const std::vector<std::vector<std::optional<std::string>>>& rows);

}  // namespace dbproxy::session::mysql
