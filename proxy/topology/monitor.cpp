#include "proxy/topology/monitor.hpp"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <queue>
#include <thread>
#include <utility>

#include "proxy/base/log.hpp"
#include "proxy/topology/policy.hpp"

namespace dbproxy::topology {

using config::HealthReason;
using config::TargetHealth;

namespace {

struct MemberSlot {
  Member member;
  std::string proxy;
  TimePoint due{};  // moved by schedule() alone
  bool in_flight = false;
  bool again = false;         // poked while in flight
  std::string working_user;   // tried first
  TimePoint failing_since{};  // {}: it answered
  Duration pause{};           // of one that has been away for long
  std::string complaint;      // of one that answers
};

struct ClusterSlot {
  Cluster cluster;
  std::uint64_t generation = 0;  // a result of an older one is not applied
  ClusterState state;
  std::vector<std::shared_ptr<MemberSlot>> members;
  std::vector<Observation> told;
  bool ever_told = false;
  TimePoint urgent_until{};
  bool had_writer = false;
};

// When a slot was to be asked; out of date once the slot is due at another time.
struct Appointment {
  TimePoint due;
  std::shared_ptr<MemberSlot> slot;
  bool operator<(const Appointment& other) const { return due > other.due; }  // the earliest is on top of a heap
};

// What a thread takes along to probe without the lock.
struct Job {
  std::string proxy;
  std::uint64_t generation = 0;
  std::shared_ptr<MemberSlot> slot;
  std::string working_user;
  Cluster cluster;
};

void log_changes(const std::string& proxy, const std::vector<Observation>& before,
                 const std::vector<Observation>& after) {
  for (const auto& now : after) {
    auto was = std::find_if(before.begin(), before.end(), [&](const Observation& o) { return o.target == now.target; });
    bool same = was != before.end() && was->health == now.health && was->reason == now.reason && was->role == now.role;
    if (same || now.health == TargetHealth::kRegistering) continue;
    if (now.health == TargetHealth::kAvailable) {
      log::info("topology", "target available",
                {{"proxy", proxy},
                 {"target", now.target},
                 {"role", config::to_string(now.role)},
                 {"max_connections", now.max_connections}});
    } else {
      log::warn("topology", "target unavailable",
                {{"proxy", proxy},
                 {"target", now.target},
                 {"reason", config::to_string(now.reason)},
                 {"detail", now.detail}});
    }
  }
}

}  // namespace

struct Monitor::Impl {
  Impl(Prober p, Callback c, const Clock& t, Options o)
      : prober(std::move(p)), on_change(std::move(c)), clock(t), options(o) {
    std::lock_guard lock(mutex);
    add_thread();
  }

  void add_thread() {
    threads.emplace_back([this] { run(); });
  }

