// Single objects: get, create, replace, apply, delete. Each is one request of Client and blocks as that does.
#pragma once

#include <string>
#include <string_view>

#include "operator/kubernetes/client.hpp"
#include "operator/kubernetes/resource.hpp"

namespace dbproxy::kubernetes {

struct ObjectRef {
  Resource resource;
  std::string name_space;  // "" for what has none
  std::string name;
};

Outcome<json::object> get(Client& client, const ObjectRef& ref, Canceller* canceller = nullptr);
Outcome<json::object> create(Client& client, const ObjectRef& ref, const json::object& object,
                             Canceller* canceller = nullptr,
                             std::chrono::milliseconds timeout = std::chrono::seconds(30));
// PUT: with a resourceVersion in it, a conflict if it is not the newest any more.
Outcome<json::object> replace(Client& client, const ObjectRef& ref, const json::object& object,
                              Canceller* canceller = nullptr,
                              std::chrono::milliseconds timeout = std::chrono::seconds(30));
// Server-side apply as `manager`, taking over fields that others set. `subresource`: "" or "status".
Outcome<json::object> apply(Client& client, const ObjectRef& ref, const json::object& object, std::string_view manager,
                            std::string_view subresource = {}, Canceller* canceller = nullptr);
Outcome<json::object> merge_patch(Client& client, const ObjectRef& ref, const json::object& patch,
                                  Canceller* canceller = nullptr);

}  // namespace dbproxy::kubernetes
