// Service meshes: what their proxies have to leave alone in a pod with a sidecar. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "operator/webhook/pod.hpp"

namespace dbproxy::webhook {

// Annotations that the pod needs on top of its own, with their whole values; none where no mesh is seen on it.
// Connections to databases and to the operator are TLS of their own, which a mesh would wrap or break; probes and
// metrics come from outside of it.
std::vector<std::pair<std::string, std::string>> mesh_annotations(const json::object& pod,
                                                                  const std::vector<std::uint16_t>& outbound,
                                                                  std::uint16_t inbound);

}  // namespace dbproxy::webhook
