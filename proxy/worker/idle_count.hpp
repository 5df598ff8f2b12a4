// IdleCount: how many of a pool's connections have had no use for a while, so that others in the fleet may have them.
//
// Where demand goes down by much it is told within half a second; a little less is told only when it has been so for a
// second or two, so that the ups and downs of steady demand are no news four times a second. More demand is told at
// once. Pure: no clock; a tick is a quarter of a second.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace dbproxy::worker {

class IdleCount {
 public:
  // So many are idle now.
  void note(std::uint32_t idle) { least_ = std::min(least_, idle); }

  // A tick is over. `idle`, `total`: connections at this moment.
  void look(std::uint32_t idle, std::uint32_t total) {
    const std::uint32_t now = std::min(least_, before_);
    before_ = std::exchange(least_, idle);
    settled_ = std::min(settled_, now);
    if (now < unused_ || now - unused_ >= std::max(1U, total / 4)) unused_ = now;
    if (++ticks_ < kSettled) return;
    ticks_ = 0;
    unused_ = std::max(unused_, std::min(now, settled_));
    settled_ = std::numeric_limits<std::uint32_t>::max();
  }

  std::uint32_t unused() const { return unused_; }

 private:
  static constexpr int kSettled = 4;  // ticks

  std::uint32_t least_ = 0, before_ = 0, unused_ = 0;
  std::uint32_t settled_ = std::numeric_limits<std::uint32_t>::max();  // the least of these ticks
  int ticks_ = 0;
};

}  // namespace dbproxy::worker