  void run() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      TimePoint next{};
      Job job;
      if (!take_due(job, next)) {
        Duration left = next == TimePoint::max() ? Duration(options.interval) : next - clock.now();
        ++idle;
        ready.wait_for(lock, std::clamp<Duration>(left, Duration(0), options.interval));
        --idle;
        continue;
      }
      // One that is due as well needs a thread that is not busy.
      if (idle > 0) {
        ready.notify_one();
      } else if (threads.size() < options.threads) {
        add_thread();
      }
      lock.unlock();
      auto [result, user] = probe(job);
      lock.lock();
      job.slot->in_flight = false;
      schedule(job.slot, std::exchange(job.slot->again, false) ? clock.now() : job.slot->due);
      if (result.ok) job.slot->working_user = user;
      auto it = clusters.find(job.proxy);
      bool current = it != clusters.end() && it->second.generation == job.generation;
      if (current) apply(it->second, job.slot, result);
      lock.unlock();
      if (current) tell(job.proxy);
      lock.lock();
    }
  }

  void apply(ClusterSlot& cluster, const std::shared_ptr<MemberSlot>& member, const ProbeResult& result) {
    MemberSlot& slot = *member;
    const TimePoint now = clock.now();
    cluster.state.apply(slot.member.id, result, now);
    if (result.ok) {
      slot.failing_since = {};
      slot.pause = {};
    } else if (slot.failing_since == TimePoint{}) {
      slot.failing_since = now;
    }
    if (result.ok && !result.detail.empty() && result.detail != slot.complaint) {
      log::warn("topology", result.detail, {{"proxy", cluster.cluster.proxy}, {"target", slot.member.id}});
    }
    slot.complaint = result.ok ? result.detail : "";
    const bool writer = cluster.state.has_writer();
    if (cluster.had_writer && !writer) hurry(cluster);
    cluster.had_writer = writer;
    sync_members(cluster);
    plan_next(cluster, member);
  }

  void hurry(ClusterSlot& cluster) {
    const TimePoint now = clock.now();
    cluster.urgent_until = now + options.trouble;
    for (auto& member : cluster.members) {
      member->pause = {};
      if (member->failing_since != TimePoint{}) member->failing_since = now;
      if (!member->in_flight && member->due > now + options.urgent) schedule(member, now + options.urgent);
    }
    ready.notify_all();
  }

  // When one that was just asked is asked again; `due` is an interval after the beginning of the question.
  void plan_next(ClusterSlot& cluster, const std::shared_ptr<MemberSlot>& slot) {
    const TimePoint now = clock.now();
    if (now < cluster.urgent_until) {
      schedule(slot, std::min(slot->due, now + options.urgent));
    } else if (slot->failing_since != TimePoint{} && now - slot->failing_since > options.away) {
      slot->pause = std::clamp<Duration>(slot->pause * 2, options.interval, options.seldom);
      schedule(slot, std::max(slot->due, now + slot->pause));
    }
  }

  void schedule(const std::shared_ptr<MemberSlot>& slot, TimePoint due) {
    slot->due = due;
    appointments.push({due, slot});
  }

  std::shared_ptr<MemberSlot> new_member(const std::string& proxy, const Member& member) {
    auto fresh = std::make_shared<MemberSlot>();
    fresh->member = member;
    fresh->proxy = proxy;
    schedule(fresh, clock.now());
    return fresh;
  }

  // Members that the cluster told of are asked too, those that are gone are not.
  void sync_members(ClusterSlot& cluster) {
    std::vector<std::shared_ptr<MemberSlot>> members;
    for (const Member& member : cluster.state.members()) {
      const auto old = std::find_if(cluster.members.begin(), cluster.members.end(),
                                    [&](const auto& slot) { return slot->member == member; });
      if (old != cluster.members.end()) {
        members.push_back(*old);
        continue;
      }
      auto fresh = new_member(cluster.cluster.proxy, member);
      for (const auto& known : cluster.members) {
        if (!known->working_user.empty()) fresh->working_user = known->working_user;
      }
      members.push_back(std::move(fresh));
      ready.notify_all();
    }
    cluster.members = std::move(members);
  }

  // The member that has been due for longest; else, when the next one will be.
  bool take_due(Job& job, TimePoint& next) {
    const TimePoint now = clock.now();
    for (next = TimePoint::max(); !appointments.empty(); appointments.pop()) {
      const auto& [due, slot] = appointments.top();
      const auto cluster = clusters.find(slot->proxy);
      if (slot->in_flight || slot->due != due || cluster == clusters.end() || !is_member(cluster->second, slot))
        continue;
      next = due;
      if (due > now) return false;
      slot->in_flight = true;
      slot->due = now + options.interval;
      job = {slot->proxy, cluster->second.generation, slot, slot->working_user, cluster->second.cluster};
      appointments.pop();
      return true;
    }
    return false;
  }

  static bool is_member(const ClusterSlot& cluster, const std::shared_ptr<MemberSlot>& slot) {
    return std::find(cluster.members.begin(), cluster.members.end(), slot) != cluster.members.end();
  }

  std::pair<ProbeResult, std::string> probe(const Job& job) const {
    std::vector<const Credential*> order;
    for (const auto& credential : job.cluster.credentials) order.push_back(&credential);
    std::stable_partition(order.begin(), order.end(), [&](const Credential* c) { return c->user == job.working_user; });
    ProbeResult result;
    result.reason = HealthReason::kAuthFailure;
    result.detail = "no user to log in with";
    for (const Credential* credential : order) {
      const Member& member = job.slot->member;
      ProbeRequest request{member.host,
                           member.port,
                           job.cluster.tls,
                           credential->user,
                           credential->password,
                           options.probe_timeout,
                           job.cluster.discovery.query,
                           job.cluster.engine,
                           job.cluster.policy,
                           credential->iam,
                           job.cluster.aws};
      result = prober(request);
      if (result.ok || result.reason != HealthReason::kAuthFailure) return {std::move(result), credential->user};
    }
    return {std::move(result), ""};
  }

  // Serialised by its own mutex, and reads the state only then: the last call always has the latest set.
  void tell(const std::string& proxy) {
    std::lock_guard telling_now(telling);
    std::vector<Observation> now;
    std::vector<Observation> before;
    {
      std::lock_guard lock(mutex);
      auto it = clusters.find(proxy);
      if (it == clusters.end()) return;
      now = it->second.state.observations();
      if (it->second.ever_told && !differs(it->second.told, now)) return;
      before = std::exchange(it->second.told, now);
      it->second.ever_told = true;
    }
    log_changes(proxy, before, now);
    on_change(proxy, now);
  }

  const Prober prober;
  const Callback on_change;
  const Clock& clock;
  const Options options;
  mutable std::mutex mutex;  // everything below but `telling`
  std::condition_variable ready;
  std::map<std::string, ClusterSlot> clusters;
  std::priority_queue<Appointment> appointments;
  std::vector<std::thread> threads;
  std::size_t idle = 0;
  std::uint64_t generations = 0;
  bool stopping = false;
  std::mutex telling;
};

