#include "operator/kubernetes/lease.hpp"

#include <algorithm>
#include <limits>

namespace dbproxy::kubernetes {
namespace {

constexpr std::size_t kMaxText = 253;

// The object under `name`, made where there is none.
json::object& child(json::object& parent, std::string_view name) {
  json::value& value = parent[json::string_view(name.data(), name.size())];
  if (!value.is_object()) value.emplace_object();
  return value.get_object();
}

}  // namespace

void LeaseView::observe(const json::object& lease, TimePoint now) {
  holder_ = text_at(lease, {"spec", "holderIdentity"}).substr(0, kMaxText);
  address_ = text_at(lease, {"metadata", "annotations", kAddressAnnotation}).substr(0, kMaxText);
  const std::int64_t seconds = integer_at(lease, {"spec", "leaseDurationSeconds"}).value_or(0);
  duration_ = std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, 3600));
  std::string version(resource_version_of(lease));
  version += "/" + std::string(text_at(lease, {"metadata", "uid"}));
  if (version == version_) return;
  version_ = std::move(version);
  changed_ = now;
}

json::object claimed_lease(const LeaseClaim& claim, const json::object* now, WallTime wall) {
  json::object out = now == nullptr ? json::object() : *now;
  out["apiVersion"] = "coordination.k8s.io/v1";
  out["kind"] = "Lease";
  json::object& metadata = child(out, "metadata");
  metadata["namespace"] = claim.name_space;
  metadata["name"] = claim.name;
  metadata.erase("managedFields");
  child(metadata, "annotations")[kAddressAnnotation] = claim.address;
  json::object& spec = child(out, "spec");
  if (text_at(spec, {"holderIdentity"}) != claim.identity) {
    const std::int64_t transitions = std::clamp<std::int64_t>(integer_at(spec, {"leaseTransitions"}).value_or(0), 0,
                                                              std::numeric_limits<std::int32_t>::max() - 1);
    spec["leaseTransitions"] = now == nullptr ? 0 : transitions + 1;
    spec["acquireTime"] = micro_time(wall);
  }
  spec["holderIdentity"] = claim.identity;
  spec["leaseDurationSeconds"] = claim.duration.count();
  spec["renewTime"] = micro_time(wall);
  return out;
}

json::object released_lease(const json::object& now, WallTime wall) {
  json::object out = now;
  json::object& metadata = child(out, "metadata");
  metadata.erase("managedFields");
  child(metadata, "annotations")[kAddressAnnotation] = "";
  json::object& spec = child(out, "spec");
  spec["holderIdentity"] = "";
  spec["leaseDurationSeconds"] = 1;  // the API takes no 0
  spec["renewTime"] = micro_time(wall);
  return out;
}

}  // namespace dbproxy::kubernetes
