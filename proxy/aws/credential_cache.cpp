#include "proxy/aws/credential_cache.hpp"

#include <algorithm>
#include <random>

#include "proxy/base/log.hpp"

namespace dbproxy::aws {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds kFirstPause{1};
constexpr seconds kLongestPause{30};
constexpr seconds kEnd{5};  // of their life they are not used any more: the request is under way for a while

WallTime::duration part(Duration of, double share) {
  return std::chrono::duration_cast<WallTime::duration>(
      Duration(static_cast<Duration::rep>(static_cast<double>(of.count()) * share)));
}

}  // namespace

CredentialCache::CredentialCache(Fetch fetch, const Clock& clock, Random random)
    : fetch_(std::move(fetch)), clock_(clock), random_(std::move(random)) {}

CredentialCache::CredentialCache(Fetch fetch, const Clock& clock)
    : CredentialCache(std::move(fetch), clock, [engine = std::make_shared<std::mt19937>(std::random_device{}())]() {
        return std::uniform_real_distribution<double>(0, 1)(*engine);
      }) {}

void CredentialCache::schedule(const Credentials& fresh, WallTime now) {
  if (!fresh.expires) {
    // Nobody said how long they are good: what a file or a variable holds may have been exchanged.
    refresh_at_ = now + minutes(5);
    return;
  }
  const Duration life = *fresh.expires - now;
  const Duration ahead = std::clamp<Duration>(life / 5, minutes(1), minutes(15));
  refresh_at_ = *fresh.expires - part(ahead, 1.0 + 0.5 * random_());
}

Outcome<CredentialsPtr> CredentialCache::get() {
  const std::lock_guard lock(mutex_);
  const WallTime now = clock_.wall();
  const auto usable = [&] { return held_ && (!held_->expires || *held_->expires - kEnd > now); };
  if (usable() && now < refresh_at_) return held_;
  if (now < retry_at_) {
    if (usable()) return held_;
    return failure_;
  }
  Outcome<Credentials> fresh = fetch_();
  if (fresh.ok()) {
    schedule(fresh.value, now);
    held_ = std::make_shared<const Credentials>(std::move(fresh.value));
    pause_ = Duration(0);
    retry_at_ = {};
    return held_;
  }
  pause_ = std::clamp<Duration>(pause_ * 2, kFirstPause, kLongestPause);
  retry_at_ = now + part(pause_, 0.5 + 0.5 * random_());
  failure_ = fresh.failure;
  log::warn("aws", "cannot get credentials", {{"error", to_text(failure_)}, {"held_are_good", usable()}});
  if (usable()) return held_;
  return failure_;
}

void CredentialCache::forget() {
  const std::lock_guard lock(mutex_);
  held_.reset();
}

}  // namespace dbproxy::aws
