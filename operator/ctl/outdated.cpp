#include "operator/ctl/outdated.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <ostream>
#include <tuple>
#include <utility>
#include <vector>

#include "operator/ctl/commands.hpp"
#include "operator/ctl/table.hpp"
#include "operator/kubernetes/json.hpp"
#include "operator/kubernetes/resource.hpp"

namespace dbproxy::ctl {
namespace {

namespace json = boost::json;
using kubernetes::array_at;
using kubernetes::text_at;

constexpr const char* kImageFlag = "--sidecar-image=";
constexpr const char* kInjectLabel = "dbproxy.io/inject";
constexpr const char* kContainer = "dbproxy";

kubernetes::Outcome<std::vector<json::object>> list(kubernetes::Client& client, const std::string& path,
                                                    const std::string& selector) {
  std::vector<json::object> out;
  std::string more;
  do {
    kubernetes::Request request;
    request.target = path + kubernetes::query_text({{"labelSelector", selector}, {"limit", "500"}, {"continue", more}});
    auto page = client.send_json(request);
    if (page.has_error()) return page.error();
    if (json::value* items = page->if_contains("items"); items != nullptr && items->is_array()) {
      for (json::value& each : items->get_array()) {
        if (each.is_object()) out.push_back(std::move(each.get_object()));
      }
    }
    more = text_at(*page, {"metadata", "continue"});
  } while (!more.empty());
  return out;
}

const json::object* container(const json::object& pod, const std::string& name) {
  for (const char* kind : {"initContainers", "containers"}) {
    const json::array* all = array_at(pod, {"spec", kind});
    for (std::size_t i = 0; all != nullptr && i < all->size(); ++i) {
      const json::object* each = (*all)[i].if_object();
      if (each != nullptr && text_at(*each, {"name"}) == name) return each;
    }
  }
  return nullptr;
}

// What the operator gives to new pods; none: it gives nothing.
std::optional<std::string> injected_image(const json::object& deployment) {
  const json::array* all = array_at(deployment, {"spec", "template", "spec", "containers"});
  for (std::size_t i = 0; all != nullptr && i < all->size(); ++i) {
    const json::object* each = (*all)[i].if_object();
    const json::array* words = each == nullptr ? nullptr : array_at(*each, {"args"});
    for (std::size_t j = 0; words != nullptr && j < words->size(); ++j) {
      if (!(*words)[j].is_string()) continue;
      const std::string word((*words)[j].get_string());
      if (word.starts_with(kImageFlag)) return word.substr(std::string_view(kImageFlag).size());
    }
  }
  return std::nullopt;
}

struct Workload {
  std::string name_space, kind, name;  // kind: as kubectl has it
  bool operator<(const Workload& other) const {
    return std::tie(name_space, kind, name) < std::tie(other.name_space, other.kind, other.name);
  }
};

// By whom the pod was made. A Deployment's pods belong to a ReplicaSet, whose name is the Deployment's with a hash.
Workload workload_of(const json::object& pod) {
  Workload out{std::string(text_at(pod, {"metadata", "namespace"})), "pod",
               std::string(text_at(pod, {"metadata", "name"}))};
  const json::array* owners = array_at(pod, {"metadata", "ownerReferences"});
  for (std::size_t i = 0; owners != nullptr && i < owners->size(); ++i) {
    const json::object* owner = (*owners)[i].if_object();
    const json::value* leads = owner == nullptr ? nullptr : owner->if_contains("controller");
    if (leads == nullptr || !leads->is_bool() || !leads->get_bool()) continue;
    out.kind = text_at(*owner, {"kind"});
    out.name = text_at(*owner, {"name"});
    const std::string hash = "-" + std::string(text_at(pod, {"metadata", "labels", "pod-template-hash"}));
    if (out.kind == "ReplicaSet" && hash.size() > 1 && out.name.ends_with(hash)) {
      out.kind = "Deployment";
      out.name.resize(out.name.size() - hash.size());
    }
    std::transform(out.kind.begin(), out.kind.end(), out.kind.begin(), [](unsigned char c) { return std::tolower(c); });
  }
  return out;
}

std::string remedy(const Workload& of) {
  const std::string kubectl = "kubectl -n " + printable(of.name_space) + " ";
  const std::string name = printable(of.kind) + "/" + printable(of.name);
  if (of.kind == "deployment" || of.kind == "statefulset" || of.kind == "daemonset") {
    return kubectl + "rollout restart " + name;
  }
  if (of.kind == "job") return "# " + name + " in " + printable(of.name_space) + " ends by itself; its next run is new";
  if (of.kind == "pod") return kubectl + "delete " + name + "    # and make it again";
  return "# " + name + " in " + printable(of.name_space) + ": restart it as its controller wants it";
}

}  // namespace

int outdated(kubernetes::Client& client, const std::string& name_space, std::ostream& out, std::ostream& err) {
  const auto fail = [&err](const std::string& what) {
    err << "error: " << printable(what) << "\n";
    return kRefused;
  };
  const auto deployments =
      list(client, kubernetes::path_of({"apps", "v1", "deployments"}, ""), "app.kubernetes.io/name=dbproxy-operator");
  if (deployments.has_error()) return fail(deployments.error().text());
  std::optional<std::string> image;
  for (const json::object& each : *deployments) {
    if (!image) image = injected_image(each);
  }
  if (!image) {
    return fail(
        "no operator here gives sidecars to pods: install the chart with webhook.enabled=true, or give the "
        "right --kubeconfig");
  }
  const auto pods = list(client, kubernetes::path_of({"", "v1", "pods"}, name_space), kInjectLabel);
  if (pods.has_error()) return fail(pods.error().text());

  std::map<std::pair<Workload, std::string>, std::size_t> found;
  std::size_t current = 0;
  for (const json::object& pod : *pods) {
    const std::string_view phase = text_at(pod, {"status", "phase"});
    const json::object* sidecar = container(pod, kContainer);
    if (sidecar == nullptr || phase == "Succeeded" || phase == "Failed") continue;
    const std::string runs(text_at(*sidecar, {"image"}));
    if (runs == *image) {
      ++current;
    } else {
      ++found[{workload_of(pod), runs}];
    }
  }
  if (found.empty()) {
    out << "All " << current << " pods run " << printable(*image) << ".\n";
    return kOk;
  }
  Table table({{"NAMESPACE"}, {"WORKLOAD"}, {"PODS"}, {"SIDECAR"}});
  std::string commands, last;
  for (const auto& [which, count] : found) {
    const auto& [workload, runs] = which;
    table.add({workload.name_space, workload.kind + "/" + workload.name, std::to_string(count), runs});
    const std::string command = remedy(workload);
    if (command != last) commands += command + "\n";
    last = command;
  }
  out << table.print({}) << "\nNew pods get " << printable(*image) << ". When it suits:\n\n" << commands;
  return kOk;
}

}  // namespace dbproxy::ctl
