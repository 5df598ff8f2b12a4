#include "operator/webhook/pod.hpp"

namespace dbproxy::webhook {

std::vector<Container> containers_of(const json::object& pod) {
  std::vector<Container> out;
  for (const char* list : {"initContainers", "containers"}) {
    const json::array* items = kubernetes::array_at(pod, {"spec", list});
    if (items == nullptr) continue;
    for (std::size_t i = 0; i < items->size(); ++i) {
      const json::object* container = (*items)[i].if_object();
      if (container == nullptr) continue;
      out.push_back({container, "/spec/" + std::string(list) + "/" + std::to_string(i),
                     std::string_view(list) == "initContainers"});
    }
  }
  return out;
}

std::string_view label_of(const json::object& pod, std::string_view name) {
  return kubernetes::text_at(pod, {"metadata", "labels", name});
}

std::string_view annotation_of(const json::object& pod, std::string_view name) {
  return kubernetes::text_at(pod, {"metadata", "annotations", name});
}

bool has_env(const json::object& container, std::string_view name) {
  const json::array* env = kubernetes::array_at(container, {"env"});
  if (env == nullptr) return false;
  for (const json::value& item : *env) {
    const json::object* variable = item.if_object();
    if (variable != nullptr && kubernetes::text_at(*variable, {"name"}) == name) return true;
  }
  return false;
}

bool flag_at(const json::object& pod, std::initializer_list<std::string_view> path) {
  const json::value* value = kubernetes::value_at(pod, path);
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    const std::size_t begin = item.find_first_not_of(" \t");
    if (begin == std::string_view::npos) continue;
    item = item.substr(begin, item.find_last_not_of(" \t") - begin + 1);
    out.emplace_back(item);
  }
  return out;
}

}  // namespace dbproxy::webhook
