// One line of a watch. Pure.
#pragma once

#include <string_view>

#include "operator/kubernetes/json.hpp"

namespace dbproxy::kubernetes {

struct WatchEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark };
  Type type = Type::kBookmark;
  json::object object;
  bool initial_end = false;  // the bookmark after which a streaming list is complete
};

// An ERROR event comes back as the Failure that its Status describes (410 is how a watch says that it is too old).
Outcome<WatchEvent> decode_watch_event(std::string_view line);

}  // namespace dbproxy::kubernetes
