#include "proxy/source/clusters.hpp"

#include <algorithm>

#include "proxy/aws/sts.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::source {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{2'000};
constexpr milliseconds kLongestPause{300'000};
constexpr milliseconds kBetweenPokes{5'000};

}  // namespace

Clusters::Clusters(aws::Environment environment, std::shared_ptr<aws::ServiceAccounts> accounts, milliseconds poll,
                   Changed changed, const Clock& clock)
    : environment_(environment),
      poll_(poll),
      changed_(std::move(changed)),
      clock_(clock),
      principals_(std::move(environment), clock, std::move(accounts)) {}

Clusters::~Clusters() {
  stop();
}

ClusterState Clusters::ask(const ClusterKey& key) {
  ClusterState out;
  out.asked = true;
  const std::string region = key.region.empty() ? aws::region_of(environment_) : key.region;
  const auto credentials = principals_.of({key.role_arn, key.account, key.sts_url, region});
  const auto keys = credentials->get();
  if (!keys.ok()) {
    out.failure = keys.failure;
    return out;
  }
  auto told = aws::describe_cluster(environment_, key.identifier, region, key.rds_url, *keys.value, clock_.wall());
  if (told.failure.kind == aws::Failure::Kind::kDenied) credentials->forget();
  out.failure = told.failure;
  if (told.ok()) out.cluster = std::move(told.value);
  return out;
}

// With the lock. True where it is another than before.
bool Clusters::keep(const ClusterKey& key, Slot& slot, ClusterState fresh) {
  const ClusterState before = slot.state;
  slot.last = SteadyClock::now();
  const double factor = std::uniform_real_distribution<double>(0.8, 1.2)(random_);
  if (fresh.failure) {
    slot.pause = std::clamp(slot.pause * 2, kFirstPause, kLongestPause);
    if (!fresh.cluster) fresh.cluster = before.cluster;
    if (!(before.failure == fresh.failure)) {
      log::warn("aws", "cannot ask RDS for a cluster",
                {{"cluster", key.identifier},
                 {"error", aws::to_text(fresh.failure)},
                 {"last_answer_stays", fresh.cluster.has_value()}});
    }
  } else {
    slot.pause = milliseconds(0);
    if (before.cluster != fresh.cluster) {
      log::info("aws", "RDS tells of a cluster",
                {{"cluster", key.identifier},
                 {"endpoint", fresh.cluster->endpoint},
                 {"members", fresh.cluster->members.size()}});
    }
  }
  const milliseconds next = fresh.failure ? slot.pause : poll_;
  slot.due = slot.last + milliseconds(static_cast<milliseconds::rep>(static_cast<double>(next.count()) * factor));
  slot.state = std::move(fresh);
  return before.asked != slot.state.asked || before.cluster != slot.state.cluster ||
         !(before.failure == slot.state.failure);
}

void Clusters::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto next = std::min_element(slots_.begin(), slots_.end(),
                                       [](const auto& a, const auto& b) { return a.second.due < b.second.due; });
    if (next == slots_.end()) {
      wake_.wait(lock);
      continue;
    }
    if (const auto due = next->second.due; due > SteadyClock::now()) {
      wake_.wait_until(lock, due);
      continue;
    }
    const ClusterKey key = next->first;
    lock.unlock();
    ClusterState fresh = ask(key);
    lock.lock();
    const auto slot = slots_.find(key);
    if (slot == slots_.end()) continue;  // nobody wants it any more
    const bool news = keep(key, slot->second, std::move(fresh));
    const std::set<std::string> owners = slot->second.owners;
    wake_.notify_all();
    if (!news) continue;
    lock.unlock();
    changed_(owners);
    lock.lock();
  }
}

void Clusters::want(const std::string& owner, const std::optional<ClusterKey>& key) {
  const std::lock_guard lock(mutex_);
  slots_.want(owner, key ? std::set<ClusterKey>{*key} : std::set<ClusterKey>{}, SteadyClock::now());
  if (key && !stopping_ && !thread_.joinable()) thread_ = std::thread([this] { run(); });
  wake_.notify_all();
}

ClusterState Clusters::state(const ClusterKey& key) const {
  const std::lock_guard lock(mutex_);
  return slots_.state(key);
}

bool Clusters::wait(const std::string& owner, milliseconds at_most) const {
  std::unique_lock lock(mutex_);
  return wake_.wait_for(lock, at_most, [&] { return stopping_ || slots_.asked(owner); });
}

void Clusters::poke(const std::string& owner) {
  const std::lock_guard lock(mutex_);
  for (auto& [key, slot] : slots_) {
    if (slot.owners.contains(owner))
      slot.due = std::min(slot.due, std::max(SteadyClock::now(), slot.last + kBetweenPokes));
  }
  wake_.notify_all();
}

void Clusters::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace dbproxy::source
