// Texts and answers about channels: LISTEN, UNLISTEN, pg_listening_channels(). Pure.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dbproxy::session::postgres {

// Of one client. PostgreSQL has no limit.
inline constexpr std::size_t kMaxChannels = 10000;

// What the text's UNLISTENs name, in order; "": all.
std::vector<std::string> unlistened(std::string_view sql, bool standard_conforming_strings);

// "LISTEN "a"; LISTEN "b"".
std::string listen_sql(const std::set<std::string, std::less<>>& channels);

// Names in DataRow messages of one column. Nothing: these are not such rows.
std::optional<std::vector<std::string>> read_channel_names(std::string_view messages);

}  // namespace dbproxy::session::postgres
