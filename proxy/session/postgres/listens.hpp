// Texts and answers about channels: LISTEN, UNLISTEN, pg_listening_channels(). Pure.
#pragma once

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

}  // namespace dbproxy::session::postgres
