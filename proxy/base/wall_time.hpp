// Calendar times as points of the wall clock, whatever year they are of. Any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <ctime>

#include "proxy/base/clock.hpp"

namespace dbproxy {

// Seconds since 1970 in UTC. The clock counts nanoseconds and ends in 2262: what lies beyond is its last second, and
// likewise at its beginning, where a sum would wrap around. (RFC 5280 4.1.2.5: certificates without an end have 9999.)
inline WallTime wall_time(std::time_t seconds) {
  constexpr auto kLast = std::chrono::duration_cast<std::chrono::seconds>(WallTime::duration::max()).count() - 1;
  return WallTime(std::chrono::seconds(std::clamp<std::time_t>(seconds, -kLast, kLast)));
}

}  // namespace dbproxy
