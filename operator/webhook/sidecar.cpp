#include "operator/webhook/sidecar.hpp"

#include <algorithm>

#include "operator/webhook/quantity.hpp"

namespace dbproxy::webhook {
namespace {

constexpr std::string_view kIdentityDirectory = "/var/run/secrets/dbproxy";
constexpr std::string_view kAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr std::string_view kStateDirectory = "/var/lib/dbproxy";
constexpr std::int64_t kUser = 29930;  // its own: no image's default, so that file modes keep others out
constexpr std::int64_t kTokenSeconds = 3600;
constexpr std::int64_t kDefaultGrace = 30, kDrainMargin = 5;

json::object env_from_field(const char* name, const char* field) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"apiVersion", "v1"}, {"fieldPath", field}}}}}};
}

json::object probe(const char* path, int period, int failures) {
  return {{"httpGet", {{"path", path}, {"port", kAdminPort}, {"scheme", "HTTP"}}},
          {"periodSeconds", period},
          {"timeoutSeconds", 2},
          {"failureThreshold", failures}};
}

json::object security_context() {
  return {{"allowPrivilegeEscalation", false},
          {"capabilities", {{"drop", json::array{"ALL"}}}},
          {"privileged", false},
          {"readOnlyRootFilesystem", true},
          {"runAsNonRoot", true},
          {"runAsUser", kUser},
          {"runAsGroup", kUser},
          {"seccompProfile", {{"type", "RuntimeDefault"}}}};
}

// Until the application has gone, Kubernetes keeps native sidecars; the margin is for the end itself.
std::int64_t drain_seconds(const json::object& pod) {
  const auto grace = kubernetes::integer_at(pod, {"spec", "terminationGracePeriodSeconds"}).value_or(kDefaultGrace);
  return std::max<std::int64_t>(0, grace - kDrainMargin);
}

json::array arguments(const json::object& pod, const std::string& name_space, const Settings& settings,
                      const std::vector<BoundProxy>& proxies) {
  json::array args;
  const auto add = [&](std::string text) { args.emplace_back(std::move(text)); };
  add("--operator=" + settings.operator_address);
  add("--operator-ca=" + std::string(kIdentityDirectory) + "/ca.pem");
  add("--token-file=" + std::string(kIdentityDirectory) + "/token");
  add("--identity=$(POD_NAMESPACE)/$(POD_NAME)");
  for (const BoundProxy& proxy : proxies) add("--proxy=" + name_space + "/" + proxy.name);
  for (const BoundProxy& proxy : proxies) {
    for (const BoundEndpoint& endpoint : proxy.endpoints) add("--port=" + std::to_string(endpoint.port));
  }
  add("--state-dir=" + std::string(kStateDirectory) + "/state");
  add("--socket-dir=" + std::string(kSocketDirectory));
  if (lends_credentials(pod)) {
    add("--aws-credentials-port=" + std::to_string(kCredentialsPort));
    add("--aws-credentials-token-file=" + std::string(kCredentialsTokenFile));
  }
  add("--admin=[$(POD_IP)]:" + std::to_string(kAdminPort));
  add("--admin-socket=" + std::string(kStateDirectory) + "/admin.sock");
  add("--drain-timeout=" + std::to_string(drain_seconds(pod)));
  add("--log-format=json");
  return args;
}

std::string_view quantity_at(const json::object& container, std::string_view kind, std::string_view name) {
  return kubernetes::text_at(container, {"resources", kind, name});
}

bool same_quantity(std::string_view a, std::string_view b) {
  return a == b || (parse_quantity(a) && parse_quantity(a) == parse_quantity(b));
}

// What the other containers have in common.
struct Neighbours {
  bool guaranteed = true;
  bool cpu_limits = true, memory_limits = true;  // every one of them has it
};

Neighbours neighbours_of(const json::object& pod) {
  Neighbours out;
  bool any = false;
  for (const Container& container : containers_of(pod)) {
    if (container.name() == kContainerName) continue;
    any = true;
    for (const char* name : {"cpu", "memory"}) {
      const std::string_view limit = quantity_at(*container.object, "limits", name);
      const std::string_view request = quantity_at(*container.object, "requests", name);
      if (limit.empty()) (std::string_view(name) == "cpu" ? out.cpu_limits : out.memory_limits) = false;
      // Where a limit is set and no request is, Kubernetes takes the limit.
      if (limit.empty() || (!request.empty() && !same_quantity(request, limit))) out.guaranteed = false;
    }
  }
  if (!any) return {false, false, false};
  return out;
}

}  // namespace

bool lends_credentials(const json::object& pod) {
  return annotation_of(pod, kCredentialsAnnotation) == "true";
}

