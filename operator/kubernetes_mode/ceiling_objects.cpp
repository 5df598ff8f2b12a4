#include "operator/kubernetes_mode/ceiling_objects.hpp"

#include <algorithm>

#include "proxy/base/log.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kAttempt{5000};
constexpr const char* kKey = "ceilings";

kubernetes::ObjectRef ref_of(const std::string& proxy) {
  const std::size_t slash = proxy.find('/');
  return {{"", "v1", "configmaps"}, proxy.substr(0, slash), "dbproxy-ceilings-" + proxy.substr(slash + 1)};
}

json::object object_of(const std::string& proxy, const std::string& uid, const std::string& text) {
  const kubernetes::ObjectRef ref = ref_of(proxy);
  json::object metadata{{"name", ref.name},
                        {"namespace", ref.name_space},
                        {"labels", json::object{{"app.kubernetes.io/managed-by", "dbproxy-operator"}}}};
  if (!uid.empty()) {
    metadata["ownerReferences"] = json::array{json::object{{"apiVersion", "dbproxy.io/v1alpha1"},
                                                           {"kind", "DBProxy"},
                                                           {"name", proxy.substr(proxy.find('/') + 1)},
                                                           {"uid", uid}}};
  }
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata", std::move(metadata)},
          {"data", json::object{{kKey, text}}}};
}

}  // namespace

CeilingObjects::CeilingObjects(kubernetes::Client& client, std::function<std::string(const std::string&)> uid_of,
                               const Clock& clock)
    : client_(client), uid_of_(std::move(uid_of)), clock_(clock) {}

Result<operator_control::CeilingStore::Kept> CeilingObjects::load(const std::string& proxy) {
  const auto found = kubernetes::get(client_, ref_of(proxy));
  Kept kept;
  if (found.has_value()) {
    const Result<Kept> read = operator_control::read_ceilings(std::string(kubernetes::text_at(*found, {"data", kKey})));
    if (read.has_error()) {
      kubernetes::Failure failure;
      failure.kind = kubernetes::Failure::Kind::kMalformed;
      failure.message = "the ConfigMap " + ref_of(proxy).name + " is not as the operator wrote it: delete it";
      failed(proxy, failure);
      return read.error();
    }
    kept = read.value();
    versions_[proxy] = kubernetes::resource_version_of(*found);
  } else if (found.error().not_found()) {
    versions_[proxy].clear();
  } else {
    failed(proxy, found.error());
    return boost::system::errc::make_error_code(boost::system::errc::io_error);
  }
  // Also when the object was lost, and sidecars have seen higher ones than it ever knew.
  const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall().time_since_epoch()).count();
  kept.epoch = std::max(kept.epoch + 1, static_cast<std::uint64_t>(std::max<std::int64_t>(time, 1)));
  return kept;
}

operator_control::CeilingStore::Saved CeilingObjects::save(const std::string& proxy, std::uint64_t epoch,
                                                           const operator_budget::Ceilings& ceilings) {
  const std::string text = operator_control::write_ceilings(epoch, ceilings);
  json::object object = object_of(proxy, uid_of_(proxy), text);
  std::string& version = versions_[proxy];
  const kubernetes::ObjectRef ref = ref_of(proxy);
  if (!version.empty()) object["metadata"].get_object()["resourceVersion"] = version;
  const auto written = version.empty() ? kubernetes::create(client_, ref, object, nullptr, kAttempt)
                                       : kubernetes::merge_patch(client_, ref, object);
  if (written.has_value()) {
    version = kubernetes::resource_version_of(*written);
    troubles_.erase(proxy);
    return Saved::kInForce;
  }
  if (written.error().conflict()) return compare(proxy, text);
  if (written.error().not_found() && !version.empty()) return Saved::kSuperseded;  // somebody deleted it
  return failed(proxy, written.error());
}

// Perhaps it was this one's own write that was there already.
operator_control::CeilingStore::Saved CeilingObjects::compare(const std::string& proxy, const std::string& wanted) {
  const auto found = kubernetes::get(client_, ref_of(proxy));
  if (found.has_error()) {
    return found.error().not_found() ? Saved::kSuperseded : failed(proxy, found.error());
  }
  if (kubernetes::text_at(*found, {"data", kKey}) != wanted) return Saved::kSuperseded;
  versions_[proxy] = kubernetes::resource_version_of(*found);
  return Saved::kInForce;
}

operator_control::CeilingStore::Saved CeilingObjects::failed(const std::string& proxy,
                                                             const kubernetes::Failure& failure) {
  const std::string text = failure.text();
  if (std::exchange(troubles_[proxy], text) != text) {
    log::warn("budget", "ceilings cannot be kept: nothing more is granted until they can",
              {{"proxy", proxy}, {"error", text}});
  }
  return Saved::kLater;
}

}  // namespace dbproxy::kubernetes_mode
