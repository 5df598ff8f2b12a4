// A pod as JSON, read without taking anything for granted. Pure; what is returned is good as long as the pod is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/kubernetes/json.hpp"

namespace dbproxy::webhook {

namespace json = boost::json;

struct Container {
  const json::object* object = nullptr;
  std::string path;   // as a JSON Pointer in the pod: "/spec/containers/0"
  bool init = false;  // of initContainers, native sidecars included
  std::string_view name() const { return kubernetes::text_at(*object, {"name"}); }
};

// Init containers first, in their order.
std::vector<Container> containers_of(const json::object& pod);
std::string_view label_of(const json::object& pod, std::string_view name);
std::string_view annotation_of(const json::object& pod, std::string_view name);
bool has_env(const json::object& container, std::string_view name);
bool flag_at(const json::object& pod, std::initializer_list<std::string_view> path);
// "a, b,,c" as its items without blanks around them.
std::vector<std::string> split_list(std::string_view text);

}  // namespace dbproxy::webhook
