#include "operator/kubernetes_mode/kubernetes_source.hpp"

#include <openssl/crypto.h>

#include "operator/kubernetes_mode/installation_ca.hpp"
#include "proxy/base/log.hpp"
#include "proxy/manifest/loader.hpp"
#include "proxy/net/address_policy.hpp"
#include "proxy/plan/plan.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;
using kubernetes::array_at;
using kubernetes::text_at;
using std::chrono::milliseconds;

constexpr milliseconds kNotYet{50};  // until a watch that has just begun is looked at again
constexpr const char* kBegin = "";   // the key under which the queue asks whether all has been read

source::AssemblerOptions assembler_options(const Clock& clock) {
  source::AssemblerOptions out;
  // Numbers grow over restarts and from one leader to the next, without anything being kept.
  const auto since = std::chrono::duration_cast<milliseconds>(clock.wall().time_since_epoch()).count();
  out.first_version = static_cast<std::uint64_t>(std::max<std::int64_t>(since, 0));
  return out;
}

kubernetes::ReflectorOptions watch_of(const std::string& plural) {
  kubernetes::ReflectorOptions out;
  out.resource = {"dbproxy.io", "v1alpha1", plural};
  return out;
}

// What the loader is given of an object: nothing that it would have to ignore.
std::string manifest_text(const json::object& object, const char* kind) {
  json::object out{{"apiVersion", std::string(manifest::kApiVersion)},
                   {"kind", kind},
                   {"metadata", json::object{{"namespace", text_at(object, {"metadata", "namespace"})},
                                             {"name", text_at(object, {"metadata", "name"})}}}};
  if (const json::value* spec = object.if_contains("spec")) out["spec"] = *spec;
  return json::serialize(out);
}

std::string name_space_of(const std::string& key) {
  return key.substr(0, key.find('/'));
}

std::string proxy_of(const json::object& endpoint) {
  return std::string(text_at(endpoint, {"metadata", "namespace"})) + "/" +
         std::string(text_at(endpoint, {"spec", "dbProxyName"}));
}

}  // namespace

KubernetesSource::KubernetesSource(kubernetes::Client& client, topology::Prober prober, Callback on_snapshots,
                                   std::function<void()> on_state, config::EndpointPolicy policy,
                                   source::ArnSecretsOptions secrets, std::chrono::seconds debug_for,
                                   metrics::Registry& registry, const Clock& clock)
    : on_snapshots_(std::move(on_snapshots)),
      on_state_(std::move(on_state)),
      debug_for_(debug_for),
      clock_(clock),
      accounts_(secrets.store.accounts),
      references_(client, [this](const std::string& kind, const std::string& key) { reference_changed(kind, key); }),
      policy_(std::move(policy)) {
  const std::string metrics_prefix = "dbproxy_operator";
  secrets_ = std::make_unique<source::ArnSecrets>(
      std::move(secrets),
      [this](const std::set<std::string>& proxies) {
        for (const std::string& key : proxies) queue_.add(key);
      },
      &registry, metrics_prefix, clock);
  if (accounts_) accounts_->listen([this](const std::string& account) { account_changed(account); });
  source::AssemblerOptions options = assembler_options(clock);
  options.on_refused = [this](const std::string& proxy) { secrets_->refused(proxy); };
  assembler_ = std::make_unique<source::Assembler>(
      std::move(options), std::move(prober),
      [this, first = true](const source::Snapshots& changed) mutable {
        std::vector<std::string> unknown;
        if (std::exchange(first, false)) {
          for (const auto& [key, state] : states()) {
            if (!state->good) unknown.push_back(key);
          }
        }
        on_snapshots_(changed, unknown);
        if (on_state_) on_state_();
      },
      clock);
  proxies_ =
      std::make_unique<kubernetes::Reflector>(client, watch_of("dbproxies"), [this](const kubernetes::Change& change) {
        // A status that was written is no reason to look.
        const bool same = change.before && change.after &&
                          kubernetes::integer_at(*change.before, {"metadata", "generation"}) ==
                              kubernetes::integer_at(*change.after, {"metadata", "generation"}) &&
                          text_at(*change.before, {"metadata", "uid"}) == text_at(*change.after, {"metadata", "uid"});
        if (!same) queue_.add(change.key);
      });
  endpoints_ = std::make_unique<kubernetes::Reflector>(
      client, watch_of("dbproxyendpoints"), [this](const kubernetes::Change& change) { endpoint_changed(change); });
}

