// ArnSecrets: what DBProxies take from AWS, joined to the manifests that name it: secrets of Secrets Manager
// (auth[].secretArn), and the members of clusters (dbCluster.identifier). It also remembers what each secret held
// before it was rotated, and since when it does not.
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
#include "proxy/source/clusters.hpp"

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
  // Waits until each of these was asked for, or for so long.
  void wait(const std::string& proxy, std::chrono::milliseconds at_most) const;
  // They were, or it takes too long for others to wait.
  bool settled(const std::string& proxy);
  // A database refused a password of this DBProxy.
  void refused(const std::string& proxy);
  void stop();

  // make_desired with what is known of the secrets now.
  plan::Desired desired(const manifest::Manifests& manifests);
  // What is wrong with secrets and cluster of this DBProxy, as errors of its fields.
  std::vector<manifest::Diagnostic> problems(const manifest::DBProxyResource& proxy) const;

 private:
  // The service account whose role is used, "namespace/name"; "": there is none.
  std::string account_of(const manifest::DBProxyResource& proxy) const;
  aws::SecretKey key_of(const manifest::DBProxyResource& proxy, const manifest::AuthEntry& auth) const;
  std::optional<ClusterKey> cluster_of(const manifest::DBProxyResource& proxy) const;
  std::string refusal(const manifest::DBProxyResource& proxy, const manifest::AuthEntry& auth) const;
  bool may_sign(const manifest::DBProxyResource& proxy) const;
  std::set<aws::SecretKey> keys_of(const manifest::DBProxyResource& proxy) const;
  std::string cluster_refusal(const manifest::DBProxyResource& proxy) const;
  std::string override_refusal(const manifest::DBProxyResource& proxy) const;
  void use_members(const manifest::DBProxyResource& proxy, plan::DesiredProxy& desired) const;
  static bool fits(const std::string& engine, config::EngineFamily family);
  void add_iam_problem(const manifest::DBProxyResource& proxy, std::size_t entry,
                       std::vector<manifest::Diagnostic>& out) const;
  void add_account_problem(const manifest::DBProxyResource& proxy, std::vector<manifest::Diagnostic>& out) const;
  void add_cluster_problem(const manifest::DBProxyResource& proxy, std::vector<manifest::Diagnostic>& out) const;
  void remember_logins(plan::DesiredProxy& desired);

  const Clock& clock_;
  const aws::Grants grants_;
  const std::shared_ptr<aws::ServiceAccounts> accounts_;
  std::mutex mutex_;
  std::map<std::string, std::chrono::steady_clock::time_point> known_;  // since when
  std::map<std::string, std::vector<config::User>> last_users_;
  struct Login {
    std::string user;
    Secret password;
    bool operator==(const Login&) const = default;
  };
  struct Rotation {
    Login current, previous;
    WallTime at{};  // when the one came in the other's place
  };
  static void allow_previous(const Rotation& rotation, config::User& user, const config::Snapshot& snapshot);
  std::map<std::string, std::map<std::string, Rotation>> rotations_;  // by DBProxy and secret
  Clusters clusters_;                                                 // the last two: they call back
  aws::SecretStore store_;
};

}  // namespace dbproxy::source
