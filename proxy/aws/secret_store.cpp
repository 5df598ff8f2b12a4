#include "proxy/aws/secret_store.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "proxy/aws/principals.hpp"
#include "proxy/aws/slots.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::aws {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstPause{2'000};
constexpr milliseconds kLongestPause{300'000};
constexpr milliseconds kBetweenPokes{2'000};
constexpr milliseconds kUrgentPoll{5'000};
constexpr seconds kUrgent{60};

struct Slot {
  std::set<std::string> owners;
  SecretState state;
  SteadyClock::time_point due{};
  SteadyClock::time_point last{};
  SteadyClock::time_point urgent_until{};
  milliseconds pause{0};
  bool in_flight = false;
  bool again = false;  // poked while in flight
};

struct Read {
  Outcome<SecretValue> current;
  std::optional<SecretValue> previous;  // where it was asked for, and there is one
  bool same = false;                    // as the version that is known
};

}  // namespace

struct SecretStore::Impl {
  Impl(SecretStoreOptions o, Changed c, const Clock& t)
      : options(std::move(o)), changed(std::move(c)), clock(t), principals(options.environment, t, options.accounts) {}

  void run();
  Slots<SecretKey, Slot>::iterator next_due();
  Read read(const SecretKey& key, const std::string& known_version, bool with_previous);
  void keep(const SecretKey& key, Slot& slot, Read fresh);
  milliseconds jittered(milliseconds time, double least, double most);

  const SecretStoreOptions options;
  const Changed changed;
  const Clock& clock;
  Principals principals;

  mutable std::mutex mutex;
  mutable std::condition_variable wake;
  Slots<SecretKey, Slot> slots;
  SteadyClock::time_point throttled_until{};
  std::mt19937 random{std::random_device{}()};
  Totals totals;
  bool stopping = false;
  unsigned idle = 0;
  std::vector<std::thread> threads;
};

milliseconds SecretStore::Impl::jittered(milliseconds time, double least, double most) {
  const double factor = std::uniform_real_distribution<double>(least, most)(random);
  return milliseconds(static_cast<milliseconds::rep>(static_cast<double>(time.count()) * factor));
}

Read SecretStore::Impl::read(const SecretKey& key, const std::string& known_version, bool with_previous) {
  Read out;
  const std::string region = parse_arn(key.arn).region;
  const auto credentials = principals.of({key.role_arn, key.account, key.sts_url, region});
  const Outcome<CredentialsPtr> keys = credentials->get();
  if (!keys.ok()) {
    out.current.failure = keys.failure;
    return out;
  }
  out.current =
      get_secret_value(options.environment, key.arn, kCurrent, key.secrets_manager_url, *keys.value, clock.wall());
  if (!out.current.ok()) {
    if (out.current.failure.kind == Failure::Kind::kDenied) credentials->forget();
    return out;
  }
  if (with_previous) {
    auto before =
        get_secret_value(options.environment, key.arn, kPrevious, key.secrets_manager_url, *keys.value, clock.wall());
    if (before.ok()) out.previous = std::move(before.value);  // many secrets have none
  }
  out.same = !known_version.empty() && out.current.value.version_id == known_version;
  return out;
}

// With the lock.
void SecretStore::Impl::keep(const SecretKey& key, Slot& slot, Read fresh) {
  const auto now = SteadyClock::now();
  SecretState& state = slot.state;
  ++totals.reads;
  state.asked = true;
  slot.last = now;
  if (fresh.current.ok()) {
    if (state.failure) log::info("aws", "secret can be read again", {{"secret", key.arn}});
    state.failure = {};
    slot.pause = milliseconds(0);
    const milliseconds poll = now < slot.urgent_until ? std::min(options.poll, kUrgentPoll) : options.poll;
    slot.due = now + jittered(poll, 0.8, 1.2);
    if (fresh.previous) state.previous = std::move(fresh.previous);
    if (fresh.same) return;
    if (state.current && !(*state.current == fresh.current.value)) {
      ++totals.changes;
      state.previous = state.current;
      log::info("aws", "secret changed", {{"secret", key.arn}, {"version", fresh.current.value.version_id}});
    }
    state.current = std::move(fresh.current.value);
    return;
  }
  ++totals.failures;
  const Failure& failure = fresh.current.failure;
  if (!(state.failure == failure)) {
    log::warn("aws", "cannot read secret",
              {{"secret", key.arn}, {"error", to_text(failure)}, {"last_value_stays", state.current.has_value()}});
  }
  slot.pause = std::clamp(slot.pause * 2, kFirstPause, kLongestPause);
  slot.due = now + jittered(slot.pause, 0.5, 1.0);
  if (failure.kind == Failure::Kind::kThrottled) throttled_until = std::max(throttled_until, slot.due);
  state.failure = failure;
}

// The one that has been due for longest, whoever is not being read.
Slots<SecretKey, Slot>::iterator SecretStore::Impl::next_due() {
  auto best = slots.end();
  for (auto it = slots.begin(); it != slots.end(); ++it) {
    if (it->second.in_flight) continue;
    if (best == slots.end() || it->second.due < best->second.due) best = it;
  }
  return best;
}

void SecretStore::Impl::run() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    const auto it = next_due();
    if (it == slots.end()) {
      ++idle;
      wake.wait(lock);
      --idle;
      continue;
    }
    if (const auto due = std::max(it->second.due, throttled_until); due > SteadyClock::now()) {
      ++idle;
      wake.wait_until(lock, due);
      --idle;
      continue;
    }
    const SecretKey key = it->first;
    it->second.in_flight = true;
    const std::string version = it->second.state.current ? it->second.state.current->version_id : "";
    const bool with_previous = it->second.urgent_until > SteadyClock::now() && !it->second.state.previous;
    if (idle > 0) wake.notify_all();
    lock.unlock();
    Read fresh = read(key, version, with_previous);
    if (options.on_read) options.on_read(fresh.current.failure.kind);
    lock.lock();
    const auto slot = slots.find(key);
    if (slot == slots.end()) continue;  // nobody wants it any more
    slot->second.in_flight = false;
    const SecretState before = slot->second.state;
    keep(key, slot->second, std::move(fresh));
    if (std::exchange(slot->second.again, false))
      slot->second.due = std::min(slot->second.due, SteadyClock::now() + kBetweenPokes);
    const SecretState& after = slot->second.state;
    const bool news = before.asked != after.asked || !(before.failure == after.failure) ||
                      before.current != after.current || before.previous != after.previous;
    const std::set<std::string> owners = slot->second.owners;
    wake.notify_all();
    if (!news) continue;
    lock.unlock();
    changed(owners);
    lock.lock();
  }
}