KubernetesSource::~KubernetesSource() {
  stop();
}

void KubernetesSource::set_endpoint_policy(config::EndpointPolicy policy) {
  const std::lock_guard lock(mutex_);
  if (policy_ == policy) return;
  policy_ = std::move(policy);
  for (const auto& [key, state] : states_) queue_.add(key);
}

config::EndpointPolicy KubernetesSource::endpoint_policy() const {
  const std::lock_guard lock(mutex_);
  return policy_;
}

void KubernetesSource::set_installation_ca(std::string pem) {
  const std::lock_guard lock(mutex_);
  if (installation_ca_ == pem) return;
  installation_ca_ = std::move(pem);
  for (const auto& [key, state] : states_) queue_.add(key);
}

std::string KubernetesSource::installation_ca() const {
  const std::lock_guard lock(mutex_);
  return installation_ca_;
}

// What can be said of hosts as they are written; their addresses are looked at at every connect.
void KubernetesSource::check_endpoints(const manifest::DBProxyResource& proxy, std::vector<manifest::Diagnostic>& out) {
  const net::AddressPolicy policy(endpoint_policy());
  const auto check = [&](const std::string& field, const std::string& host) {
    if (host.empty()) return;
    const std::string why = policy.refuse_host(host);
    if (why.empty()) return;
    manifest::Diagnostic refused;
    refused.object = "DBProxy " + proxy.metadata.key();
    refused.field = "spec.targetGroups[0].dbCluster." + field;
    refused.value = manifest::in_quotes(host);
    refused.rule = why;
    refused.remedy = "write the address of a database that this installation lets DBProxies point at";
    out.push_back(std::move(refused));
    ++endpoints_refused_;
  };
  check("endpoint", proxy.cluster.endpoint);
  for (std::size_t i = 0; i < proxy.cluster.instances.size(); ++i) {
    check("instances[" + std::to_string(i) + "].endpoint", proxy.cluster.instances[i].endpoint);
  }
}

void KubernetesSource::start() {
  proxies_->start();
  endpoints_->start();
  queue_.add(kBegin);
  thread_ = std::thread([this] { run(); });
}

void KubernetesSource::stop() {
  if (accounts_) accounts_->listen({});
  queue_.close();
  proxies_->stop();
  endpoints_->stop();
  references_.cancel();
  if (thread_.joinable()) thread_.join();
  references_.stop();
  secrets_->stop();
  assembler_->stop();
}

void KubernetesSource::poke(const std::string& proxy, bool refused) {
  if (refused) secrets_->refused(proxy);
  assembler_->poke(proxy);
}

void KubernetesSource::use(const std::map<std::string, topology::Use>& proxies) {
  if (started_) assembler_->use(proxies);
}

void KubernetesSource::endpoint_changed(const kubernetes::Change& change) {
  {
    const std::lock_guard lock(mutex_);
    if (change.before) members_[proxy_of(*change.before)].erase(change.key);
    if (change.after) members_[proxy_of(*change.after)].insert(change.key);
  }
  if (change.before) queue_.add(proxy_of(*change.before));
  if (change.after) queue_.add(proxy_of(*change.after));
}

// It can be used again, or cannot any more: the conditions of those that use it say so.
void KubernetesSource::account_changed(const std::string& account) {
  for (const auto& [key, object] : proxies_->store().all()) {
    const std::string name(text_at(*object, {"spec", "aws", "serviceAccountName"}));
    if (!name.empty() && name_space_of(key) + "/" + name == account) queue_.add(key);
  }
}

