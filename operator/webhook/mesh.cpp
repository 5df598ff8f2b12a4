#include "operator/webhook/mesh.hpp"

#include <algorithm>

namespace dbproxy::webhook {
namespace {

bool has_container(const json::object& pod, std::string_view name) {
  const auto containers = containers_of(pod);
  return std::any_of(containers.begin(), containers.end(), [&](const Container& c) { return c.name() == name; });
}

}  // namespace

std::vector<std::pair<std::string, std::string>> mesh_annotations(const json::object& pod,
                                                                  const std::vector<std::uint16_t>& outbound,
                                                                  std::uint16_t inbound) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto extend = [&](const std::string& key, const std::vector<std::uint16_t>& ports) {
    std::string value(annotation_of(pod, key));
    bool changed = false;
    for (const std::uint16_t port : ports) {
      const std::vector<std::string> have = split_list(value);
      if (std::find(have.begin(), have.end(), std::to_string(port)) != have.end()) continue;
      value += (value.empty() ? "" : ",") + std::to_string(port);
      changed = true;
    }
    if (changed) out.emplace_back(key, value);
  };
  const bool istio = label_of(pod, "sidecar.istio.io/inject") == "true" ||
                     annotation_of(pod, "sidecar.istio.io/inject") == "true" ||
                     !annotation_of(pod, "sidecar.istio.io/status").empty() || has_container(pod, "istio-proxy");
  if (istio) {
    extend("traffic.sidecar.istio.io/excludeOutboundPorts", outbound);
    extend("traffic.sidecar.istio.io/excludeInboundPorts", {inbound});
  }
  const std::string_view linkerd = annotation_of(pod, "linkerd.io/inject");
  if (linkerd == "enabled" || linkerd == "ingress" || has_container(pod, "linkerd-proxy")) {
    extend("config.linkerd.io/skip-outbound-ports", outbound);
    extend("config.linkerd.io/skip-inbound-ports", {inbound});
  }
  return out;
}

}  // namespace dbproxy::webhook