SecretStore::SecretStore(SecretStoreOptions options, Changed changed, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(changed), clock)) {}

SecretStore::~SecretStore() {
  stop();
}

void SecretStore::want(const std::string& owner, std::set<SecretKey> keys) {
  Impl* const impl = impl_.get();
  const std::lock_guard lock(impl->mutex);
  impl->slots.want(owner, keys, SteadyClock::now());  // one that goes while it is in flight is looked for afterwards
  while (!impl->stopping && impl->threads.size() < std::min<std::size_t>(impl->options.threads, impl->slots.size()))
    impl->threads.emplace_back([impl] { impl->run(); });
  impl->wake.notify_all();
}

SecretState SecretStore::state(const SecretKey& key) const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->slots.state(key);
}

bool SecretStore::wait(const std::string& owner, std::chrono::milliseconds at_most) const {
  std::unique_lock lock(impl_->mutex);
  return impl_->wake.wait_for(lock, at_most, [&] { return impl_->stopping || impl_->slots.asked(owner); });
}

void SecretStore::poke(const std::string& owner) {
  const std::lock_guard lock(impl_->mutex);
  const auto now = SteadyClock::now();
  for (auto& [key, slot] : impl_->slots) {
    if (!slot.owners.contains(owner)) continue;
    slot.again = slot.again || slot.in_flight;
    slot.urgent_until = now + kUrgent;
    if (!slot.in_flight) slot.due = std::min(slot.due, std::max(now, slot.last + kBetweenPokes));
  }
  impl_->wake.notify_all();
}

void SecretStore::stop() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    threads = std::move(impl_->threads);
    impl_->threads.clear();
  }
  impl_->wake.notify_all();
  for (std::thread& each : threads) each.join();
}

SecretStore::Totals SecretStore::totals() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->totals;
}

}  // namespace dbproxy::aws
