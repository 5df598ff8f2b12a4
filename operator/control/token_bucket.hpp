// How many events per second are let through, with some at once. Not thread-safe; time is passed in.
#pragma once

#include <algorithm>

#include "proxy/base/clock.hpp"

namespace dbproxy::operator_control {

class TokenBucket {
 public:
  TokenBucket(double per_second, double burst, TimePoint now)
      : per_second_(per_second), burst_(burst), tokens_(burst), last_(now) {}

  bool take(TimePoint now) {
    tokens_ = std::min(burst_, tokens_ + std::chrono::duration<double>(now - last_).count() * per_second_);
    last_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double per_second_, burst_, tokens_;
  TimePoint last_;
};

}  // namespace dbproxy::operator_control
