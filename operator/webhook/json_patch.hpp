// JSON Patch (RFC 6902) as far as this program makes it: `add` alone. Pure.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

namespace dbproxy::webhook {

namespace json = boost::json;

// A name as one token of a JSON Pointer (RFC 6901): ~ and / escaped.
std::string pointer_token(std::string_view name);

json::object add_operation(std::string path, json::value value);

// Does what the operations say; for printing manifests, and for tests. Returns "" or which operation cannot be done;
// then the document is half changed.
std::string apply_additions(json::value& document, const json::array& patch);

}  // namespace dbproxy::webhook
