#include "operator/kubernetes_mode/binding.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;
using kubernetes::array_at;
using kubernetes::object_at;
using kubernetes::text_at;

constexpr std::size_t kMostProxies = 64;
constexpr const char* kBound = "dbproxyBound";  // where trim_pod keeps the binding
constexpr const char* kEnded = "dbproxyEnded";  // and that the container has

const json::object* sidecar_of(const json::object& pod) {
  for (const char* list : {"initContainers", "containers"}) {
    const json::array* containers = array_at(pod, {"spec", list});
    if (containers == nullptr) continue;
    for (const json::value& each : *containers) {
      if (each.is_object() && text_at(each.get_object(), {"name"}) == kSidecarContainer) return &each.get_object();
    }
  }
  return nullptr;
}

// As the kubelet says, who has seen it; the phase may be what somebody else concluded.
bool container_ended(const json::object& pod) {
  for (const char* list : {"initContainerStatuses", "containerStatuses"}) {
    const json::array* containers = array_at(pod, {"status", list});
    if (containers == nullptr) continue;
    for (const json::value& each : *containers) {
      if (!each.is_object() || text_at(each.get_object(), {"name"}) != kSidecarContainer) continue;
      return object_at(each.get_object(), {"state", "terminated"}) != nullptr;
    }
  }
  return false;
}

std::vector<std::string> bound_to(const json::object& container) {
  constexpr std::string_view kFlag = "--proxy";
  std::vector<std::string> out;
  for (const char* field : {"command", "args"}) {
    const json::array* words = array_at(container, {field});
    if (words == nullptr) continue;
    for (std::size_t i = 0; i < words->size() && out.size() < kMostProxies; ++i) {
      if (!(*words)[i].is_string()) continue;
      const std::string word((*words)[i].get_string().c_str());
      if (word == kFlag && i + 1 < words->size() && (*words)[i + 1].is_string()) {
        out.emplace_back((*words)[++i].get_string().c_str());
      } else if (word.rfind(std::string(kFlag) + "=", 0) == 0) {
        out.push_back(word.substr(kFlag.size() + 1));
      }
    }
  }
  return out;
}

}  // namespace

PodFacts facts_of(const json::object& pod) {
  PodFacts out;
  out.name_space = text_at(pod, {"metadata", "namespace"});
  out.name = text_at(pod, {"metadata", "name"});
  out.uid = text_at(pod, {"metadata", "uid"});
  out.deadline = text_at(pod, {"metadata", "deletionTimestamp"});
  out.terminating = !out.deadline.empty();
  const std::string_view phase = text_at(pod, {"status", "phase"});
  out.ended = phase == "Succeeded" || phase == "Failed";
  const json::value* kept_end = kubernetes::value_at(pod, {kEnded});
  const bool stopped = kept_end != nullptr ? kept_end->is_bool() && kept_end->get_bool() : container_ended(pod);
  out.sidecar_ended = stopped && (out.ended || out.terminating);
  if (const json::object* labels = object_at(pod, {"metadata", "labels"})) out.labels = *labels;
  if (const json::array* kept = array_at(pod, {kBound})) {
    out.sidecar = true;
    for (const json::value& each : *kept) out.proxies.emplace_back(each.get_string().c_str());
  } else if (const json::object* container = sidecar_of(pod)) {
    out.sidecar = true;
    out.proxies = bound_to(*container);
  }
  return out;
}

json::object trim_pod(json::object pod) {
  json::object metadata;
  for (const char* name : {"namespace", "name", "uid", "resourceVersion", "deletionTimestamp"}) {
    const std::string_view text = text_at(pod, {"metadata", name});
    if (!text.empty()) metadata[name] = text;
  }
  if (const json::object* labels = object_at(pod, {"metadata", "labels"})) metadata["labels"] = *labels;
  json::object out{{"metadata", std::move(metadata)},
                   {"status", json::object{{"phase", text_at(pod, {"status", "phase"})}}}};
  if (const json::object* container = sidecar_of(pod)) {
    json::array bound;
    for (const std::string& proxy : bound_to(*container)) bound.emplace_back(proxy);
    out[kBound] = std::move(bound);
    out[kEnded] = container_ended(pod);
  }
  return out;
}

}  // namespace dbproxy::kubernetes_mode
