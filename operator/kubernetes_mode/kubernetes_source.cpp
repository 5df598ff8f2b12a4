#include "operator/kubernetes_mode/kubernetes_source.hpp"

#include "proxy/base/log.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;
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

std::string proxy_of(const json::object& endpoint) {
  return std::string(text_at(endpoint, {"metadata", "namespace"})) + "/" +
         std::string(text_at(endpoint, {"spec", "dbProxyName"}));
}

}  // namespace

std::string KubernetesSource::name_space_of(const std::string& key) {
  return key.substr(0, key.find('/'));
}

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
