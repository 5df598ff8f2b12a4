// OperatorView as JSON: {"source": "operator", "items": […]}, names in the API's camelCase.
#pragma once

#include <string>

#include "operator/admin/view.hpp"

namespace dbproxy::operator_admin {

std::string proxies_json(const OperatorView& view);
std::string targets_json(const OperatorView& view);
std::string sidecars_json(const OperatorView& view);
std::string diagnostics_json(const OperatorView& view);

}  // namespace dbproxy::operator_admin
