#include "operator/webhook/refusals.hpp"

#include <algorithm>
#include <map>

#include "operator/webhook/selector.hpp"
#include "operator/webhook/sidecar.hpp"
#include "proxy/manifest/diagnostic.hpp"

namespace dbproxy::webhook {
namespace {

using manifest::in_quotes;

bool is_dns_label(std::string_view text) {
  const auto alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= 63 && alnum(text.front()) && alnum(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return alnum(c) || c == '-'; });
}

bool is_windows(const json::object& pod) {
  return kubernetes::text_at(pod, {"spec", "os", "name"}) == "windows" ||
         kubernetes::text_at(pod, {"spec", "nodeSelector", "kubernetes.io/os"}) == "windows";
}

bool is_reserved(std::string_view volume) {
  return volume == kIdentityVolume || volume == kStateVolume || volume == kSocketVolume || volume == kNoTokenVolume ||
         volume == kCaVolume;
}

std::string refuse_volumes(const json::object& pod) {
  const bool injected = present_sidecar(pod) != nullptr;
  if (const json::array* volumes = kubernetes::array_at(pod, {"spec", "volumes"}); volumes != nullptr && !injected) {
    for (const json::value& item : *volumes) {
      const json::object* volume = item.if_object();
      if (volume == nullptr || !is_reserved(kubernetes::text_at(*volume, {"name"}))) continue;
      return "the pod defines the volume " + in_quotes(kubernetes::text_at(*volume, {"name"})) +
             ", which is reserved for the sidecar: rename it";
    }
  }
  for (const Container& container : containers_of(pod)) {
    if (container.name() == kContainerName) continue;
    const json::array* mounts = kubernetes::array_at(*container.object, {"volumeMounts"});
    if (mounts == nullptr) continue;
    for (const json::value& item : *mounts) {
      const json::object* mount = item.if_object();
      if (mount == nullptr) continue;
      const std::string_view name = kubernetes::text_at(*mount, {"name"});
      if (!is_reserved(name) || (injected && (name == kSocketVolume || name == kCaVolume))) continue;
      return "container " + in_quotes(container.name()) + " mounts the volume " + in_quotes(name) +
             ", which is the sidecar's own: remove the mount";
    }
  }
  return {};
}

}  // namespace

std::vector<std::string> wanted_proxies(const json::object& pod, std::string& error) {
  const std::string label(label_of(pod, kInjectLabel));
  const std::string_view annotation = annotation_of(pod, kProxiesAnnotation);
  std::vector<std::string> names;
  if (label == "true") {
    names = split_list(annotation);
    if (names.empty()) {
      error =
          "label dbproxy.io/inject is \"true\", and annotation dbproxy.io/proxies names no DBProxy: write the names "
          "there, or one name into the label";
    }
  } else {
    names.push_back(label);
    if (!annotation.empty()) {
      error = "label dbproxy.io/inject names " + in_quotes(label) +
              ", and annotation dbproxy.io/proxies is set too: for several DBProxies write \"true\" into the label";
    }
  }
  if (names.size() > kMaxProxiesPerPod) {
    error = "annotation dbproxy.io/proxies names " + std::to_string(names.size()) + " DBProxies, and at most " +
            std::to_string(kMaxProxiesPerPod) + " fit into a pod";
  }
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (!error.empty()) break;
    if (!is_dns_label(name)) {
      error = in_quotes(name) +
              " is not the name of a DBProxy; it is looked for in the pod's own namespace, so write " +
              "the name alone";
    } else if (!seen.insert(name).second) {
      error = "annotation dbproxy.io/proxies names " + in_quotes(name) + " twice: remove one";
    }
  }
  return names;
}

const json::object* present_sidecar(const json::object& pod) {
  for (const Container& container : containers_of(pod)) {
    if (container.name() != kContainerName) continue;
    const json::array* args = kubernetes::array_at(*container.object, {"args"});
    if (args == nullptr) continue;
    for (const json::value& arg : *args) {
      if (arg.is_string() && std::string_view(arg.get_string()).starts_with("--proxy")) return container.object;
    }
  }
  return nullptr;
}

std::string refuse_pod(const json::object& pod, const Settings& settings) {
  if (is_windows(pod)) {
    return "the pod is for Windows, and the sidecar runs on Linux only: remove the label dbproxy.io/inject, and "
           "connect "
           "to a sidecar that is served by another pod or to the database";
  }
  for (const Container& container : containers_of(pod)) {
    if (container.name() == kContainerName && present_sidecar(pod) == nullptr) {
      return "the pod has a container \"dbproxy\", which is the sidecar's name: rename it";
    }
  }
  const std::string_view restart = kubernetes::text_at(pod, {"spec", "restartPolicy"});
  if (!settings.native && !restart.empty() && restart != "Always") {
    return "the pod's restartPolicy is " + std::string(restart.substr(0, 32)) +
           ", and this installation injects ordinary containers (sidecar.native: false), which would keep such a pod "
           "from ever ending: turn native sidecars on (Kubernetes from 1.29), or remove the label";
  }
  const std::string_view keys = annotation_of(pod, kCredentialsAnnotation);
  if (!keys.empty() && keys != "true" && keys != "false")
    return "annotation dbproxy.io/aws-credentials is " + in_quotes(keys.substr(0, 64)) +
           ": write \"true\" or \"false\"";
  if (keys == "true" && flag_at(pod, {"spec", "hostNetwork"})) {
    return "the pod is on the host's network, where the sidecar would give keys of AWS to others: remove hostNetwork "
           "or "
           "the annotation dbproxy.io/aws-credentials";
  }
  return refuse_volumes(pod);
}

std::string refuse_proxies(const json::object& pod, const std::vector<BoundProxy>& proxies) {
  std::map<std::uint16_t, std::string> owners;
  for (const BoundProxy& proxy : proxies) {
    if (!selects(proxy.pod_selector, kubernetes::object_at(pod, {"metadata", "labels"}))) {
      return "DBProxy " + in_quotes(proxy.name) + " does not admit this pod: its podSelector wants other labels";
    }
    if (proxy.pod_identity && flag_at(pod, {"spec", "hostNetwork"})) {
      return "DBProxy " + in_quotes(proxy.name) +
             " has clientAuth: PodIdentity, and the pod is on the host's network, " +
             "where it has no identity of its own: remove hostNetwork, or use clientAuth: Password";
    }
    for (const BoundEndpoint& endpoint : proxy.endpoints) {
      const std::string owner = endpoint.name == "default" ? "DBProxy " + in_quotes(proxy.name)
                                                           : "DBProxyEndpoint " + in_quotes(endpoint.name);
      if (endpoint.port == kAdminPort) {
        return owner + " has the port 9930, which is the sidecar's own: give it another port";
      }
      if (endpoint.port == kCredentialsPort && annotation_of(pod, kCredentialsAnnotation) == "true") {
        return owner + " has the port 9934, where the sidecar gives keys of AWS to applications (annotation " +
               std::string(kCredentialsAnnotation) + "): give it another port";
      }
      const auto [it, fresh] = owners.emplace(endpoint.port, owner);
      if (!fresh) {
        return owner + " has the port " + std::to_string(endpoint.port) + ", which is the port of " + it->second +
               " too: give one of them another port: one sidecar listens on all of them";
      }
    }
  }
  return {};
}

}  // namespace dbproxy::webhook
