// What is told to the operator of how long queries take and of what is pinned, for the page that shows all sidecars
// together. Pure; any thread.
#pragma once

#include <vector>

#include "dbproxy/v1/control.pb.h"

#include "proxy/base/clock.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/worker/service.hpp"

namespace dbproxy::control {

inline constexpr std::size_t kMostPins = 20;  // kinds of pins of one DBProxy that are told

// One for each DBProxy that has served a query or has a pin.
std::vector<v1::ActivityReport> activity_of(const metrics::Registry& registry, const std::vector<worker::PinRow>& pins,
                                            WallTime now);

}  // namespace dbproxy::control
