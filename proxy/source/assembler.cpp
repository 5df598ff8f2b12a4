#include "proxy/source/assembler.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "proxy/base/log.hpp"
#include "proxy/source/hand_over.hpp"
#include "proxy/source/versions.hpp"

namespace dbproxy::source {
namespace {

using SteadyClock = std::chrono::steady_clock;

}  // namespace

struct Assembler::Impl {
  Impl(AssemblerOptions o, topology::Prober p, Callback c, const Clock& t)
      : options(std::move(o)),
        prober(std::move(p)),
        on_snapshots(std::move(c)),
        clock(t),
        versions(options.versions_file, options.first_version) {}

  void observed(const std::string& proxy, const std::vector<topology::Observation>& seen);
  void run();
  bool settled() const;
  Snapshots collect();
  void mark(const std::string& proxy);
  void mark_cluster(const std::string& proxy);
  void watch();
  config::Snapshot snapshot_of(const plan::DesiredProxy& proxy) const;
  bool order(const std::string& proxy, const std::function<void(config::Maintenance&, std::uint64_t number)>& change);
  SteadyClock::time_point end_pauses();
  void look_for_hand_over(const std::string& proxy);

  const AssemblerOptions options;
  const topology::Prober prober;
  const Callback on_snapshots;
  const Clock& clock;

  mutable std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  std::optional<SteadyClock::time_point> dirty_since;
  std::set<std::string> dirty;
  std::set<std::string> clusters_changed;
  std::map<std::string, plan::DesiredProxy> desired;
  plan::Observations observations;
  Snapshots published;
  std::map<std::string, config::Maintenance> maintenance;
  std::map<std::string, SteadyClock::time_point> paused_until;
  struct Awaited {
    HandOver work;
    std::vector<topology::Member> members;  // of the manifest
  };
  std::map<std::string, Awaited> hand_overs;
  Versions versions;

  std::unique_ptr<topology::Monitor> monitor;
  std::thread thread;
};

// With the lock, as all that touches what is wanted.
void Assembler::Impl::mark(const std::string& proxy) {
  dirty.insert(proxy);
  if (!dirty_since) dirty_since = SteadyClock::now();
  wake.notify_all();
}

void Assembler::Impl::mark_cluster(const std::string& proxy) {
  clusters_changed.insert(proxy);
  mark(proxy);
}

void Assembler::Impl::observed(const std::string& proxy, const std::vector<topology::Observation>& seen) {
  const bool refused = std::any_of(seen.begin(), seen.end(), [](const topology::Observation& each) {
    return each.reason == config::HealthReason::kAuthFailure;
  });
  if (refused && options.on_refused) options.on_refused(proxy);
  const std::lock_guard lock(mutex);
  if (!desired.contains(proxy)) return;  // it went while its database was being asked
  observations[proxy] = seen;
  look_for_hand_over(proxy);
  mark(proxy);
}

// With the lock.
void Assembler::Impl::look_for_hand_over(const std::string& proxy) {
  const auto awaited = hand_overs.find(proxy);
  if (awaited == hand_overs.end() || !awaited->second.work.over(observations[proxy])) return;
  log::info("source", "the planned work is over: its pause ends", {{"proxy", proxy}});
  maintenance[proxy].pause = 0;
  paused_until.erase(proxy);
  hand_overs.erase(awaited);
}

config::Snapshot Assembler::Impl::snapshot_of(const plan::DesiredProxy& proxy) const {
  static const std::vector<topology::Observation> kNothing;
  const auto seen = observations.find(proxy.key);
  config::Snapshot snapshot = plan::make_snapshot(proxy, seen == observations.end() ? kNothing : seen->second);
  if (const auto ordered = maintenance.find(proxy.key); ordered != maintenance.end())
    snapshot.maintenance = ordered->second;
  return snapshot;
}

// The time is the number: it is larger than those of the program that ran before.
bool Assembler::Impl::order(const std::string& proxy,
                            const std::function<void(config::Maintenance&, std::uint64_t number)>& change) {
  const std::lock_guard lock(mutex);
  if (!desired.contains(proxy)) return false;
  config::Maintenance& orders = maintenance[proxy];
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall().time_since_epoch()).count();
  const std::uint64_t paused_by = orders.pause;
  change(orders, std::max({static_cast<std::uint64_t>(now), orders.pause + 1, orders.reconnect + 1}));
  if (orders.pause == 0) {
    paused_until.erase(proxy);
  } else if (orders.pause != paused_by) {
    paused_until[proxy] = SteadyClock::now() + orders.pause_for;
  }
  mark(proxy);
  return true;
}