json::array sidecar_volumes(const Settings& settings) {
  const auto memory = [](std::string_view name, const char* size) -> json::object {
    return {{"name", name}, {"emptyDir", {{"medium", "Memory"}, {"sizeLimit", size}}}};
  };
  const json::object token{
      {"serviceAccountToken",
       {{"audience", "dbproxy-operator"}, {"expirationSeconds", kTokenSeconds}, {"path", "token"}}}};
  // Optional: the operator makes it when it first sees the namespace, and a pod must not wait for that.
  const json::object bundle{{"configMap",
                             {{"name", settings.ca_config_map},
                              {"items", json::array{json::object{{"key", "ca.pem"}, {"path", "ca.pem"}}}},
                              {"optional", true}}}};
  return {json::object{{"name", kIdentityVolume}, {"projected", {{"sources", json::array{token, bundle}}}}},
          json::object{{"name", kCaVolume}, {"projected", {{"sources", json::array{bundle}}}}},
          memory(kStateVolume, "16Mi"), memory(kSocketVolume, "1Mi"), memory(kNoTokenVolume, "64Ki")};
}

json::object socket_mount(bool read_only) {
  json::object mount{{"name", kSocketVolume}, {"mountPath", kSocketDirectory}};
  if (read_only) mount["readOnly"] = true;
  return mount;
}

json::object ca_mount() {
  return {{"name", kCaVolume}, {"mountPath", kCaDirectory}, {"readOnly", true}};
}

json::object sidecar_container(const json::object& pod, const std::string& name_space, const Settings& settings,
                               const std::vector<BoundProxy>& proxies, json::object resources) {
  json::object out{{"name", kContainerName}, {"image", settings.image}};
  if (!settings.image_pull_policy.empty()) out["imagePullPolicy"] = settings.image_pull_policy;
  if (settings.native) out["restartPolicy"] = "Always";
  out["args"] = arguments(pod, name_space, settings, proxies);
  out["env"] = json::array{env_from_field("POD_NAMESPACE", "metadata.namespace"),
                           env_from_field("POD_NAME", "metadata.name"), env_from_field("POD_IP", "status.podIP"),
                           env_from_field("DBPROXY_SERVICE_ACCOUNT", "spec.serviceAccountName")};
  // On the host's network a declared port would be taken from the host.
  if (!flag_at(pod, {"spec", "hostNetwork"})) {
    out["ports"] =
        json::array{json::object{{"name", "dbproxy-metrics"}, {"containerPort", kAdminPort}, {"protocol", "TCP"}}};
  }
  out["resources"] = std::move(resources);
  out["securityContext"] = security_context();
  out["startupProbe"] = probe("/startupz", 1, 120);
  out["livenessProbe"] = probe("/healthz", 10, 3);
  out["readinessProbe"] = probe("/readyz", 2, 2);
  out["volumeMounts"] =
      json::array{json::object{{"name", kIdentityVolume}, {"mountPath", kIdentityDirectory}, {"readOnly", true}},
                  json::object{{"name", kStateVolume}, {"mountPath", kStateDirectory}}, socket_mount(false),
                  json::object{{"name", kNoTokenVolume}, {"mountPath", kAccountDirectory}, {"readOnly", true}}};
  return out;
}

json::object resources_of(const json::object& pod, const Settings& settings, std::string& error) {
  const Neighbours neighbours = neighbours_of(pod);
  const auto annotated = [&](const std::string& name) -> std::string {
    const std::string key = "dbproxy.io/" + name;
    std::string text(annotation_of(pod, key));
    if (text.empty() || parse_quantity(text)) return text;
    if (error.empty()) {
      error = "annotation " + key + ": \"" + text.substr(0, 64) +
              "\" is not a quantity; write it as in 100m for cpu and 64Mi for memory";
    }
    return {};
  };
  json::object requests, limits;
  const auto fill = [&](const std::string& name, std::string request, std::string limit, bool limit_needed) {
    const std::string asked = annotated(name + "-request"), bound = annotated(name + "-limit");
    if (neighbours.guaranteed) {
      // Both are one number in this class. The limit counts where both are given: it is what cannot be exceeded.
      const std::string& guaranteed = name == "cpu" ? settings.guaranteed_cpu : settings.guaranteed_memory;
      request = !bound.empty() ? bound : !asked.empty() ? asked : guaranteed;
      limit = request;
    } else {
      if (!asked.empty()) request = asked;
      if (!bound.empty()) limit = bound;
      if (limit.empty() && limit_needed) limit = name == "cpu" ? settings.guaranteed_cpu : settings.guaranteed_memory;
      // A default must not contradict what was asked for.
      if (!limit.empty() && parse_quantity(request) > parse_quantity(limit)) {
        (bound.empty() ? limit : request) = bound.empty() ? request : bound;
      }
    }
    requests[name] = request;
    if (!limit.empty()) limits[name] = limit;
  };
  fill("cpu", settings.cpu_request, "", neighbours.cpu_limits);
  fill("memory", settings.memory_request, settings.memory_limit, neighbours.memory_limits);
  json::object out{{"requests", std::move(requests)}};
  if (!limits.empty()) out["limits"] = std::move(limits);
  return out;
}

}  // namespace dbproxy::webhook
