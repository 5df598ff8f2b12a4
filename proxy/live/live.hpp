// The live page of a sidecar and of an operator, and the events that keep it up to date.
//
// The page asks for server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). An answer
// holds one event and says when to ask again, so that no connection is held open for a page. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/http/message.hpp"

namespace dbproxy::live {

extern const std::string_view kPage;  // HTML, with its script and style

http::Response page();

// One event: {"NAME": JSON, …}.
using Parts = std::vector<std::pair<std::string, std::string>>;
http::Response event(const Parts& parts);

}  // namespace dbproxy::live
