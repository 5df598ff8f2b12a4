// Resource quantities as Kubernetes writes them: "250m", "0.5", "128Mi", "1e3". Pure.
#pragma once

#include <optional>
#include <string_view>

namespace dbproxy::webhook {

// The quantity as a number; none where the text is no quantity, is negative, or is too long to be one.
std::optional<double> parse_quantity(std::string_view text);

}  // namespace dbproxy::webhook
