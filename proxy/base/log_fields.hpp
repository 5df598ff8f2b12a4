// A line of the log whose fields are put together first: log.hpp's are written where the line is. Any thread.
#pragma once

#include <span>

#include "proxy/base/log.hpp"

namespace dbproxy::log {

void write_all(Level level, std::string_view module, std::string_view event, std::span<const Field> fields);

}  // namespace dbproxy::log
