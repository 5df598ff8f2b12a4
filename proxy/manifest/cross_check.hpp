// Rules across objects: references that have to resolve, ports and users that must not be taken twice.
// Internal to proxy/manifest.
#pragma once

#include <set>
#include <string>

#include "proxy/manifest/loader.hpp"

namespace dbproxy::manifest {

struct CrossContext {
  std::set<std::string> broken;  // "Kind namespace/name" of objects with errors of their own
  bool incomplete = false;       // some document could not be read: what is missing may be in there
};

void cross_check(Manifests& manifests, const CrossContext& context);

}  // namespace dbproxy::manifest