// With the lock. Those whose time is over end; when the next one will.
SteadyClock::time_point Assembler::Impl::end_pauses() {
  auto next = SteadyClock::time_point::max();
  for (auto it = paused_until.begin(); it != paused_until.end();) {
    if (it->second > SteadyClock::now()) {
      next = std::min(next, it->second);
      ++it;
      continue;
    }
    maintenance[it->first].pause = 0;
    hand_overs.erase(it->first);
    mark(it->first);
    it = paused_until.erase(it);
  }
  return next;
}

// Every target that is wanted has been asked once, with whatever answer.
bool Assembler::Impl::settled() const {
  for (const auto& [key, proxy] : desired) {
    if (!observations.contains(key)) return false;
    for (const config::Target& target : snapshot_of(proxy).targets) {
      if (target.health == config::TargetHealth::kRegistering) return false;
    }
  }
  return true;
}

Snapshots Assembler::Impl::collect() {
  Snapshots changed;
  for (const std::string& key : dirty) {
    const auto wanted = desired.find(key);
    const auto before = published.find(key);
    if (wanted == desired.end()) {
      observations.erase(key);
      maintenance.erase(key);
      paused_until.erase(key);
      hand_overs.erase(key);
      if (before == published.end()) continue;
      published.erase(before);
      changed[key] = nullptr;
      versions.gone(key);
      continue;
    }
    config::Snapshot snapshot = snapshot_of(wanted->second);
    if (before != published.end() && before->second->same_content(snapshot)) continue;
    snapshot.version = versions.assign(snapshot);
    published[key] = changed[key] = std::make_shared<const config::Snapshot>(std::move(snapshot));
  }
  dirty.clear();
  return changed;
}

// Whom to ask, told without the lock: the monitor calls back with its own.
void Assembler::Impl::watch() {
  std::vector<topology::Cluster> set;
  std::vector<std::string> removed;
  {
    const std::lock_guard lock(mutex);
    for (const std::string& key : std::exchange(clusters_changed, {})) {
      const auto found = desired.find(key);
      if (found != desired.end()) {
        set.push_back(plan::cluster(found->second));
        const auto awaited = hand_overs.find(key);
        if (awaited != hand_overs.end() && awaited->second.members != set.back().members) {
          awaited->second.members = set.back().members;
          awaited->second.work.forget();
        }
      } else {
        removed.push_back(key);
      }
    }
  }
  for (topology::Cluster& cluster : set) monitor->set(std::move(cluster));
  for (const std::string& key : removed) monitor->remove(key);
}

