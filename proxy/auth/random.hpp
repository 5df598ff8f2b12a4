// Randomness as the machines see it: passed in, so that tests own it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

namespace dbproxy::auth {

// Fills the whole span. Must be unpredictable outside of tests.
using RandomBytes = std::function<void(std::span<std::uint8_t>)>;

// The crypto library's generator; aborts when it has no entropy, for nothing safe can follow. Thread-safe.
RandomBytes system_random();

}  // namespace dbproxy::auth
