// Exponential back-off with full jitter: uniformly random between nothing and a bound that doubles up to a cap.
// Randomness is passed in, so that a test knows the answer. Not thread-safe.
#pragma once

#include <algorithm>
#include <chrono>

namespace dbproxy::control {

class Backoff {
 public:
  Backoff(std::chrono::milliseconds base, std::chrono::milliseconds cap) : base_(base), cap_(cap), bound_(base) {}

  // `random` is in [0, 1).
  std::chrono::milliseconds next(double random) {
    const auto delay = std::chrono::milliseconds(static_cast<long>(static_cast<double>(bound_.count()) * random));
    bound_ = std::min(bound_ * 2, cap_);
    return delay;
  }
  void reset() { bound_ = base_; }

 private:
  std::chrono::milliseconds base_, cap_, bound_;
};

}  // namespace dbproxy::control
