// Time as the code sees it: passed in, so that tests own it.
#pragma once

#include <chrono>

namespace dbproxy {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using WallTime = std::chrono::system_clock::time_point;

// A source of both clocks. Thread-safe: implementations are read from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;  // monotonic
  virtual WallTime wall() const = 0;  // for people and certificates only
};

class SystemClock final : public Clock {
 public:
  TimePoint now() const override { return std::chrono::steady_clock::now(); }
  WallTime wall() const override { return std::chrono::system_clock::now(); }
};

// Stands still until a test moves it.
class ManualClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  WallTime wall() const override {
    return WallTime{} + std::chrono::duration_cast<WallTime::duration>(now_ - TimePoint{});
  }
  void advance(Duration by) { now_ += by; }

 private:
  TimePoint now_{std::chrono::hours(24)};
};

}  // namespace dbproxy