void KubernetesSource::reference_changed(const std::string& kind, const std::string& key) {
  const std::lock_guard lock(mutex_);
  for (const auto& [proxy, uses] : uses_) {
    if ((kind == "Secret" ? uses.secrets : uses.config_maps).contains(key)) queue_.add(proxy);
  }
}

void KubernetesSource::run() {
  while (const std::optional<std::string> key = queue_.take()) {
    if (*key == kBegin) {
      begin();
    } else {
      switch (reconcile(*key)) {
        case Done::kDone:
          queue_.forget(*key);
          read_.insert(*key);
          break;
        case Done::kFailed:
          queue_.add_failed(*key);
          read_.insert(*key);  // it is not known, and waiting for it would keep everyone else waiting
          break;
        case Done::kNotYet:
          queue_.add_after(*key, kNotYet);
          break;
      }
    }
    queue_.done(*key);
  }
}

// The first publication names everything, so it waits for everything.
void KubernetesSource::begin() {
  bool all = proxies_->synced() && endpoints_->synced();
  if (all) {
    for (const auto& [key, object] : proxies_->store().all()) all = all && read_.contains(key);
  }
  if (!all) {
    queue_.add_after(kBegin, kNotYet);
    return;
  }
  log::info("kubernetes", "all DBProxies are read", {{"dbproxies", proxies_->store().size()}});
  assembler_->start();
  started_ = true;
}

KubernetesSource::Done KubernetesSource::reconcile(const std::string& key) {
  if (!endpoints_->synced()) return Done::kNotYet;
  const kubernetes::ObjectPtr object = proxies_->store().get(key);
  if (object) return read(key, *object);
  gone(key);
  return Done::kDone;
}

void KubernetesSource::gone(const std::string& key) {
  ProxyStatePtr state;
  {
    const std::lock_guard lock(mutex_);
    const auto found = states_.find(key);
    if (found == states_.end()) return;
    state = found->second;
    states_.erase(found);
  }
  read_.erase(key);
  use(key, {});
  secrets_->forget(key);
  assembler_->remove(key);
  // The assembler never heard of it; sidecars may have an older version.
  if (!state->good && started_) on_snapshots_({{key, nullptr}}, {});
  if (on_state_) on_state_();
}

void KubernetesSource::use(const std::string& key, Uses uses) {
  std::set<std::string> secrets;
  std::set<std::string> config_maps;
  {
    const std::lock_guard lock(mutex_);
    if (uses.secrets.empty() && uses.config_maps.empty()) {
      uses_.erase(key);
    } else {
      uses_[key] = std::move(uses);
    }
    for (const auto& [proxy, each] : uses_) {
      if (!each.secrets.empty()) secrets.insert(name_space_of(proxy));
      if (!each.config_maps.empty()) config_maps.insert(name_space_of(proxy));
    }
  }
  references_.use(secrets, config_maps);
}

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

