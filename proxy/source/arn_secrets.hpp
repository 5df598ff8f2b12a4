// ArnSecrets: what DBProxies take from AWS Secrets Manager (auth[].secretArn), joined to the manifests that name it.
//
// A secret that cannot be read costs its own user alone: the others are served, and what was read last stays. Only a
// DBProxy that would be left without any user keeps those that it had. Thread-safe; the callback runs on a thread of
// the store, and must not destroy this.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "proxy/aws/grants.hpp"
#include "proxy/aws/secret_store.hpp"
#include "proxy/manifest/loader.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/plan/plan.hpp"

namespace dbproxy::source {

struct ArnSecretsOptions {
  aws::SecretStoreOptions store;
  aws::Grants grants = aws::Grants::all();
};

class ArnSecrets {
 public:
  using Changed = std::function<void(const std::set<std::string>& proxies)>;  // by "namespace/name"

  // `metrics`: where reads are counted, under the prefix; may be none.
  ArnSecrets(ArnSecretsOptions options, Changed changed, metrics::Registry* metrics, const std::string& metrics_prefix,
             const Clock& clock);

  // These are all DBProxies that there are; or one more, or in another form.
  void want_all(const std::vector<manifest::DBProxyResource>& proxies);
  void want(const manifest::DBProxyResource& proxy);
  void forget(const std::string& proxy);
  // Waits until each of these secrets was asked for, or for so long.
  void wait(const std::string& proxy, std::chrono::milliseconds at_most) const { store_.wait(proxy, at_most); }
  // They were, or it takes too long for others to wait.
  bool settled(const std::string& proxy);
  // A database refused a password of this DBProxy.
  void refused(const std::string& proxy) { store_.poke(proxy); }
  void stop() { store_.stop(); }

  // make_desired with what is known of the secrets now.
  plan::Desired desired(const manifest::Manifests& manifests);
  // What is wrong with secrets of this DBProxy, as errors of its fields.
  std::vector<manifest::Diagnostic> problems(const manifest::DBProxyResource& proxy) const;

 private:
  std::string refusal(const manifest::DBProxyResource& proxy, const manifest::AuthEntry& auth) const;
  bool may_sign(const manifest::DBProxyResource& proxy) const;
  std::set<aws::SecretKey> keys_of(const manifest::DBProxyResource& proxy) const;

  const aws::Grants grants_;
  std::mutex mutex_;
  std::map<std::string, std::chrono::steady_clock::time_point> known_;  // since when
  std::map<std::string, std::vector<config::User>> last_users_;
  aws::SecretStore store_;  // last: it calls back
};

}  // namespace dbproxy::source
