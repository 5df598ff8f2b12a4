#include "proxy/session/postgres/one_column.hpp"

#include "proxy/wire/postgres/frame.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

std::optional<std::vector<std::string_view>> read_one_column(std::string_view messages) {
  std::vector<std::string_view> values;
  while (!messages.empty()) {
    const auto frame = wire::scan_frame(messages);
    if (frame.scan != wire::Scan::kMessage || frame.type != 'D' || frame.size > messages.size()) return std::nullopt;
    wire::Reader reader(messages.substr(wire::kHeaderSize, frame.size - wire::kHeaderSize));
    const auto columns = reader.u16();
    const auto size = reader.u32();
    values.push_back(reader.bytes(size));
    if (!reader.ok() || columns != 1 || !reader.rest().empty()) return std::nullopt;
    messages.remove_prefix(frame.size);
  }
  return values;
}

}  // namespace dbproxy::session::postgres
