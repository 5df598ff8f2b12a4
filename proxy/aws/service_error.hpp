// Errors that AWS's services answer with, as failures. Internal to proxy/aws; pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proxy/aws/endpoint.hpp"
#include "proxy/aws/failure.hpp"

namespace dbproxy::aws {

// For an answer whose status is not 200, JSON or XML. `action` is the permission that the call needs, and `on` what it
// is needed for: both are named where the answer is a refusal.
Failure service_failure(const Reply& reply, const std::string& who, const std::string& action, const std::string& on);

// The text of the first <tag>…</tag>, entities decoded; "" where there is none.
std::string xml_text(std::string_view document, std::string_view tag);
// What stands between <tag> and </tag>, of the first `most` of them, as it is written; none is within another.
std::vector<std::string_view> xml_elements(std::string_view document, std::string_view tag, std::size_t most);

}  // namespace dbproxy::aws
