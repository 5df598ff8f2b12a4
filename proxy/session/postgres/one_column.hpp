// The answer to a question of the proxy's own that has one column. Pure.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace dbproxy::session::postgres {

// The values in DataRow messages of one column, as views into them. Nothing: these are not such rows, or one is NULL.
std::optional<std::vector<std::string_view>> read_one_column(std::string_view messages);

}  // namespace dbproxy::session::postgres
