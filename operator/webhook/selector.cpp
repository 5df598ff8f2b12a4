#include "operator/webhook/selector.hpp"

#include <algorithm>

namespace dbproxy::webhook {
namespace {

const boost::json::string* value_of(const boost::json::object* labels, const std::string& key) {
  const boost::json::value* value = labels == nullptr ? nullptr : labels->if_contains(key);
  return value == nullptr ? nullptr : value->if_string();
}

}  // namespace

bool selects(const manifest::PodSelector& selector, const boost::json::object* labels) {
  for (const auto& [key, wanted] : selector.match_labels) {
    const auto* value = value_of(labels, key);
    if (value == nullptr || std::string_view(*value) != wanted) return false;
  }
  for (const auto& requirement : selector.match_expressions) {
    const auto* value = value_of(labels, requirement.key);
    const bool listed = value != nullptr && std::find(requirement.values.begin(), requirement.values.end(),
                                                      std::string_view(*value)) != requirement.values.end();
    // NotIn takes pods without the label, as apimachinery's labels.Requirement does.
    const bool holds = requirement.op == "In"       ? listed
                       : requirement.op == "NotIn"  ? !listed
                       : requirement.op == "Exists" ? value != nullptr
                                                    : value == nullptr;
    if (!holds) return false;
  }
  return true;
}

}  // namespace dbproxy::webhook
