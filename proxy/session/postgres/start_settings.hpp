// What a client sets by its start-up packet, where server connections are shared by clients that set other things.
//
// Nearly all of it can be set later as well: it is checked once by the server, put on a server connection like any
// other setting of the client (settings.hpp), and where the client goes back to its start (RESET, TO DEFAULT), what it
// started with is set right behind that, in the same transaction. What only a start can set makes another pool. Pure.
// (PostgreSQL: process_startup_options in postinit.c, pg_split_opts; guc_tables.c.)
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/session/postgres/settings.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {

struct StartUp {
  wire::postgres::Parameters only_at_start;  // as they came
  Settings::Values own;                      // in the server's order, the last of a name counts; by tracked_name()
};
StartUp split_start_up(const wire::postgres::Parameters& parameters);

// One query for the server to check them; nothing is changed by it. Its row has the values as the server spells them.
std::string check_start_sql(const Settings::Values& own);
// Nothing: these are not its rows.
std::optional<Settings::Values> read_start(std::string_view messages, const Settings::Values& own);

// Where a text goes back to the start of its session.
struct GoesBack {
  std::size_t end = 0;  // of the statement, before its semicolon
  std::string name;     // tracked_name(); empty: all of them
  bool local = false;   // until the end of the transaction
};
// The text of what EXECUTE of a name comes to; empty: nothing that goes back. A statement of the protocol may be SET or
// RESET, and EXECUTE of it does the same.
using Executed = std::function<std::string_view(std::string_view name)>;
std::vector<GoesBack> going_back(std::string_view sql, bool standard_conforming_strings, const Executed& executed = {});

// For what `place` resets: statements that set it as it was at the start; none when nothing has to be. SET where that
// can be, since a SELECT would be a query, before which SET TRANSACTION has to stand. `column`: the name of the first
// column of a SELECT.
std::vector<std::string> set_start_sql(const GoesBack& place, const Settings::Values& start, std::string_view column);

// What was put into a text: where, in characters of the text as it was, and how many.
struct Insertion {
  std::size_t at = 0, size = 0;
};
struct Insertions {
  std::vector<Insertion> places;
  std::vector<bool> sets;  // of each statement whose tag is SET or RESET, in their order: it was put there
};
// The text with that behind each such place; empty when nothing has to be.
std::string with_start_settings(std::string_view sql, bool standard_conforming_strings, const Settings::Values& start,
                                std::string_view column, Insertions& inserted, const Executed& executed = {});

}  // namespace dbproxy::session::postgres
