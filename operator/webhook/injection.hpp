// Injection: a pod and the DBProxies that it asks for → what has to be added to it, or why it is refused.
//
// Pure, and the same for the webhook and for `dbproxyctl inject`. The patch only adds: nothing of the pod is written
// again or moved, and a pod that has everything already gets an empty one. The sidecar's arguments are the pod's
// binding to its DBProxies (docs/decisions/0005 has manifest mode's way); the operator reads them from the pod's
// immutable spec.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/webhook/json_patch.hpp"
#include "proxy/manifest/loader.hpp"

namespace dbproxy::webhook {

inline constexpr std::string_view kInjectLabel = "dbproxy.io/inject";
inline constexpr std::string_view kProxiesAnnotation = "dbproxy.io/proxies";
inline constexpr std::string_view kContainerName = "dbproxy";
inline constexpr std::uint16_t kAdminPort = 9930;
// "true": applications get keys of AWS from the sidecar, which then knows what tokens of theirs are signed with.
inline constexpr std::string_view kCredentialsAnnotation = "dbproxy.io/aws-credentials";
inline constexpr std::uint16_t kCredentialsPort = 9934;
inline constexpr std::size_t kMaxProxiesPerPod = 16;

struct BoundEndpoint {
  std::string name;  // "default" or that of a DBProxyEndpoint
  std::uint16_t port = 0;
};

// What a pod has to know of a DBProxy that it is bound to.
struct BoundProxy {
  std::string name;
  config::EngineFamily engine = config::EngineFamily::kPostgresql;
  bool pod_identity = false;
  bool loopback_tcp = false;  // PodIdentity over TCP too
  manifest::PodSelector pod_selector;
  std::vector<BoundEndpoint> endpoints;       // the default one first
  std::vector<std::uint16_t> database_ports;  // outbound, for service meshes
};

// The DBProxy of that namespace and name, or none; then `error` says why nobody can know, and "" that there is none.
using FindProxy = std::function<std::optional<BoundProxy>(const std::string& name_space, const std::string& name,
                                                          std::string& error)>;
std::optional<BoundProxy> find_in(const manifest::Manifests& manifests, const std::string& name_space,
                                  const std::string& name);

struct Settings {
  std::string image = "dbproxy:latest";
  std::string image_pull_policy;                                       // empty: Kubernetes' default
  std::string operator_address = "dbproxy-operator.dbproxy.svc:9931";  // HOST:PORT
  std::string ca_config_map = "dbproxy-operator-ca";                   // in the pod's namespace, key ca.pem
  bool native = true;  // false: an ordinary container, for clusters before native sidecars
  std::string cpu_request = "20m", memory_request = "48Mi", memory_limit = "256Mi";
  std::string guaranteed_cpu = "250m", guaranteed_memory = "256Mi";  // in pods of the class Guaranteed
};

struct Decision {
  enum class Kind { kPatch, kNothing, kRefuse };
  Kind kind = Kind::kNothing;
  json::array patch;                  // of kPatch; not empty
  std::string reason;                 // of kRefuse and kNothing, a sentence
  std::vector<std::string> warnings;  // for whoever makes the pod
};

Decision inject(const json::object& pod, const std::string& name_space, const Settings& settings,
                const FindProxy& find_proxy);

}  // namespace dbproxy::webhook
