// Backoff: how long to wait after a failure. Doubles from `base` to `cap`, with a random part of its own size added,
// and starts over after a quiet time. Pure: time and randomness are passed in. Not thread-safe.
#pragma once

#include <algorithm>
#include <chrono>

namespace dbproxy::kubernetes {

class Backoff {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Milliseconds = std::chrono::milliseconds;

  // The figures of client-go's reflector.
  explicit Backoff(Milliseconds base = Milliseconds(800), Milliseconds cap = Milliseconds(30'000),
                   Milliseconds reset_after = Milliseconds(120'000))
      : base_(base), cap_(cap), reset_after_(reset_after) {}

  // `random` is in [0, 1).
  Milliseconds next(Time now, double random) {
    if (steps_ > 0 && now - last_ > reset_after_) steps_ = 0;
    last_ = now;
    Milliseconds out = base_;
    for (int i = 0; i < steps_ && out < cap_; ++i) out *= 2;
    if (out < cap_) ++steps_;
    out = std::min(out, cap_);
    const auto with_jitter = out + Milliseconds(static_cast<long>(static_cast<double>(out.count()) * random));
    return std::min(with_jitter, cap_);
  }
  void reset() { steps_ = 0; }

 private:
  Milliseconds base_, cap_, reset_after_;
  int steps_ = 0;
  Time last_{};
};

}  // namespace dbproxy::kubernetes
