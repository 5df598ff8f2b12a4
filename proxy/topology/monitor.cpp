#include "proxy/topology/monitor.hpp"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <queue>
#include <random>
#include <thread>
#include <utility>

#include "proxy/base/log.hpp"
#include "proxy/topology/changes.hpp"
#include "proxy/topology/pace.hpp"
#include "proxy/topology/policy.hpp"

namespace dbproxy::topology {

using config::HealthReason;

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
  std::shared_ptr<const Cluster> cluster;  // never null once it is set
  Pace pace;
  std::uint64_t generation = 0;  // a result of an older one is not applied
  ClusterState state;
  std::vector<std::shared_ptr<MemberSlot>> members;
  std::vector<Observation> told;
  bool ever_told = false;
  TimePoint urgent_until{};
  bool had_writer = false;
  TimePoint writer_lost{};  // {}: there is one, or there never was
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
  std::shared_ptr<const Cluster> cluster;
  bool keep = true;
};

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
      if (current) apply(it->second, job.slot, result, job.keep);
      lock.unlock();
      if (current) tell(job.proxy);
      lock.lock();
    }
  }

  // `kept`: the session of this question stayed open.
  void apply(ClusterSlot& cluster, const std::shared_ptr<MemberSlot>& member, const ProbeResult& result, bool kept) {
    MemberSlot& slot = *member;
    const TimePoint now = clock.now();
    cluster.state.apply(slot.member.id, result, now);
    if (result.ok) {
      slot.failing_since = {};
    } else if (slot.failing_since == TimePoint{}) {
      slot.failing_since = now;
    }
    if (result.ok && !result.detail.empty() && result.detail != slot.complaint) {
      log::warn("topology", result.detail, {{"proxy", cluster.cluster->proxy}, {"target", slot.member.id}});
    }
    slot.complaint = result.ok ? result.detail : "";
    const bool writer = cluster.state.has_writer();
    if (cluster.had_writer && !writer) {
      cluster.writer_lost = now;
      hurry(cluster);
    }
    if (writer) cluster.writer_lost = {};
    cluster.had_writer = writer;
    sync_members(cluster);
    plan_next(cluster, member, kept);
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
  void plan_next(ClusterSlot& cluster, const std::shared_ptr<MemberSlot>& slot, bool kept) {
    const TimePoint now = clock.now();
    const bool away = slot->failing_since != TimePoint{} && now - slot->failing_since > options.away;
    if (is_urgent(cluster, now)) {
      schedule(slot, std::min(slot->due, now + options.urgent));
    } else if (cluster.pace.sleeps(now) && !kept) {
      schedule(slot, TimePoint::max());
    } else if (away || cluster.pace.seldom(now)) {
      slot->pause = std::clamp<Duration>(slot->pause * 2, options.interval, options.seldom);
      schedule(slot, std::max(slot->due, now + spread(slot->pause)));
    } else {
      slot->pause = {};
    }
  }

  // A promotion may take longer than any trouble.
  bool is_urgent(const ClusterSlot& cluster, TimePoint now) const {
    return now < cluster.urgent_until ||
           (cluster.writer_lost != TimePoint{} && now - cluster.writer_lost < options.away);
  }

  // Up to a sixth less.
  Duration spread(Duration pause) {
    return pause - Duration(std::uniform_int_distribution<Duration::rep>(0, pause.count() / 6)(random));
  }

  // All that wait for long do not any more.
  void ask_now(ClusterSlot& cluster) {
    const TimePoint now = clock.now();
    for (auto& member : cluster.members) {
      member->pause = {};
      if (member->failing_since != TimePoint{}) member->failing_since = now;
      if (!member->in_flight && member->due > now + options.interval) schedule(member, now);
    }
    ready.notify_all();
  }

  void schedule(const std::shared_ptr<MemberSlot>& slot, TimePoint due) {
    slot->due = due;
    if (due != TimePoint::max()) appointments.push({due, slot});
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
      auto fresh = new_member(cluster.cluster->proxy, member);
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
      const bool urgent = is_urgent(cluster->second, now);
      const bool keep = urgent || !(cluster->second.pace.sleeps(now) || cluster->second.pace.seldom(now));
      job = {slot->proxy, cluster->second.generation, slot, slot->working_user, cluster->second.cluster, keep};
      appointments.pop();
      return true;
    }
    return false;
  }

  static bool is_member(const ClusterSlot& cluster, const std::shared_ptr<MemberSlot>& slot) {
    return std::find(cluster.members.begin(), cluster.members.end(), slot) != cluster.members.end();
  }

  std::pair<ProbeResult, std::string> probe(const Job& job) const {
    const Cluster& cluster = *job.cluster;
    std::vector<const Credential*> order;
    for (const auto& credential : cluster.credentials) order.push_back(&credential);
    std::stable_partition(order.begin(), order.end(), [&](const Credential* c) { return c->user == job.working_user; });
    ProbeResult result;
    result.reason = HealthReason::kAuthFailure;
    result.detail = "no user to log in with";
    for (const Credential* credential : order) {
      const Member& member = job.slot->member;
      ProbeRequest request{member.host,
                           member.port,
                           cluster.tls,
                           credential->user,
                           credential->password,
                           options.probe_timeout,
                           cluster.discovery.query,
                           cluster.engine,
                           cluster.policy,
                           credential->iam,
                           cluster.aws};
      request.keep = job.keep;
      request.account = cluster.account;
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
  std::minstd_rand random{std::random_device{}()};
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
  if (slot.cluster && *slot.cluster == cluster) return;
  slot.generation = ++impl_->generations;
  slot.state.set_members(cluster.members, cluster.discovery);
  slot.state.remember(cluster.writer, cluster.readers);
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
  slot.pace.set(cluster.idle_after, impl_->options.unused);
  slot.pace.wake(impl_->clock.now());
  slot.cluster = std::make_shared<const Cluster>(std::move(cluster));
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
  it->second.pace.wake(impl_->clock.now());
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

void Monitor::use(const std::string& proxy, Use use) {
  std::lock_guard lock(impl_->mutex);
  const auto it = impl_->clusters.find(proxy);
  if (it != impl_->clusters.end() && it->second.pace.use(use, impl_->clock.now())) impl_->ask_now(it->second);
}

void Monitor::expect_use() {
  std::lock_guard lock(impl_->mutex);
  const TimePoint now = impl_->clock.now();
  for (auto& [proxy, cluster] : impl_->clusters) {
    const bool slow = cluster.pace.sleeps(now) || cluster.pace.seldom(now);
    cluster.pace.wake(now);
    if (slow) impl_->ask_now(cluster);
  }
}

void Monitor::wake() {
  impl_->ready.notify_all();
}

}  // namespace dbproxy::topology
