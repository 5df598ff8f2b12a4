// The probe: one query that tells which of the things that pin a client are still there on its server connection.
//
// It sees what the server keeps count of. It is blind to settings of names that PostgreSQL does not list, to the seed
// of random() and to libraries: where those may have been touched nothing is asked, and the pin stays. Names are
// qualified, operators too: no search_path of a client changes what is asked. Pure; PostgreSQL 12 to 18; any role may
// ask.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proxy/session/postgres/pin_reason.hpp"

namespace dbproxy::session::postgres {

// Whether a probe finds all that these reasons can stand for; `leaves` as in Verdict.
bool probe_can_tell(std::uint32_t pins, std::uint32_t leaves);

// One statement, to be asked outside of a transaction. Asks about these reasons; kOpaque is none.
// `prefix`: of the names of the proxy's own prepared statements.
std::string probe_sql(std::uint32_t reasons, std::string_view prefix);

// The reasons that are still there, from its DataRow messages. Nothing: these are not its rows.
std::optional<std::uint32_t> read_probe(std::string_view messages);

}  // namespace dbproxy::session::postgres