void Assembler::Impl::run() {
  watch();
  const auto first_until = SteadyClock::now() + options.first_wait;
  bool first = true;
  std::unique_lock lock(mutex);
  while (!stopping) {
    if (first) {
      wake.wait_until(lock, first_until, [this] { return stopping || !clusters_changed.empty() || settled(); });
    } else {
      const auto next = end_pauses();
      const auto awaited = [this] { return stopping || dirty_since || !clusters_changed.empty(); };
      if (next == SteadyClock::time_point::max()) {
        wake.wait(lock, awaited);
      } else if (!wake.wait_until(lock, next, awaited)) {
        continue;
      }
    }
    if (stopping) return;
    if (!clusters_changed.empty()) {
      lock.unlock();
      watch();
      lock.lock();
      // What came while others were waited for, or told, has been published with them.
      if (first || !dirty_since) continue;
    }
    if (!first) wake.wait_until(lock, *dirty_since + options.coalesce, [this] { return stopping; });
    if (stopping) return;
    dirty_since.reset();
    const Snapshots changed = collect();
    if (changed.empty() && !first) continue;
    first = false;
    lock.unlock();
    versions.save();  // only this thread uses them; before anyone hears of a number
    for (const auto& [key, snapshot] : changed) {
      log::info("source", snapshot ? "snapshot changed" : "DBProxy is gone",
                {{"proxy", key}, {"version", snapshot ? snapshot->version : 0}});
    }
    on_snapshots(changed);
    lock.lock();
  }
}

Assembler::Assembler(AssemblerOptions options, topology::Prober prober, Callback on_snapshots, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(prober), std::move(on_snapshots), clock)) {}

Assembler::~Assembler() {
  stop();
}

void Assembler::set_all(const plan::Desired& desired) {
  const std::lock_guard lock(impl_->mutex);
  for (const auto& [key, proxy] : impl_->desired) impl_->mark_cluster(key);
  impl_->desired.clear();
  for (const plan::DesiredProxy& proxy : desired.proxies) {
    impl_->desired[proxy.key] = proxy;
    impl_->mark_cluster(proxy.key);
  }
  impl_->wake.notify_all();
}

void Assembler::set(plan::DesiredProxy desired) {
  const std::lock_guard lock(impl_->mutex);
  const std::string key = desired.key;
  impl_->desired[key] = std::move(desired);
  impl_->mark_cluster(key);
}

void Assembler::remove(const std::string& proxy) {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->desired.erase(proxy) == 0) return;
  impl_->mark_cluster(proxy);
}

void Assembler::start() {
  Impl* const impl = impl_.get();
  impl->monitor = std::make_unique<topology::Monitor>(
      impl->prober,
      [impl](const std::string& proxy, const std::vector<topology::Observation>& seen) { impl->observed(proxy, seen); },
      impl->clock, impl->options.monitor);
  impl->thread = std::thread([impl] { impl->run(); });
}

void Assembler::stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();  // it uses the monitor
  impl_->monitor.reset();
}

void Assembler::poke(const std::string& proxy) {
  if (impl_->monitor) impl_->monitor->poke(proxy);
}

void Assembler::use(const std::map<std::string, topology::Use>& proxies) {
  if (!impl_->monitor) return;
  for (const auto& [proxy, snapshot] : snapshots()) {
    const auto found = proxies.find(proxy);
    impl_->monitor->use(proxy, found == proxies.end() ? topology::Use::kNone : found->second);
  }
}

void Assembler::expect_use() {
  if (impl_->monitor) impl_->monitor->expect_use();
}

bool Assembler::pause(const std::string& proxy, std::chrono::seconds at_most, bool hand_over) {
  return impl_->order(proxy, [&](config::Maintenance& orders, std::uint64_t number) {
    orders.pause = number;
    orders.pause_for = at_most;
    impl_->hand_overs.erase(proxy);
    if (!hand_over) return;
    impl_->hand_overs.emplace(
        proxy, Impl::Awaited{HandOver(impl_->observations[proxy]), plan::cluster(impl_->desired.at(proxy)).members});
  });
}

bool Assembler::resume(const std::string& proxy) {
  return impl_->order(proxy, [&](config::Maintenance& orders, std::uint64_t) {
    orders.pause = 0;
    impl_->hand_overs.erase(proxy);
  });
}

bool Assembler::reconnect(const std::string& proxy) {
  return impl_->order(proxy, [](config::Maintenance& orders, std::uint64_t number) { orders.reconnect = number; });
}

Snapshots Assembler::snapshots() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->published;
}

}  // namespace dbproxy::source
