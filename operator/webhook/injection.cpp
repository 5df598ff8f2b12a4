#include "operator/webhook/injection.hpp"

#include <algorithm>
#include <set>

#include "operator/webhook/mesh.hpp"
#include "operator/webhook/refusals.hpp"
#include "operator/webhook/sidecar.hpp"
#include "proxy/http/address.hpp"
#include "proxy/manifest/diagnostic.hpp"

namespace dbproxy::webhook {
namespace {

using manifest::in_quotes;
using Variables = std::vector<std::pair<std::string, std::string>>;

// Containers that belong to a mesh are no application.
bool is_application(const Container& container) {
  const std::string_view name = container.name();
  return name != kContainerName && name != "istio-proxy" && name != "istio-init" && name != "istio-validation" &&
         name != "linkerd-proxy" && name != "linkerd-init";
}

// Of several DBProxies the first of each engine is what a client finds without being told.
Variables variables_of(const std::vector<BoundProxy>& proxies) {
  Variables out;
  const auto first = [&](config::EngineFamily engine) {
    return std::find_if(proxies.begin(), proxies.end(), [&](const BoundProxy& p) { return p.engine == engine; });
  };
  if (const auto proxy = first(config::EngineFamily::kPostgresql); proxy != proxies.end()) {
    const bool socket = proxy->pod_identity && !proxy->loopback_tcp;
    out.emplace_back("PGHOST", socket ? std::string(kSocketDirectory) : "127.0.0.1");
    out.emplace_back("PGPORT", std::to_string(proxy->endpoints.front().port));
  }
  if (const auto proxy = first(config::EngineFamily::kMysql); proxy != proxies.end()) {
    out.emplace_back("MYSQL_HOST", "127.0.0.1");
    out.emplace_back("MYSQL_TCP_PORT", std::to_string(proxy->endpoints.front().port));
  }
  return out;
}

// With keys of its own an SDK does not ask the sidecar.
bool has_own_keys(const Container& container) {
  for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                           "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                           "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"}) {
    if (has_env(*container.object, name)) return true;
  }
  return false;
}

// It has what an injection before has given it.
bool names_sidecar(const Container& container) {
  const json::array* env = kubernetes::array_at(*container.object, {"env"});
  return env != nullptr && std::any_of(env->begin(), env->end(), [](const json::value& item) {
           return item.is_object() && kubernetes::text_at(item.get_object(), {"value"}) == kCredentialsTokenFile;
         });
}

Variables credential_variables() {
  return {
      {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:" + std::to_string(kCredentialsPort) + "/credentials"},
      {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", std::string(kCredentialsTokenFile)}};
}

class Patch {
 public:
  void add(std::string path, json::value value) { out_.emplace_back(add_operation(std::move(path), std::move(value))); }

  // To the list at `path`, which is made where the pod has none.
  void append(const json::object& parent, const char* name, const std::string& path, const json::array& items) {
    if (items.empty()) return;
    if (kubernetes::array_at(parent, {name}) == nullptr) return add(path, items);
    for (const json::value& item : items) add(path + "/-", item);
  }

  void annotate(const json::object& pod, const std::vector<std::pair<std::string, std::string>>& annotations) {
    if (annotations.empty()) return;
    if (kubernetes::object_at(pod, {"metadata", "annotations"}) != nullptr) {
      for (const auto& [key, value] : annotations)
        add("/metadata/annotations/" + pointer_token(key), json::string(value));
      return;
    }
    json::object all;
    for (const auto& [key, value] : annotations) all[key] = std::string_view(value);
    if (kubernetes::object_at(pod, {"metadata"}) == nullptr)
      return add("/metadata", json::object{{"annotations", all}});
    add("/metadata/annotations", all);
  }

  json::array take() { return std::move(out_); }

 private:
  json::array out_;
};

bool mounts(const Container& container, std::string_view volume, std::string_view path) {
  const json::array* list = kubernetes::array_at(*container.object, {"volumeMounts"});
  if (list == nullptr) return false;
  return std::any_of(list->begin(), list->end(), [&](const json::value& item) {
    return item.is_object() && (kubernetes::text_at(item.get_object(), {"name"}) == volume ||
                                kubernetes::text_at(item.get_object(), {"mountPath"}) == path);
  });
}

void add_to_application(const json::object& pod, const Settings& settings, const Variables& variables, Patch& patch) {
  for (const Container& container : containers_of(pod)) {
    if (!is_application(container)) continue;
    json::array mounted;
    if (!mounts(container, kSocketVolume, kSocketDirectory)) mounted.push_back(socket_mount(true));
    if (!mounts(container, kCaVolume, kCaDirectory)) mounted.push_back(ca_mount());
    patch.append(*container.object, "volumeMounts", container.path + "/volumeMounts", mounted);
    // An ordinary container is not up yet while init containers run.
    if (container.init && !settings.native) continue;
    json::array missing;
    Variables wanted = variables;
    if (lends_credentials(pod) && !has_own_keys(container)) {
      for (auto& each : credential_variables()) wanted.push_back(std::move(each));
    }
    for (const auto& [name, value] : wanted) {
      if (!has_env(*container.object, name))
        missing.push_back(json::object{{"name", std::string_view(name)}, {"value", std::string_view(value)}});
    }
    patch.append(*container.object, "env", container.path + "/env", missing);
  }
}

void add_volumes(const json::object& pod, const Settings& settings, Patch& patch) {
  const json::array* have = kubernetes::array_at(pod, {"spec", "volumes"});
  json::array missing;
  for (json::value& volume : sidecar_volumes(settings)) {
    const std::string_view name = kubernetes::text_at(volume.get_object(), {"name"});
    const bool there = have != nullptr && std::any_of(have->begin(), have->end(), [&](const json::value& item) {
                         return item.is_object() && kubernetes::text_at(item.get_object(), {"name"}) == name;
                       });
    if (!there) missing.push_back(std::move(volume));
  }
  const json::object* spec = kubernetes::object_at(pod, {"spec"});
  patch.append(*spec, "volumes", "/spec/volumes", missing);
}

void warn(const json::object& pod, const std::vector<BoundProxy>& proxies, const Variables& variables,
          std::vector<std::string>& out) {
  if (flag_at(pod, {"spec", "shareProcessNamespace"})) {
    out.emplace_back("dbproxy: shareProcessNamespace lets every container of the pod see and signal the sidecar");
  }
  if (flag_at(pod, {"spec", "hostNetwork"})) {
    out.emplace_back("dbproxy: with hostNetwork every pod and process of the node reaches the sidecar's ports");
  }
  for (const Container& container : containers_of(pod)) {
    if (!is_application(container)) continue;
    if (kubernetes::array_at(*container.object, {"envFrom"}) != nullptr && !variables.empty()) {
      out.push_back("dbproxy: container " + in_quotes(container.name()) + " takes variables with envFrom; " +
                    variables.front().first + " is set to the sidecar, whatever they say");
    }
    if (lends_credentials(pod) && has_own_keys(container) && !names_sidecar(container)) {
      out.push_back("dbproxy: container " + in_quotes(container.name()) +
                    " has keys of AWS of its own, and does not take the sidecar's (dbproxy.io/aws-credentials)");
    }
    const json::array* ports = kubernetes::array_at(*container.object, {"ports"});
    if (ports == nullptr) continue;
    for (const json::value& item : *ports) {
      if (!item.is_object()) continue;
      const auto port = kubernetes::integer_at(item.get_object(), {"containerPort"});
      bool taken = port == kAdminPort || (port == kCredentialsPort && lends_credentials(pod));
      for (const BoundProxy& proxy : proxies) {
        for (const BoundEndpoint& endpoint : proxy.endpoints) taken = taken || port == endpoint.port;
      }
      if (taken) {
        out.push_back("dbproxy: container " + in_quotes(container.name()) + " declares the port " +
                      std::to_string(*port) + ", on which the sidecar listens");
      }
    }
  }
}

bool bound_to_all(const json::object& sidecar, const std::string& name_space, const std::vector<BoundProxy>& proxies) {
  const json::array* args = kubernetes::array_at(sidecar, {"args"});
  std::set<std::string> have;
  for (const json::value& arg : *args) {
    if (!arg.is_string()) continue;
    const std::string_view text = arg.get_string();
    if (text.starts_with("--proxy=")) have.emplace(text.substr(8));
  }
  return std::all_of(proxies.begin(), proxies.end(),
                     [&](const BoundProxy& proxy) { return have.contains(name_space + "/" + proxy.name); });
}

Decision decided(Decision::Kind kind, std::string reason) {
  return {kind, {}, std::move(reason), {}};
}

}  // namespace

std::optional<BoundProxy> find_in(const manifest::Manifests& manifests, const std::string& name_space,
                                  const std::string& name) {
  const manifest::DBProxyResource* proxy = manifests.find_proxy(name_space, name);
  if (proxy == nullptr) return std::nullopt;
  BoundProxy out;
  out.name = name;
  out.engine = proxy->engine_family;
  out.pod_identity = proxy->client_auth == manifest::ClientAuth::kPodIdentity;
  out.loopback_tcp = proxy->allow_loopback_tcp;
  out.pod_selector = proxy->pod_selector;
  out.endpoints.push_back({"default", proxy->port});
  for (const auto& endpoint : manifests.endpoints) {
    if (endpoint.metadata.name_space != name_space || endpoint.db_proxy_name != name) continue;
    out.endpoints.push_back({endpoint.metadata.name, endpoint.port});
  }
  out.database_ports.push_back(proxy->cluster.port);
  for (const auto& instance : proxy->cluster.instances) out.database_ports.push_back(instance.port);
  return out;
}

Decision inject(const json::object& pod, const std::string& name_space, const Settings& settings,
                const FindProxy& find_proxy) {
  using Kind = Decision::Kind;
  const std::string_view label = label_of(pod, kInjectLabel);
  if (label.empty() || label == "false") return decided(Kind::kNothing, "the pod has no label dbproxy.io/inject");
  if (kubernetes::object_at(pod, {"spec"}) == nullptr) return decided(Kind::kRefuse, "the pod has no spec");

  std::string error;
  const std::vector<std::string> names = wanted_proxies(pod, error);
  if (error.empty()) error = refuse_pod(pod, settings);
  if (!error.empty()) return decided(Kind::kRefuse, error);
  std::vector<BoundProxy> proxies;
  for (const std::string& name : names) {
    std::optional<BoundProxy> proxy = find_proxy(name_space, name, error);
    if (!error.empty()) {
      return decided(Kind::kRefuse, "DBProxy " + in_quotes(name) + " cannot be looked up just now: " + error);
    }
    if (!proxy) {
      return decided(Kind::kRefuse, "there is no DBProxy " + in_quotes(name) + " in namespace " + name_space +
                                        ": make it first, or correct the label dbproxy.io/inject");
    }
    proxies.push_back(std::move(*proxy));
  }
  error = refuse_proxies(pod, proxies);
  json::object resources = resources_of(pod, settings, error);
  if (!error.empty()) return decided(Kind::kRefuse, error);

  const json::object* sidecar = present_sidecar(pod);
  if (sidecar != nullptr && !bound_to_all(*sidecar, name_space, proxies)) {
    return decided(Kind::kRefuse,
                   "the pod has a sidecar that is bound to other DBProxies than its label names: remove " +
                       std::string("the container \"dbproxy\", and it is injected anew"));
  }

  Decision out;
  Patch patch;
  std::vector<std::uint16_t> outbound;
  for (const BoundProxy& proxy : proxies) {
    outbound.insert(outbound.end(), proxy.database_ports.begin(), proxy.database_ports.end());
  }
  if (const auto address = http::parse_address(settings.operator_address)) outbound.push_back(address->port);
  auto annotations = mesh_annotations(pod, outbound, kAdminPort);
  const Variables variables = variables_of(proxies);
  add_volumes(pod, settings, patch);
  add_to_application(pod, settings, variables, patch);
  if (sidecar == nullptr) {
    const char* list = settings.native ? "initContainers" : "containers";
    const std::string path = std::string("/spec/") + list;
    json::object container = sidecar_container(pod, name_space, settings, proxies, std::move(resources));
    const json::array* others = kubernetes::array_at(pod, {"spec", list});
    // In front of the others, and last in the patch, so that the paths above are those of the pod as it came.
    if (others == nullptr) {
      patch.add(path, json::array{std::move(container)});
    } else {
      patch.add(path + "/0", std::move(container));
    }
    // kubectl logs and exec take the first container where nothing tells them which is meant.
    constexpr std::string_view kDefault = "kubectl.kubernetes.io/default-container";
    if (!settings.native && others != nullptr && !others->empty() && others->front().is_object() &&
        annotation_of(pod, kDefault).empty()) {
      annotations.emplace_back(kDefault, kubernetes::text_at(others->front().get_object(), {"name"}));
    }
  }
  patch.annotate(pod, annotations);
  out.patch = patch.take();
  warn(pod, proxies, variables, out.warnings);
  if (out.patch.empty()) {
    out.reason = "the pod has its sidecar already";
    return out;
  }
  out.kind = Kind::kPatch;
  return out;
}

}  // namespace dbproxy::webhook
