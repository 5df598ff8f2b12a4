#include "operator/kubernetes/leader_elector.hpp"

#include "operator/kubernetes/objects.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::kubernetes {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAttempt{4000};  // of one request: two fit into the renew deadline
constexpr milliseconds kReleasing{1500};

const Resource kLeases{"coordination.k8s.io", "v1", "leases"};

ObjectRef ref_of(const LeaseClaim& claim) {
  return {kLeases, claim.name_space, claim.name};
}

}  // namespace

LeaderElector::LeaderElector(Client& client, ElectorOptions options, std::function<void(bool)> on_change,
                             const Clock& clock)
    : client_(client), options_(std::move(options)), on_change_(std::move(on_change)), clock_(clock) {
  ReflectorOptions watch;
  watch.resource = kLeases;
  watch.name_space = options_.claim.name_space;
  watch.field_selector = "metadata.name=" + options_.claim.name;
  reflector_ = std::make_unique<Reflector>(client_, std::move(watch), [this](const Change& change) {
    const std::lock_guard lock(mutex_);
    if (change.after) seen(*change.after);
    changed_ = true;
    wake_.notify_all();
  });
}

LeaderElector::~LeaderElector() {
  stop();
}

void LeaderElector::start() {
  reflector_->start();
  thread_ = std::thread([this] { run(); });
}

void LeaderElector::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  canceller_.cancel();
  reflector_->stop();
  if (thread_.joinable()) thread_.join();
}

bool LeaderElector::leading() const {
  const std::lock_guard lock(mutex_);
  return leading_ && clock_.now() - renewed_ < options_.renew_deadline;
}

std::string LeaderElector::leader() const {
  const std::lock_guard lock(mutex_);
  return view_.expired(clock_.now()) ? std::string() : view_.holder();
}

std::string LeaderElector::leader_address() const {
  const std::lock_guard lock(mutex_);
  return view_.expired(clock_.now()) ? std::string() : view_.address();
}

// With the lock.
void LeaderElector::seen(const json::object& lease) {
  view_.observe(lease, clock_.now());
  lease_ = lease;
}

void LeaderElector::set_leading(bool leading) {
  {
    const std::lock_guard lock(mutex_);
    if (leading_ == leading) return;
    leading_ = leading;
  }
  log::info("kubernetes", leading ? "this replica leads" : "this replica does not lead any more",
            {{"lease", options_.claim.name}, {"identity", options_.claim.identity}});
  if (on_change_) on_change_(leading);
}

bool LeaderElector::try_hold() {
  const LeaseClaim& claim = options_.claim;
  std::optional<json::object> known;
  {
    const std::lock_guard lock(mutex_);
    const bool ours = view_.holder() == claim.identity;
    if (lease_ && !ours && !view_.expired(clock_.now())) return false;
    if (ours) known = lease_;  // a renewal needs no look first; a conflict says that someone was there
  }
  if (!known) {
    Outcome<json::object> found = get(client_, ref_of(claim), &canceller_);
    if (found.has_error() && !found.error().not_found()) {
      if (!found.error().cancelled()) {
        log::warn("kubernetes", "cannot read the lease", {{"error", found.error().text()}});
      }
      return false;
    }
    if (found.has_value()) {
      const std::lock_guard lock(mutex_);
      seen(*found);
      if (view_.holder() != claim.identity && !view_.expired(clock_.now())) return false;
      known = std::move(*found);
    }
  }
  const json::object wanted = claimed_lease(claim, known ? &*known : nullptr, clock_.wall());
  const TimePoint asked = clock_.now();
  Outcome<json::object> written = known ? replace(client_, ref_of(claim), wanted, &canceller_, kAttempt)
                                        : create(client_, ref_of(claim), wanted, &canceller_, kAttempt);
  const std::lock_guard lock(mutex_);
  if (written.has_value()) {
    seen(*written);
    renewed_ = asked;  // the server may have counted from then on
    return true;
  }
  if (written.error().conflict()) lease_.reset();  // look before the next attempt
  if (!written.error().conflict() && !written.error().cancelled()) {
    log::warn("kubernetes", "cannot write the lease", {{"error", written.error().text()}});
  }
  if (written.error().conflict() && view_.holder() == claim.identity) view_ = LeaseView();
  return false;
}

void LeaderElector::run() {
  for (;;) {
    const bool held = try_hold();
    bool lost = false;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) break;
      const bool taken = !view_.holder().empty() && view_.holder() != options_.claim.identity;
      lost = leading_ && !held && (taken || clock_.now() - renewed_ >= options_.renew_deadline);
    }
    if (held) set_leading(true);
    if (lost) set_leading(false);
    std::unique_lock lock(mutex_);
    milliseconds wait = options_.retry_period;
    if (leading_ && !held) {  // soon again: time is running out
      wait = std::min<milliseconds>(milliseconds(500),
                                    std::chrono::ceil<milliseconds>(renewed_ + options_.renew_deadline - clock_.now()));
    }
    wake_.wait_for(lock, std::max(wait, milliseconds(1)),
                   [this] { return stopping_ || (changed_ && !leading_ && view_.expired(clock_.now())); });
    changed_ = false;
    if (stopping_) break;
  }
  bool held = false;
  {
    const std::lock_guard lock(mutex_);
    held = leading_;
  }
  set_leading(false);
  if (held) release();
}

void LeaderElector::release() {
  std::optional<json::object> lease;
  {
    const std::lock_guard lock(mutex_);
    lease = lease_;
  }
  if (!lease) return;
  const ObjectRef ref = ref_of(options_.claim);
  if (replace(client_, ref, released_lease(*lease, clock_.wall()), nullptr, kReleasing).has_error()) {
    // Our last renewal may have arrived and its answer not.
    const Outcome<json::object> newest = get(client_, ref);
    if (newest.has_error() || text_at(*newest, {"spec", "holderIdentity"}) != options_.claim.identity) return;
    replace(client_, ref, released_lease(*newest, clock_.wall()), nullptr, kReleasing);
  }
}

}  // namespace dbproxy::kubernetes
