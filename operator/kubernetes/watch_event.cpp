#include "operator/kubernetes/watch_event.hpp"

namespace dbproxy::kubernetes {

Outcome<WatchEvent> decode_watch_event(std::string_view line) {
  const auto malformed = [](std::string words) {
    return Failure{Failure::Kind::kMalformed, 0, "", "watch: " + std::move(words), std::nullopt};
  };
  Outcome<json::value> parsed = parse_json(line);
  if (parsed.has_error()) return parsed.error();
  json::object* event = parsed->if_object();
  json::value* inner = event == nullptr ? nullptr : event->if_contains("object");
  if (inner == nullptr || !inner->is_object()) return malformed("an event without an object");
  const std::string_view type = text_at(*event, {"type"});
  WatchEvent out;
  if (type == "ERROR") {
    Failure failure = failure_of(500, json::serialize(*inner));
    if (failure.reason == "Expired" || failure.reason == "Gone") failure.code = 410;
    return failure;
  }
  if (type == "ADDED") {
    out.type = WatchEvent::Type::kAdded;
  } else if (type == "MODIFIED") {
    out.type = WatchEvent::Type::kModified;
  } else if (type == "DELETED") {
    out.type = WatchEvent::Type::kDeleted;
  } else if (type != "BOOKMARK") {
    return malformed("an event of a type that is not known");
  }
  out.object = std::move(inner->get_object());
  if (resource_version_of(out.object).empty()) return malformed("an object without a resourceVersion");
  if (out.type == WatchEvent::Type::kBookmark) {
    out.initial_end = text_at(out.object, {"metadata", "annotations", "k8s.io/initial-events-end"}) == "true";
  } else if (text_at(out.object, {"metadata", "name"}).empty()) {
    return malformed("an object without a name");
  }
  return out;
}

}  // namespace dbproxy::kubernetes
