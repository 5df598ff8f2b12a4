// From manifests and what is observed to what sidecars are told. Pure functions.
//
//   Desired desired = make_desired(manifests);        // once per change of the manifests, which must be ok()
//   monitor.set(cluster(desired.proxies[i]));         // whom to ask
//   make_snapshots(desired, observations);            // on each change of either
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "proxy/config/snapshot.hpp"
#include "proxy/manifest/loader.hpp"
#include "proxy/topology/observation.hpp"

namespace dbproxy::plan {

// One DBProxy with all references resolved. Its targets are those of the manifest: REGISTERING, nothing known.
struct DesiredProxy {
  std::string key;  // "namespace/name"
  config::Snapshot snapshot;
  // Of each of the snapshot's users the secret that it is from, by secretRef or secretArn; empty: there is none.
  std::vector<std::string> secrets = {};
  std::chrono::seconds monitor_idle{0};  // without clients for so long databases are not asked; 0: always
  std::string account = {};  // "namespace/name" of a service account by whose role they are asked; empty: none
  bool may_sign = true;      // tokens for users with AuthScheme::kIam may be made with the rights of whoever plans
};

struct Desired {
  std::vector<DesiredProxy> proxies;  // by key
};

// By proxy key, as topology::Monitor reports them.
using Observations = std::map<std::string, std::vector<topology::Observation>>;

// What a secret that is no object of Kubernetes holds.
struct LoginSecret {
  std::string username;
  Secret password;
  Secret previous = {};  // what its password was before; empty: not known
};
// For an entry with a secretArn; none: it is not known (yet), and its user is left out.
using SecretLookup =
    std::function<std::optional<LoginSecret>(const manifest::DBProxyResource& proxy, const manifest::AuthEntry& auth)>;

Desired make_desired(const manifest::Manifests& manifests, const SecretLookup& lookup = {});

// Whom to ask for role and limits, with the credentials of the proxy's users.
topology::Cluster cluster(const DesiredProxy& proxy);

// `version` is left 0. A target that nobody has seen yet is REGISTERING; observations of others are ignored. Where the
// cluster itself told of its members, those are the targets.
config::Snapshot make_snapshot(const DesiredProxy& desired, const std::vector<topology::Observation>& observed);
std::vector<config::Snapshot> make_snapshots(const Desired& desired, const Observations& observed);

// "orders.cluster-abc.us-east-2.rds.amazonaws.com" gives "?.abc.us-east-2.rds.amazonaws.com"; empty for other hosts.
std::string instance_pattern(const std::string& cluster_endpoint);

// What a cluster without a list of instances is called as a target: the first label of its DNS name, an address as
// it stands, and the last part of a socket directory's path.
std::string target_id(const std::string& host);

}  // namespace dbproxy::plan
