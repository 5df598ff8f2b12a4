// KubernetesSource: DBProxies and DBProxyEndpoints of the API server in, versioned snapshots out.
//
// Each DBProxy is read together with its endpoints and what it refers to, by the code that reads manifests from files;
// what is wrong with one concerns no other. A broken edit changes nothing: the last good version stays, and `state` has
// the reasons. Nothing is called back until all that exists has been read once. Of those that could not be made good
// then, `unknown` tells: they exist, and sidecars keep what they have.
//
// Threads: two watches, those of References, one that reconciles, and the Assembler's. All methods are thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "operator/kubernetes/reflector.hpp"
#include "operator/kubernetes/work_queue.hpp"
#include "operator/kubernetes_mode/proxy_object.hpp"
#include "operator/kubernetes_mode/references.hpp"
#include "proxy/manifest/loader.hpp"
#include "proxy/source/arn_secrets.hpp"
#include "proxy/source/assembler.hpp"

namespace dbproxy::kubernetes_mode {

// What is known of one DBProxy besides its snapshot. Immutable once it is shared.
struct ProxyState {
  std::string key, uid;
  std::int64_t generation = 0;
  std::vector<manifest::Diagnostic> diagnostics;  // without file and line
  std::optional<manifest::PodSelector> selector;  // none: it is broken, and admits nobody
  bool good = false;                              // some version of it is in force
  std::optional<WallTime> debug_until;            // debugLogging is set, and turns itself off then
  bool debug_ended = false;                       // that was
};
using ProxyStatePtr = std::shared_ptr<const ProxyState>;

class KubernetesSource {
 public:
  using Callback = std::function<void(const source::Snapshots& changed, const std::vector<std::string>& unknown)>;

  // `policy`: which addresses targets may have.
  // `debug_for`: how long debugLogging lasts.
  KubernetesSource(kubernetes::Client& client, topology::Prober prober, Callback on_snapshots,
                   std::function<void()> on_state, config::EndpointPolicy policy, source::ArnSecretsOptions secrets,
                   std::chrono::seconds debug_for, metrics::Registry& registry, const Clock& clock);
  ~KubernetesSource();  // stops
  KubernetesSource(const KubernetesSource&) = delete;
  KubernetesSource& operator=(const KubernetesSource&) = delete;

  void start();
  void stop();

  // Everything is read again where it is another than before.
  void set_endpoint_policy(config::EndpointPolicy policy);
  // By what databases are known where a DBProxy names no CA, and always where tokens are sent to them; empty: there is
  // none, and such a DBProxy is not accepted.
  void set_installation_ca(std::string pem);
  // Times that a DBProxy was refused for the address of a target.
  std::uint64_t endpoints_refused() const { return endpoints_refused_; }

  // `refused`: a password, so that secrets of AWS are read again too.
  void poke(const std::string& proxy, bool refused = false);
  // As source::Assembler; before everything has been read nothing.
  void use(const std::map<std::string, topology::Use>& proxies);
  void expect_use() { assembler_->expect_use(); }
  bool pause(const std::string& proxy, std::chrono::seconds at_most, bool hand_over) {
    return assembler_->pause(proxy, at_most, hand_over);
  }
  bool resume(const std::string& proxy) { return assembler_->resume(proxy); }
  bool reconnect(const std::string& proxy) { return assembler_->reconnect(proxy); }
  bool ready() const { return started_; }  // all that exists has been read once
  source::Snapshots snapshots() const { return assembler_->snapshots(); }
  ProxyStatePtr state(const std::string& proxy) const;
  std::map<std::string, ProxyStatePtr> states() const;
  // The object itself, with its status as the API server has it; none: it is gone.
  kubernetes::ObjectPtr object(const std::string& proxy) const { return proxies_->store().get(proxy); }

  const kubernetes::Reflector& proxies() const { return *proxies_; }
  const kubernetes::Reflector& endpoints() const { return *endpoints_; }
  References::Totals references() const { return references_.totals(); }

 private:
  enum class Done { kDone, kNotYet, kFailed };

  void run();
  Done reconcile(const std::string& key);
  Done read(const std::string& key, const kubernetes::json::object& object);
  void gone(const std::string& key);
  void begin();
  void endpoint_changed(const kubernetes::Change& change);
  void account_changed(const std::string& account);
  void reference_changed(const std::string& kind, const std::string& key);
  void use(const std::string& key, Uses uses);
  std::vector<kubernetes::ObjectPtr> endpoints_of(const std::string& key) const;
  static std::string name_space_of(const std::string& key);
  bool add_references(const Uses& uses, const std::string& name_space, std::vector<manifest::Source>& sources,
                      std::string& failed);
  void set_state(ProxyState state);
  config::EndpointPolicy endpoint_policy() const;
  std::string installation_ca() const;
  void limit_debugging(const kubernetes::json::object& object, const ProxyStatePtr& before, ProxyState& state);

  const Callback on_snapshots_;
  const std::function<void()> on_state_;
  const std::chrono::seconds debug_for_;
  const Clock& clock_;
  kubernetes::WorkQueue queue_;
  const std::shared_ptr<aws::ServiceAccounts> accounts_;
  std::unique_ptr<source::ArnSecrets> secrets_;
  std::unique_ptr<source::Assembler> assembler_;
  References references_;
  std::unique_ptr<kubernetes::Reflector> proxies_, endpoints_;
  std::atomic<bool> started_{false};
  std::atomic<std::uint64_t> endpoints_refused_{0};

  mutable std::mutex mutex_;
  config::EndpointPolicy policy_;
  std::string installation_ca_;
  std::map<std::string, ProxyStatePtr> states_;
  std::map<std::string, Uses> uses_;                      // by DBProxy
  std::map<std::string, std::set<std::string>> members_;  // DBProxy → its endpoints
  // Of the thread that reconciles.
  std::set<std::string> read_;  // at least once
  std::thread thread_;
};

}  // namespace dbproxy::kubernetes_mode
