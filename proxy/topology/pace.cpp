#include "proxy/topology/pace.hpp"

namespace dbproxy::topology {

bool Pace::use(Use use, TimePoint now) {
  const bool slept = sleeps(now);
  const bool was_seldom = seldom(now);
  use_ = use;
  if (use == Use::kClients) busy_until_ = now;
  if (use != Use::kNone) used_until_ = now;
  return (slept && !sleeps(now)) || (was_seldom && !seldom(now));
}

bool Pace::sleeps(TimePoint now) const {
  return idle_after_ > Duration{} && use_ != Use::kClients && now - busy_until_ >= idle_after_;
}

bool Pace::seldom(TimePoint now) const {
  return use_ == Use::kNone && now - used_until_ >= unused_after_;
}

}  // namespace dbproxy::topology
