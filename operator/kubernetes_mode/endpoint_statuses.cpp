#include "operator/kubernetes_mode/endpoint_statuses.hpp"

#include "operator/kubernetes/objects.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;
using kubernetes::text_at;
using operator_status::EndpointFacts;

constexpr const char* kManager = "dbproxy-operator";
constexpr const char* kApiVersion = "dbproxy.io/v1alpha1";

EndpointFacts facts_of(const json::object& endpoint) {
  EndpointFacts out;
  out.generation = kubernetes::integer_at(endpoint, {"metadata", "generation"}).value_or(0);
  out.name_space = text_at(endpoint, {"metadata", "namespace"});
  out.name = text_at(endpoint, {"metadata", "name"});
  out.proxy = text_at(endpoint, {"spec", "dbProxyName"});
  return out;
}

}  // namespace

kubernetes::Failure apply_status(kubernetes::Client& client, const char* kind, const kubernetes::ObjectRef& ref,
                                 const std::string& uid, json::object status, kubernetes::Canceller& canceller) {
  const json::object body{{"apiVersion", kApiVersion},
                          {"kind", kind},
                          {"metadata", json::object{{"namespace", ref.name_space}, {"name", ref.name}, {"uid", uid}}},
                          {"status", std::move(status)}};
  const auto applied = kubernetes::apply(client, ref, body, kManager, "status", &canceller);
  return applied.has_error() ? applied.error() : kubernetes::Failure{};
}

EndpointStatuses::Counts EndpointStatuses::pass(const std::map<std::string, operator_status::Facts>& proxies,
                                                kubernetes::Canceller& canceller) {
  Counts out;
  const auto all = source_.endpoints().store().all();
  std::erase_if(known_, [&](const auto& each) { return !all.contains(each.first); });
  for (const auto& [key, object] : all) {
    EndpointFacts facts = facts_of(*object);
    const std::string proxy = facts.name_space + "/" + facts.proxy;
    const auto found = proxies.find(proxy);
    if (found != proxies.end()) facts.of_proxy = found->second;
    if (!facts.of_proxy && source_.object(proxy)) continue;  // about to be read
    const auto known = known_.find(key);
    if (known != known_.end() && known->second.object == object && known->second.facts == facts) continue;

    const json::object* before = kubernetes::object_at(*object, {"status"});
    json::object status = operator_status::make_status(facts, before, clock_.wall());
    if (before != nullptr && json::value(*before) == json::value(status)) {
      known_[key] = {object, std::move(facts)};
      continue;
    }
    const std::string uid(text_at(*object, {"metadata", "uid"}));
    const kubernetes::Failure failure = apply_status(
        client_, "DBProxyEndpoint", {{"dbproxy.io", "v1alpha1", "dbproxyendpoints"}, facts.name_space, facts.name}, uid,
        std::move(status), canceller);
    if (failure.cancelled()) return out;
    if (failure.ok()) {
      ++out.written;
      known_[key] = {object, std::move(facts)};  // it comes back as another object, and is compared once more
    } else if (!failure.not_found() && !failure.conflict()) {
      ++out.failed;
      log::warn("kubernetes", "a status was not taken", {{"endpoint", key}, {"error", failure.text()}});
    }
  }
  return out;
}

}  // namespace dbproxy::kubernetes_mode
