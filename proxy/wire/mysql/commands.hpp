// Where in a request that stands what the proxy reads or changes: the text of COM_QUERY behind its attributes, and in
// COM_STMT_EXECUTE the statement's number and the parameters' types.
// (MySQL internals manual: "COM_QUERY", "COM_STMT_EXECUTE", "Binary Protocol Value".)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/wire/mysql/constants.hpp"
#include "proxy/wire/mysql/packet.hpp"

namespace dbproxy::wire::mysql {

// More than MySQL takes of anything.
inline constexpr std::uint64_t kMaxParameters = 65535;

// The text of a COM_QUERY: a view of its payload. False: the attributes before it are malformed.
bool query_text(std::string_view payload, std::uint32_t capabilities, std::string_view& text);
// COM_QUERY without attributes, for a connection with `capabilities`.
void query(std::string& out, std::uint32_t capabilities, std::string_view sql);

// COM_STMT_EXECUTE. Offsets into its payload.
struct Execute {
  std::uint32_t statement = 0;   // at offset 1, four bytes
  std::uint8_t flags = 0;        // 0: no cursor
  std::uint64_t parameters = 0;  // attributes included
  bool types_sent = false;       // new-params-bound: the types stand in it
  std::size_t bound_at = 0;      // of that byte; 0 where there are no parameters
  std::size_t types_size = 0;    // behind that byte: two bytes each, with attributes also names
  bool cursor() const { return (flags & 7) != 0; }
};
// `parameters`: what the statement has. False: malformed, or truncated before the end of the types.
bool read_execute(std::string_view payload, std::uint32_t capabilities, std::uint16_t parameters, Execute& execute);
// How many bytes of the payload read_execute needs at most, when the types are two bytes each.
inline std::size_t execute_head(std::uint16_t parameters) {
  return 10 + 9 + (std::size_t{parameters} + 7) / 8 + 1 + 2 * std::size_t{parameters};
}
inline constexpr std::size_t kStatementAt = 1;  // in EXECUTE, CLOSE, RESET, FETCH and SEND_LONG_DATA

// The answer to COM_STMT_PREPARE.
struct Prepared {
  std::uint32_t statement = 0;
  std::uint16_t columns = 0;
  std::uint16_t parameters = 0;
  std::uint16_t warnings = 0;
};
bool read_prepared(std::string_view payload, Prepared& prepared);

}  // namespace dbproxy::wire::mysql