KubernetesSource::Done KubernetesSource::read(const std::string& key, const json::object& as_written) {
  const std::string name_space = name_space_of(key);
  json::object object = as_written;
  const std::string installation_ca = this->installation_ca();
  bool replaced_ca = false;
  json::value* spec = object.if_contains("spec");
  const bool refers = !installation_ca.empty() && spec != nullptr && spec->is_object() &&
                      refer_to_installation_ca(spec->get_object(), replaced_ca);
  Uses uses;
  if (const json::array* auth = array_at(object, {"spec", "auth"})) {
    for (const json::value& entry : *auth) {
      if (!entry.is_object()) continue;
      const std::string_view name = text_at(entry.get_object(), {"secretRef", "name"});
      if (!name.empty()) uses.secrets.insert(name_space + "/" + std::string(name));
    }
  }
  if (const json::array* groups = array_at(object, {"spec", "targetGroups"})) {
    for (const json::value& group : *groups) {
      if (!group.is_object()) continue;
      const json::object& fields = group.get_object();
      const std::string_view certificate = text_at(fields, {"dbCluster", "tls", "clientCertificateRef", "name"});
      if (!certificate.empty()) uses.secrets.insert(name_space + "/" + std::string(certificate));
      const std::string_view name = text_at(fields, {"dbCluster", "tls", "caRef", "name"});
      if (name.empty() || name == kInstallationCa) continue;
      const bool secret = text_at(fields, {"dbCluster", "tls", "caRef", "kind"}) == "Secret";
      (secret ? uses.secrets : uses.config_maps).insert(name_space + "/" + std::string(name));
    }
  }
  if (const std::string_view name = text_at(object, {"spec", "clientCert", "caRef", "name"}); !name.empty()) {
    const bool secret = text_at(object, {"spec", "clientCert", "caRef", "kind"}) == "Secret";
    (secret ? uses.secrets : uses.config_maps).insert(name_space + "/" + std::string(name));
  }
  use(key, uses);

  std::vector<manifest::Source> sources{{"", manifest_text(object, "DBProxy")}};
  if (refers) sources.push_back({"", installation_ca_text(name_space, installation_ca)});
  for (const kubernetes::ObjectPtr& endpoint : endpoints_of(key)) {
    sources.push_back({"", manifest_text(*endpoint, "DBProxyEndpoint")});
  }
  std::string failed;
  for (const auto& [kind, names] : {std::pair<const char*, const std::set<std::string>&>{"Secret", uses.secrets},
                                    {"ConfigMap", uses.config_maps}}) {
    for (const std::string& each : names) {
      const References::Found found = references_.get(kind, name_space, each.substr(name_space.size() + 1));
      if (found.kind == References::Found::Kind::kNotYet) return Done::kNotYet;
      if (found.kind == References::Found::Kind::kFailed) failed = std::string(kind) + " " + each + ": " + found.error;
      if (found.text) sources.push_back({"", std::string(found.text->reveal())});
    }
  }
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
    if (manifests.proxies.size() == 1) check_endpoints(manifests.proxies.front(), manifests.diagnostics);
    state.diagnostics = manifests.diagnostics;
    if (replaced_ca) {
      manifest::Diagnostic unused;
      unused.severity = manifest::Severity::kWarning;
      unused.object = "DBProxy " + key;
      unused.field = "spec.targetGroups[0].dbCluster.tls.caRef";
      unused.rule = "is not used: tokens of IAM are sent only to databases that the installation's CA vouches for";
      unused.remedy = "remove it, or have the CA added to rdsCA of the installation";
      state.diagnostics.push_back(std::move(unused));
    }
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
    each.file.clear();
    each.line = each.column = 0;
    broken_selector = broken_selector || each.field.rfind("spec.podSelector", 0) == 0;
  }
  if (!broken_selector && manifests.proxies.size() == 1) {
    state.selector = manifests.proxies.front().pod_selector;
  } else if (before) {
    state.selector = before->selector;
  }
  const bool ok = failed.empty() && manifests.ok() && manifests.proxies.size() == 1;
  if (ok) {
    secrets_->want(manifests.proxies.front());
    if (!secrets_->settled(key)) return Done::kNotYet;
    for (manifest::Diagnostic& each : secrets_->problems(manifests.proxies.front())) {
      each.file.clear();
      each.line = 0;
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

void KubernetesSource::set_state(ProxyState state) {
  const std::lock_guard lock(mutex_);
  const std::string key = state.key;
  states_[key] = std::make_shared<const ProxyState>(std::move(state));
}

ProxyStatePtr KubernetesSource::state(const std::string& proxy) const {
  const std::lock_guard lock(mutex_);
  const auto found = states_.find(proxy);
  return found == states_.end() ? nullptr : found->second;
}

std::map<std::string, ProxyStatePtr> KubernetesSource::states() const {
  const std::lock_guard lock(mutex_);
  return states_;
}

}  // namespace dbproxy::kubernetes_mode
