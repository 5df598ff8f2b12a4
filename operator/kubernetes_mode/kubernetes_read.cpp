// KubernetesSource: one DBProxy, what it refers to, and what is to be in force for it.
#include <openssl/crypto.h>

#include "operator/kubernetes_mode/kubernetes_source.hpp"
#include "operator/status/installation_ca.hpp"
#include "proxy/base/log.hpp"
#include "proxy/manifest/loader.hpp"
#include "proxy/plan/plan.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;
using kubernetes::text_at;
using std::chrono::milliseconds;

// Said of an object, and not of a place in a file.
void forget_place(manifest::Diagnostic& told) {
  told.file.clear();
  told.line = told.column = 0;
}

}  // namespace

std::vector<kubernetes::ObjectPtr> KubernetesSource::endpoints_of(const std::string& key) const {
  std::set<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    const auto found = members_.find(key);
    if (found != members_.end()) names = found->second;
  }
  std::vector<kubernetes::ObjectPtr> out;
  for (const std::string& name : names) {
    if (kubernetes::ObjectPtr endpoint = endpoints_->store().get(name)) out.push_back(std::move(endpoint));
  }
  return out;
}

// False: not all is known yet. `failed`: what cannot be read, and why.
bool KubernetesSource::add_references(const Uses& uses, const std::string& name_space,
                                      std::vector<manifest::Source>& sources, std::string& failed) {
  for (const auto& [kind, names] : {std::pair<const char*, const std::set<std::string>&>{"Secret", uses.secrets},
                                    {"ConfigMap", uses.config_maps}}) {
    for (const std::string& each : names) {
      const References::Found found = references_.get(kind, name_space, each.substr(name_space.size() + 1));
      if (found.kind == References::Found::Kind::kNotYet) return false;
      if (found.kind == References::Found::Kind::kFailed) failed = std::string(kind) + " " + each + ": " + found.error;
      if (found.text) sources.push_back({"", std::string(found.text->reveal())});
    }
  }
  return true;
}

KubernetesSource::Done KubernetesSource::read(const std::string& key, const json::object& as_written) {
  const std::string name_space = name_space_of(key);
  json::object object = as_written;
  const std::string installation_ca = this->installation_ca();
  operator_status::CaUse ca;
  if (json::value* spec = object.if_contains("spec"); spec != nullptr && spec->is_object()) {
    ca = operator_status::refer_to_installation_ca(spec->get_object(), !installation_ca.empty());
  }
  const Uses uses = uses_of(object, name_space);
  use(key, uses);

  std::vector<manifest::Source> sources{{"", manifest_text(object, "DBProxy")}};
  if (ca.refers) sources.push_back({"", operator_status::installation_ca_text(name_space, installation_ca)});
  for (const kubernetes::ObjectPtr& endpoint : endpoints_of(key)) {
    sources.push_back({"", manifest_text(*endpoint, "DBProxyEndpoint")});
  }
  std::string failed;
  if (!add_references(uses, name_space, sources, failed)) return Done::kNotYet;
  ProxyState state;
  state.key = key;
  state.uid = text_at(object, {"metadata", "uid"});
  state.generation = kubernetes::integer_at(object, {"metadata", "generation"}).value_or(0);
  const ProxyStatePtr before = this->state(key);
  state.good = before && before->good;
  limit_debugging(object, before, state);
  manifest::Manifests manifests;
  if (failed.empty()) {
    manifests = manifest::load_sources(sources);
    if (manifests.proxies.size() == 1) {
      for (manifest::Diagnostic& each : refused_hosts(manifests.proxies.front(), endpoint_policy())) {
        manifests.diagnostics.push_back(std::move(each));
        ++endpoints_refused_;
      }
    }
    state.diagnostics = manifests.diagnostics;
    operator_status::tell_ca_use(ca, key, state.diagnostics);
  } else {
    manifest::Diagnostic unread;
    unread.object = "DBProxy " + key;
    unread.field = "spec.auth.secretRef";
    unread.rule = "cannot be read now: " + failed;
    state.diagnostics.push_back(std::move(unread));
  }
  for (manifest::Source& each : sources) OPENSSL_cleanse(each.text.data(), each.text.size());
  bool broken_selector = false;
  for (manifest::Diagnostic& each : state.diagnostics) {
    forget_place(each);
    broken_selector = broken_selector || each.field.rfind("spec.podSelector", 0) == 0;
  }
  if (!broken_selector && manifests.proxies.size() == 1) {
    state.selector = manifests.proxies.front().pod_selector;
  } else if (before) {
    state.selector = before->selector;
  }
  const bool ok = failed.empty() && !ca.missing && manifests.ok() && manifests.proxies.size() == 1;
  if (ok) {
    secrets_->want(manifests.proxies.front());
    if (!secrets_->settled(key)) return Done::kNotYet;
    for (manifest::Diagnostic& each : secrets_->problems(manifests.proxies.front())) {
      forget_place(each);
      state.diagnostics.push_back(std::move(each));
    }
  }
  if (!ok) {
    for (const manifest::Diagnostic& each : state.diagnostics) {
      if (each.severity == manifest::Severity::kError) log::warn("kubernetes", manifest::to_text(each));
    }
  }
  state.good = state.good || ok;
  const bool debug_ended = state.debug_ended;
  set_state(std::move(state));  // before the snapshot, so that who hears of it finds this
  if (ok) {
    plan::DesiredProxy desired = std::move(secrets_->desired(manifests).proxies.front());
    desired.snapshot.endpoint_policy = endpoint_policy();
    desired.snapshot.server_tls.ca_owner = ca.refers ? config::CaOwner::kInstallation : config::CaOwner::kNamespace;
    if (debug_ended) desired.snapshot.debug_logging = false;
    assembler_->set(std::move(desired));
  }
  if (on_state_) on_state_();
  return failed.empty() ? Done::kDone : Done::kFailed;
}

// The time is kept in the status, so that it survives restarts and changes of the leader; the spec is people's.
void KubernetesSource::limit_debugging(const json::object& object, const ProxyStatePtr& before, ProxyState& state) {
  const json::value* wanted = kubernetes::value_at(object, {"spec", "debugLogging"});
  if (wanted == nullptr || !wanted->is_bool() || !wanted->get_bool()) return;
  const WallTime now = clock_.wall();
  if (before && before->uid == state.uid) state.debug_until = before->debug_until;
  if (!before) state.debug_until = kubernetes::parse_time(text_at(object, {"status", "debugLoggingUntil"}));
  if (!state.debug_until) state.debug_until = now + debug_for_;
  state.debug_ended = *state.debug_until <= now;
  if (state.debug_ended) return;
  // A millisecond more, so that it is over then.
  queue_.add_after(state.key, std::chrono::duration_cast<milliseconds>(*state.debug_until - now) + milliseconds(1));
}

}  // namespace dbproxy::kubernetes_mode
