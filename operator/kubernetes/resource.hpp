// Resource: a kind of the API as it is addressed, and the paths and queries that this makes. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dbproxy::kubernetes {

struct Resource {
  std::string group;  // "" for the core group
  std::string version;
  std::string plural;

  // "dbproxies.dbproxy.io", "pods"
  std::string name() const { return group.empty() ? plural : plural + "." + group; }
};

// Empty parts are left out: all namespaces, the collection, the object itself.
std::string path_of(const Resource& resource, std::string_view name_space, std::string_view name = {},
                    std::string_view subresource = {});

using Query = std::vector<std::pair<std::string, std::string>>;
// "?a=b&c=d", percent-encoded (RFC 3986), without the pairs whose value is empty; "" where nothing is left.
std::string query_text(const Query& query);

}  // namespace dbproxy::kubernetes