Monitor::Monitor(Prober prober, Callback on_change, const Clock& clock)
    : Monitor(std::move(prober), std::move(on_change), clock, Options()) {}

Monitor::Monitor(Prober prober, Callback on_change, const Clock& clock, Options options)
    : impl_(std::make_unique<Impl>(std::move(prober), std::move(on_change), clock, options)) {}

Monitor::~Monitor() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->ready.notify_all();
  // No thread is added once stopping is seen; those that are there may be in a probe.
  for (std::size_t i = 0;; ++i) {
    std::thread thread;
    {
      std::lock_guard lock(impl_->mutex);
      if (i == impl_->threads.size()) break;
      thread = std::move(impl_->threads[i]);
    }
    thread.join();
  }
}

void Monitor::set(Cluster cluster) {
  std::lock_guard lock(impl_->mutex);
  ClusterSlot& slot = impl_->clusters[cluster.proxy];
  if (slot.cluster == cluster) return;
  slot.generation = ++impl_->generations;
  slot.state.set_members(cluster.members, cluster.discovery);
  auto before = std::move(slot.members);
  slot.members.clear();
  for (const Member& member : slot.state.members()) {
    auto fresh = impl_->new_member(cluster.proxy, member);  // what is under way was asked as things were
    for (const auto& old : before) {
      if (old->member == member) fresh->working_user = old->working_user;
    }
    slot.members.push_back(std::move(fresh));
  }
  slot.ever_told = false;  // whoever changed the cluster wants to hear about it
  slot.cluster = std::move(cluster);
  impl_->ready.notify_all();
}

void Monitor::remove(const std::string& proxy) {
  std::lock_guard lock(impl_->mutex);
  impl_->clusters.erase(proxy);
}

void Monitor::poke(const std::string& proxy) {
  std::lock_guard lock(impl_->mutex);
  auto it = impl_->clusters.find(proxy);
  if (it == impl_->clusters.end()) return;
  impl_->hurry(it->second);
  for (auto& member : it->second.members) {
    member->again = member->in_flight;
    if (!member->in_flight) impl_->schedule(member, impl_->clock.now());
  }
}

std::vector<Observation> Monitor::observations(const std::string& proxy) const {
  std::lock_guard lock(impl_->mutex);
  auto it = impl_->clusters.find(proxy);
  return it == impl_->clusters.end() ? std::vector<Observation>() : it->second.state.observations();
}

void Monitor::wake() {
  impl_->ready.notify_all();
}

}  // namespace dbproxy::topology
