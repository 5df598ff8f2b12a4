// Clusters: what RDS says of the database clusters that DBProxies name by their identifiers.
//
// Each is asked about when it is first wanted, every `poll` (with jitter), and at once when somebody has a reason to
// think that it changed (poke; not twice within five seconds). What cannot be asked is tried again ever more slowly,
// from 2 s to 5 minutes; what was told last stays.
//
// Thread-safe. The callback runs on a thread of its own, without the lock, and must not destroy this.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "proxy/aws/principals.hpp"
#include "proxy/aws/rds.hpp"
#include "proxy/aws/slots.hpp"

namespace dbproxy::source {

struct ClusterKey {
  std::string identifier;
  std::string region;  // empty: that of the environment
  std::string role_arn, rds_url, sts_url;
  std::string account = {};  // "namespace/name" of a service account whose role is used; empty: none
  auto operator<=>(const ClusterKey&) const = default;
};

struct ClusterState {
  bool asked = false;
  std::optional<aws::DescribedCluster> cluster;
  aws::Failure failure;  // of the last time
};

class Clusters {
 public:
  using Changed = std::function<void(const std::set<std::string>& owners)>;

  Clusters(aws::Environment environment, std::shared_ptr<aws::ServiceAccounts> accounts, std::chrono::milliseconds poll,
           Changed changed, const Clock& clock);
  ~Clusters();  // stops
  Clusters(const Clusters&) = delete;
  Clusters& operator=(const Clusters&) = delete;

  // The one that the owner wants from now on; or none.
  void want(const std::string& owner, const std::optional<ClusterKey>& key);
  ClusterState state(const ClusterKey& key) const;
  // Waits until the owner's was asked about, or for so long. True if it was, or there is none.
  bool wait(const std::string& owner, std::chrono::milliseconds at_most) const;
  void poke(const std::string& owner);
  void stop();  // waits for what is under way; idempotent

 private:
  using SteadyClock = std::chrono::steady_clock;
  struct Slot {
    std::set<std::string> owners;
    ClusterState state;
    SteadyClock::time_point due{}, last{};
    std::chrono::milliseconds pause{0};
  };
  void run();
  ClusterState ask(const ClusterKey& key);
  bool keep(const ClusterKey& key, Slot& slot, ClusterState fresh);

  const aws::Environment environment_;
  const std::chrono::milliseconds poll_;
  const Changed changed_;
  const Clock& clock_;
  aws::Principals principals_;
  mutable std::mutex mutex_;
  mutable std::condition_variable wake_;
  aws::Slots<ClusterKey, Slot> slots_;
  std::mt19937 random_{std::random_device{}()};
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace dbproxy::source
