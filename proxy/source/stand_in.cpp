#include "proxy/source/stand_in.hpp"

#include <algorithm>
#include <random>
#include <utility>

#include "proxy/base/log.hpp"
#include "proxy/plan/plan.hpp"

namespace dbproxy::source {

using config::TargetHealth;
using config::TargetRole;

namespace {

Duration up_to_twice(Duration least) {
  std::uniform_real_distribution<double> more(1.0, 2.0);
  std::random_device random;
  return std::chrono::duration_cast<Duration>(least * more(random));
}

topology::Cluster cluster_of(const std::string& proxy, const config::Snapshot& snapshot) {
  topology::Cluster cluster = plan::cluster({proxy, snapshot});
  for (const config::Target& target : snapshot.targets) {
    const bool invalid = target.reason == config::HealthReason::kInvalidReplicationState;
    if (target.role == TargetRole::kReadWrite && target.health != TargetHealth::kRegistering && !invalid) {
      cluster.writer = target.id;
    } else if (target.role == TargetRole::kReadOnly && target.health == TargetHealth::kAvailable) {
      cluster.readers.push_back(target.id);
    }
  }
  return cluster;
}

}  // namespace

StandIn::StandIn(topology::Prober prober, metrics::Registry& registry, const Clock& clock, StandInOptions options)
    : prober_(std::move(prober)),
      clock_(clock),
      options_(options),
      patience_(up_to_twice(options_.patience)),
      standing_in_(registry.gauge("dbproxy_standing_in",
                                  "DBProxies whose databases this sidecar asks itself, while its operator is away")) {}

StandIn::~StandIn() {
  stop();
}

std::string StandIn::put(config::SnapshotPtr snapshot, Apply apply) {
  const std::string proxy = snapshot->name_space + "/" + snapshot->name;
  const std::lock_guard one(applying_);
  std::string error = apply(snapshot);
  if (!error.empty()) return error;
  const std::lock_guard lock(mutex_);
  Watched& watched = watched_[proxy];
  unwatch(proxy, watched);
  watched.said = std::move(snapshot);
  watched.apply = std::move(apply);
  watch();
  return {};
}

void StandIn::remove(const std::string& proxy) {
  const std::lock_guard one(applying_);
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(proxy);
  if (found == watched_.end()) return;
  unwatch(proxy, found->second);
  watched_.erase(found);
}

void StandIn::operator_is(bool there) {
  const std::lock_guard lock(mutex_);
  if (there) {
    away_since_ = {};
    return;
  }
  if (away_since_ == TimePoint{}) away_since_ = clock_.now();
  watch();
}

void StandIn::trouble(const std::string& proxy) {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(proxy);
  if (found == watched_.end()) return;
  found->second.troubled = clock_.now();
  watch();
  if (found->second.watching && monitor_) monitor_->poke(proxy);
}

bool StandIn::overrides(const std::string& proxy) const {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(proxy);
  return found != watched_.end() && found->second.seen != nullptr;
}

void StandIn::stop() {
  std::unique_ptr<topology::Monitor> monitor;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    monitor = std::move(monitor_);
  }
}

// Something is wrong that the operator has not dealt with, or may not have heard of.
bool StandIn::troubled(const Watched& watched) const {
  if (watched.troubled != TimePoint{} && clock_.now() - watched.troubled < options_.recent_trouble) return true;
  const auto& targets = watched.said->targets;
  return std::any_of(targets.begin(), targets.end(),
                     [](const config::Target& target) { return target.health != TargetHealth::kAvailable; });
}

// With the lock. Whom the monitor is to ask from now on; each stays until the operator has spoken of it.
void StandIn::watch() {
  if (stopped_ || away_since_ == TimePoint{}) return;
  const bool long_away = clock_.now() - away_since_ >= patience_;
  for (auto& [proxy, watched] : watched_) {
    if (watched.watching || !(long_away || troubled(watched))) continue;
    watched.watching = true;
    log::info("topology", "the operator is away: this sidecar asks the databases itself", {{"proxy", proxy}});
    if (!monitor_) {
      monitor_ = std::make_unique<topology::Monitor>(
          prober_, [this](const auto& name, const auto& seen) { observed(name, seen); }, clock_, options_.monitor);
    }
    monitor_->set(cluster_of(proxy, *watched.said));
  }
  count();
}

void StandIn::unwatch(const std::string& proxy, Watched& watched) {
  if (std::exchange(watched.watching, false) && monitor_) monitor_->remove(proxy);
  watched.seen = nullptr;
  count();
}

void StandIn::count() {
  standing_in_.set(static_cast<std::uint64_t>(
      std::count_if(watched_.begin(), watched_.end(), [](const auto& each) { return each.second.watching; })));
}

// What is to be in force instead; none: nothing else than what is.
config::SnapshotPtr StandIn::changed(const std::string& proxy,
                                     const std::vector<topology::Observation>& observations) const {
  // What was not asked yet is as the operator said.
  const bool complete = std::none_of(observations.begin(), observations.end(), [](const topology::Observation& each) {
    return each.health == TargetHealth::kRegistering;
  });
  const auto found = watched_.find(proxy);
  if (stopped_ || !complete || found == watched_.end() || !found->second.watching) return nullptr;
  const Watched& watched = found->second;
  config::Snapshot snapshot = plan::make_snapshot({proxy, *watched.said}, observations);
  if (snapshot.same_content(watched.seen != nullptr ? *watched.seen : *watched.said)) return nullptr;
  return std::make_shared<const config::Snapshot>(std::move(snapshot));
}

void StandIn::observed(const std::string& proxy, const std::vector<topology::Observation>& observations) {
  const std::lock_guard one(applying_);
  config::SnapshotPtr seen;
  Apply apply;
  {
    const std::lock_guard lock(mutex_);
    seen = changed(proxy, observations);
    if (!seen) return;
    apply = watched_.at(proxy).apply;
  }
  if (const std::string error = apply(seen); !error.empty()) {
    log::error("topology", "what was seen here is refused", {{"proxy", proxy}, {"error", error}});
    return;
  }
  const std::lock_guard lock(mutex_);
  if (const auto found = watched_.find(proxy); found != watched_.end()) found->second.seen = std::move(seen);
}

}  // namespace dbproxy::source
